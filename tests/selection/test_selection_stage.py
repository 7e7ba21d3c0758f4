import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from pumalib.data.datasets import prepare_dataset
from pumalib.data.pool import PoolRows, build_pool, read_pool_rows
from pumalib.data.selection import StoredSelection, read_selection
from pumalib.data.settings import DigitsSettings, HeldOutSyntheticSettings
from pumalib.errors import ArtifactError, ConfigError, DataError
from pumalib.files.artifacts import content_fingerprint, recorded_inputs
from pumalib.files.digests import seal
from pumalib.files.origin import Input
from pumalib.scores.table import ScoreTable, read_scores, write_scores
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic

CAP = 0.1
PUMA = {"policy": "margin", "score": "margin"}
EASIEST = {"by": "margin", "drop": "easiest", "fraction": 0.2}


def a_plan(*prune: dict[str, Any], epsilon: dict[str, Any] | None = None, norm: str = "linf") -> SelectionSettings:
    settings = {
        "prune": list(prune),
        "epsilon": epsilon or {"policy": "fixed"},
        "threat": {"norm": norm, "epsilon": CAP},
        "synthetic_fraction": 0.7,
    }
    return SelectionSettings.model_validate(settings)


class Study:
    """A pool, margins of it, and a folder for selections."""

    def __init__(self, pool: Path, folder: Path) -> None:
        self.pool, self.folder = pool, folder
        self.rows: PoolRows = read_pool_rows(pool)
        generator = np.random.default_rng(0)
        self.margins: NDArray[np.float32] = generator.normal(0.06, 0.08, len(self.rows.labels)).astype(np.float32)
        self.score = folder / "margin.h5"
        self.write(self.table())

    def table(self, **changes: Any) -> ScoreTable:
        table = ScoreTable(
            score=self.margins,
            valid=np.ones(len(self.margins), bool),
            higher_is="easier",
            unit="pixel scale [0, 1]",
            method="deepfool",
            norm="linf",
            pool_fingerprint=self.rows.fingerprint,
            model_fingerprint="m",
            columns={"converged": np.ones(len(self.margins), bool)},
        )
        return replace(table, **changes)

    def write(self, table: ScoreTable) -> None:
        write_scores(table, self.score)

    def make(self, plan: SelectionSettings, name: str = "selection.h5", seed: int = 0) -> list[str]:
        scores, output = {"margin": self.score}, self.folder / name
        return make_selection(plan, seed=seed, pool=self.pool, scores=scores, output=output)

    def select(self, plan: SelectionSettings) -> StoredSelection:
        self.make(plan)
        return read_selection(self.folder / "selection.h5", self.rows.fingerprint)

    def drawn_mean(self, selection: StoredSelection, epsilons: NDArray[np.float32]) -> float:
        """Average over sources first, then mix them 30 to 70: the mean over rows as drawn."""
        source = self.rows.source[selection.rows]
        return float(0.3 * epsilons[source == 0].mean(dtype=float) + 0.7 * epsilons[source == 1].mean(dtype=float))


@pytest.fixture(scope="module")
def pools(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two pools of digits, about 160 real and 50 synthetic rows each, of two seeds."""
    paths = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp(f"pool{seed}")
        dataset = DigitsSettings(source="digits", split="seeded", test_fraction=0.88, held_out_fraction=0.25)
        prepare_dataset(dataset, seed, folder, folder / "dataset.h5")
        inputs = SyntheticInputs(folder / "dataset.h5", None, None, seed, "cpu")
        make_synthetic(HeldOutSyntheticSettings(method="held_out"), inputs, folder / "synthetic.h5")
        build_pool(folder / "dataset.h5", folder / "synthetic.h5", folder / "pool.h5", {})
        paths.append(folder / "pool.h5")
    return paths[0], paths[1]


@pytest.fixture
def study(pools: tuple[Path, Path], tmp_path: Path) -> Study:
    return Study(pools[0], tmp_path)


def test_puma_keeps_the_smaller_margins_with_their_bounded_margins_as_epsilons(study: Study) -> None:
    selection = study.select(a_plan(EASIEST, epsilon=PUMA))
    count = len(study.margins) - round(0.2 * len(study.margins))
    expected = np.sort(np.argsort(study.margins)[:count])
    assert selection.rows.tolist() == expected.tolist()
    np.testing.assert_array_equal(
        selection.epsilons, np.clip(study.margins[expected], -np.float32(CAP), np.float32(CAP))
    )
    assert selection.mean_epsilon == pytest.approx(study.drawn_mean(selection, selection.epsilons))
    assert selection.pruned_fraction == pytest.approx(round(0.2 * len(study.margins)) / len(study.margins))
    ((label, value),) = selection.cuts
    assert label == "margin easiest 20 %"
    assert value == pytest.approx(float(study.margins[selection.reason == 0].min()))


def test_a_second_score_decides_among_rows_of_equal_score(study: Study) -> None:
    count = len(study.margins)
    difficulty = (np.arange(count) % 4 == 0).astype(np.float32)  # three rows in four are never missed
    loss = np.random.default_rng(1).permutation(count).astype(np.float32)
    for name, score in (("difficulty", difficulty), ("loss", loss)):
        write_scores(study.table(score=score, higher_is="harder", columns={}, norm=""), study.folder / f"{name}.h5")
    cut = {"by": "difficulty", "drop": "easiest", "fraction": 0.2, "ties_by": "loss"}
    scores = {name: study.folder / f"{name}.h5" for name in ("difficulty", "loss")}
    output = study.folder / "ties.h5"
    make_selection(a_plan(cut), seed=0, pool=study.pool, scores=scores, output=output)
    selection = read_selection(output, study.rows.fingerprint)
    never_missed = np.flatnonzero(difficulty == 0)
    expected = never_missed[np.argsort(loss[never_missed])][: round(0.2 * count)]
    assert np.flatnonzero(selection.reason == 0).tolist() == np.sort(expected).tolist()
    assert selection.cuts == (("difficulty easiest 20 %, ties by loss", 0.0),)


def test_fixed_epsilon_is_the_threat_s_unless_given(study: Study) -> None:
    assert set(study.select(a_plan()).epsilons.tolist()) == {np.float32(CAP)}
    given = study.select(a_plan(epsilon={"policy": "fixed", "epsilon": "8/255"}))
    assert set(given.epsilons.tolist()) == {np.float32(8 / 255)}
    assert len(given.rows) == len(study.margins)


def test_mean_of_margin_gives_puma_s_rows_the_mean_of_its_epsilons_as_drawn(study: Study) -> None:
    puma = study.select(a_plan(EASIEST, epsilon=PUMA))
    control = study.select(a_plan(EASIEST, epsilon={**PUMA, "policy": "mean_of_margin"}))
    assert control.rows.tolist() == puma.rows.tolist()
    assert control.reason.tolist() == puma.reason.tolist()
    assert len(set(control.epsilons.tolist())) == 1
    assert control.epsilons[0] == pytest.approx(study.drawn_mean(puma, puma.epsilons))
    assert control.mean_epsilon == pytest.approx(puma.mean_epsilon)


def test_shuffled_margin_gives_puma_s_rows_its_epsilons_within_class_and_source(study: Study) -> None:
    puma = study.select(a_plan(EASIEST, epsilon=PUMA))
    control = study.select(a_plan(EASIEST, epsilon={**PUMA, "policy": "shuffled_margin"}))
    assert control.rows.tolist() == puma.rows.tolist()
    assert control.epsilons.tolist() != puma.epsilons.tolist()
    labels, source = study.rows.labels[puma.rows], study.rows.source[puma.rows]
    for label in range(10):
        for code in range(2):
            group = (labels == label) & (source == code)
            assert sorted(control.epsilons[group].tolist()) == sorted(puma.epsilons[group].tolist())


@pytest.mark.parametrize("policy", ["margin", "mean_of_margin", "shuffled_margin"])
def test_rows_of_negative_epsilon_can_be_dropped(study: Study, policy: str) -> None:
    selection = study.select(a_plan(EASIEST, epsilon={"policy": policy, "score": "margin", "negative": "drop"}))
    puma = study.select(a_plan(EASIEST, epsilon=PUMA))
    assert selection.rows.tolist() == puma.rows[puma.epsilons >= 0].tolist()
    assert (selection.epsilons >= 0).all()
    assert [label for label, _ in selection.cuts] == ["margin easiest 20 %", "epsilon < 0"]
    np.testing.assert_array_equal(selection.reason == 1, (study.margins < 0) & (puma.reason == -1))


def test_rows_of_negative_epsilon_can_stay_unperturbed(study: Study) -> None:
    selection = study.select(a_plan(epsilon={**PUMA, "negative": "zero"}))
    np.testing.assert_array_equal(selection.epsilons, np.clip(study.margins, 0, np.float32(CAP)))


@pytest.mark.parametrize("negative", ["zero", "drop"])
def test_gap_counts_before_a_margin_is_called_negative(study: Study, negative: str) -> None:
    selection = study.select(a_plan(epsilon={**PUMA, "negative": negative, "gap": 0.02}))
    below = study.margins.astype(float) - 0.02 < 0
    if negative == "drop":
        assert selection.rows.tolist() == np.flatnonzero(~below).tolist()
    else:
        assert (selection.epsilons == 0).tolist() == below.tolist()


@pytest.mark.parametrize("policy", ["margin", "mean_of_margin", "shuffled_margin"])
def test_where_comes_before_the_controls_and_drops_no_row_outside(study: Study, policy: str) -> None:
    where = {"score": "margin", "at_most": 0.05}
    puma = study.select(a_plan(EASIEST, epsilon={**PUMA, "where": where, "negative": "drop"}))
    control = study.select(a_plan(EASIEST, epsilon={**PUMA, "policy": policy, "where": where, "negative": "drop"}))
    margins = study.margins[puma.rows]
    expected = np.where(margins <= np.float32(0.05), margins, np.float32(CAP))
    np.testing.assert_array_equal(puma.epsilons, expected)
    assert (margins >= 0).all()
    assert control.rows.tolist() == puma.rows.tolist()
    assert control.mean_epsilon == pytest.approx(puma.mean_epsilon, rel=1e-2 if policy == "shuffled_margin" else 1e-6)
    outside = study.select(a_plan(epsilon={**PUMA, "where": {**where, "at_most": -10}, "negative": "drop"}))
    assert len(outside.rows) == len(study.margins)
    assert set(outside.epsilons.tolist()) == {np.float32(CAP)}


@pytest.mark.parametrize(
    ("epsilon", "begins_at"),
    [
        ({"policy": "online_margin"}, CAP),
        ({"policy": "online_margin", "cap": 0.12}, 0.12),
        ({"policy": "iaat"}, CAP),
        ({"policy": "cat"}, CAP),
        ({"policy": "cat", "cap": 0.12}, 0.12),
        ({"policy": "iaat", "cap": 0.05}, 0.05),
        ({"policy": "iaat", "cap": 0.2}, CAP),
    ],
)
def test_policies_that_work_during_training_begin_at_one_epsilon_and_have_no_mean_yet(
    study: Study, epsilon: dict[str, Any], begins_at: float
) -> None:
    selection = study.select(a_plan(EASIEST, epsilon=epsilon))
    assert selection.rows.tolist() == study.select(a_plan(EASIEST)).rows.tolist()
    assert set(selection.epsilons.tolist()) == {np.float32(begins_at)}
    assert np.isnan(selection.mean_epsilon)


def a_plan_with_far_rows(*prune: dict[str, Any], **far: Any) -> SelectionSettings:
    far = {"score": "margin", "beyond": CAP, **far}
    return SelectionSettings.model_validate({**a_plan(*prune).model_dump(), "far": far, "attack_steps": 10})


def test_rows_beyond_a_margin_get_their_own_attack_steps(study: Study) -> None:
    """The threshold itself is not beyond, and misclassified rows never are."""
    study.margins[:3] = [CAP, -5.0, np.nextafter(np.float32(CAP), np.float32(1))]
    study.write(study.table())
    selection = study.select(a_plan_with_far_rows(EASIEST, steps=1))
    assert selection.rows.tolist() == study.select(a_plan(EASIEST)).rows.tolist()
    expected = [1 if margin > np.float32(CAP) else 10 for margin in study.margins[selection.rows]]
    assert selection.attack_steps is not None
    assert selection.attack_steps.tolist() == expected
    assert {10, 1} == set(expected)
    assert selection.mean_attack_steps == pytest.approx(study.drawn_mean(selection, selection.attack_steps))
    assert study.select(a_plan_with_far_rows()).attack_steps.tolist()[:3] == [10, 10, 0]  # type: ignore[union-attr]


def test_attack_steps_are_part_of_a_selection_s_fingerprint_and_of_no_other(study: Study) -> None:
    plain, one, none = (
        study.select(plan) for plan in (a_plan(), a_plan_with_far_rows(steps=1), a_plan_with_far_rows())
    )
    assert plain.attack_steps is None
    assert len({plain.fingerprint, one.fingerprint, none.fingerprint}) == 3
    with h5py.File(study.folder / "selection.h5") as file:
        assert "attack_steps" in file
    study.make(a_plan())
    with h5py.File(study.folder / "selection.h5") as file:
        assert "attack_steps" not in file


@pytest.mark.parametrize(
    ("column", "mean"),
    [([1] * 3, 1.0), (None, 11.0), ("negative", 5.0)],
)
def test_attack_steps_that_do_not_fit_their_rows_are_refused(study: Study, column: Any, mean: float) -> None:
    study.make(a_plan_with_far_rows(steps=1))
    path = study.folder / "selection.h5"
    with h5py.File(path, "r+") as file:
        steps = file["attack_steps"][...]
        file.attrs["mean_attack_steps"] = mean
        if column is not None:
            del file["attack_steps"]
            file["attack_steps"] = np.array(column) if isinstance(column, list) else np.where(steps == 1, -1, steps)
    seal(path)
    with pytest.raises(ArtifactError, match=r"expected .* numbers of attack steps, one per row and at least 0"):
        read_selection(path)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"norm": "l2"}, ArtifactError, "expected margins in the threat's norm linf, got norm l2 in score margin"),
        ({"norm": "", "method": "el2n"}, ArtifactError, "name a margin score of that norm under far"),
        (
            {"held_back_agreement": 0.95, "held_back_error": 0.6},
            DataError,
            "expected distances for far, got extrapolated",
        ),
        ({"valid": None}, DataError, "expected a margin for every row, score margin lacks 2"),
    ],
)
def test_far_rows_need_margins(study: Study, changes: dict[str, Any], error: type[Exception], message: str) -> None:
    if "valid" in changes:
        changes = {"valid": np.arange(len(study.margins)) > 1}
    study.write(study.table(**changes))
    with pytest.raises(error, match=message):
        study.make(a_plan_with_far_rows())


def test_rows_whose_label_the_model_denies_get_its_class_and_a_positive_epsilon(study: Study) -> None:
    """Rows 0 and 1 are denied, row 1 by less than `beyond`; row 2 is at its own class, as with a tie."""
    study.margins[:4] = [-0.02, -0.001, -0.02, 0.5]
    predicted = study.rows.labels.copy()
    predicted[[0, 1, 3]] = (study.rows.labels[[0, 1, 3]] + 1) % 10
    study.write(study.table(columns={"prediction": predicted.astype(np.int16)}))
    plan = {**a_plan(epsilon=PUMA).model_dump(), "relabel": {"score": "margin", "beyond": 0.002}}
    plain, selection = study.select(a_plan(epsilon=PUMA)), study.select(SelectionSettings.model_validate(plan))
    assert selection.labels is not None
    changed = [row for row in range(len(study.rows.labels)) if selection.labels[row] != study.rows.labels[row]]
    assert 0 in changed
    assert not {1, 2, 3} & set(changed)
    assert all(study.margins[row] < -0.002 and selection.labels[row] == predicted[row] for row in changed)
    assert selection.num_relabelled == len(changed)
    np.testing.assert_array_equal(selection.epsilons[changed], np.abs(plain.epsilons[changed]))
    rest = np.setdiff1d(np.arange(len(study.rows.labels)), changed)
    np.testing.assert_array_equal(selection.epsilons[rest], plain.epsilons[rest])
    assert plain.labels is None
    assert selection.fingerprint != plain.fingerprint


def test_new_labels_need_predictions_and_must_fit_their_rows(study: Study) -> None:
    plan = SelectionSettings.model_validate({**a_plan().model_dump(), "relabel": {"score": "margin"}})
    study.write(study.table(columns={}))
    with pytest.raises(ArtifactError, match="expected the column prediction in score margin, found none"):
        study.make(plan)
    study.write(study.table(columns={"prediction": study.rows.labels.astype(np.int16)}))
    study.make(plan)
    path = study.folder / "selection.h5"
    with h5py.File(path, "r+") as file:
        del file["labels"]
        file["labels"] = study.rows.labels[:3]
    seal(path)
    with pytest.raises(ArtifactError, match="labels, one per row and at least 0, got 3 in"):
        read_selection(path)


def test_gap_and_cap_bound_the_margins(study: Study) -> None:
    selection = study.select(a_plan(epsilon={**PUMA, "gap": 0.01, "cap": "6/255"}))
    expected = np.clip(study.margins.astype(float) - 0.01, -6 / 255, 6 / 255)
    np.testing.assert_allclose(selection.epsilons, expected, rtol=1e-6)


def test_counts_and_provenance_are_stored(study: Study) -> None:
    selection = study.select(a_plan(EASIEST, epsilon=PUMA))
    with h5py.File(study.folder / "selection.h5") as file:
        counts, inputs = json.loads(file.attrs["counts"]), json.loads(file.attrs["inputs"])
    table = read_scores(study.score)
    for code, name in enumerate(("real", "synthetic")):
        labels = study.rows.labels[selection.rows][study.rows.source[selection.rows] == code]
        assert list(counts[name].values()) == np.bincount(labels, minlength=10).tolist()
    assert {role: recorded["fingerprint"] for role, recorded in inputs.items()} == {
        "pool": study.rows.fingerprint,
        "model of score margin": "m",
        "score margin": content_fingerprint(table.score, table.valid),
    }
    assert recorded_inputs(study.folder / "selection.h5", "selection") == {
        "pool": Input(study.pool, study.rows.fingerprint),
        "model of score margin": Input(None, "m"),
        "score margin": Input(study.score, content_fingerprint(table.score, table.valid)),
    }


def test_a_score_named_pool_leaves_the_pool_s_fingerprint_alone(study: Study) -> None:
    plan = a_plan({"by": "pool", "drop": "easiest", "fraction": 0.2})
    output = study.folder / "s.h5"
    make_selection(plan, seed=0, pool=study.pool, scores={"pool": study.score}, output=output)
    assert recorded_inputs(output, "selection")["pool"] == Input(study.pool, study.rows.fingerprint)


def test_equal_inputs_give_equal_bytes(study: Study) -> None:
    plan = a_plan(EASIEST, {"by": "random", "fraction": 0.1}, epsilon={**PUMA, "policy": "shuffled_margin"})
    for name, seed in (("first", 3), ("again", 3), ("other", 4)):
        study.make(plan, f"{name}/selection.h5", seed)
    first, again, other = ((study.folder / name / "selection.h5").read_bytes() for name in ("first", "again", "other"))
    assert first == again
    assert first != other


def test_rows_that_did_not_converge_are_warned_of_when_cut(study: Study) -> None:
    assert study.make(a_plan(EASIEST)) == []
    study.write(study.table(columns={"converged": study.margins < np.median(study.margins)}))
    (warning,) = study.make(a_plan(EASIEST))
    assert warning.startswith(
        f"{round(0.2 * len(study.margins))} rows removed by 'margin easiest 20 %' did not converge"
    )


def test_rows_without_a_score_are_kept_by_a_cut_and_refused_for_epsilons(study: Study) -> None:
    valid = np.arange(len(study.margins)) >= 20
    study.write(study.table(valid=valid, score=np.where(valid, study.margins, np.nan)))
    selection = study.select(a_plan(EASIEST))
    assert set(range(20)) <= set(selection.rows.tolist())
    for negative in ("anti_adversarial", "zero", "drop"):
        with pytest.raises(DataError, match="a margin for every row, score margin lacks 20; score all rows"):
            study.make(a_plan(epsilon={**PUMA, "negative": negative}))


@pytest.mark.parametrize("policy", ["margin", "mean_of_margin", "shuffled_margin"])
@pytest.mark.parametrize(
    ("changes", "found"),
    [({"norm": "l2"}, "got norm l2"), ({"norm": "", "method": "my:loss"}, "got no margins but my:loss")],
)
def test_epsilons_need_margins_in_the_threat_s_norm(
    study: Study, policy: str, changes: dict[str, Any], found: str
) -> None:
    study.write(study.table(**changes))
    with pytest.raises(ArtifactError, match=f"the threat's norm linf, {found}"):
        study.make(a_plan(epsilon={**PUMA, "policy": policy}))
    assert len(study.select(a_plan(EASIEST)).rows) > 0


def test_a_negative_mean_is_refused_as_a_constant_epsilon(study: Study) -> None:
    study.write(study.table(score=study.margins - 1))
    with pytest.raises(DataError, match="mean epsilon above 0"):
        study.make(a_plan(epsilon={**PUMA, "policy": "mean_of_margin"}))


def test_a_class_that_loses_all_its_rows_is_refused_and_nothing_is_written(study: Study) -> None:
    study.write(study.table(score=(study.rows.labels == 3).astype(np.float32)))
    with pytest.raises(DataError, match="got none of class 3"):
        study.make(a_plan({"by": "margin", "at_least": 1.0}))
    assert not (study.folder / "selection.h5").exists()


def test_a_threshold_at_odds_with_its_side_is_a_mistake_in_the_study(study: Study) -> None:
    with pytest.raises(ConfigError, match=r"expected drop: easiest with at_least .* in the cut by margin, got hardest"):
        study.make(a_plan({"by": "margin", "drop": "hardest", "at_least": 0.1}))
    assert len(study.select(a_plan({"by": "margin", "drop": "easiest", "at_least": 0.1})).rows) > 0


def test_score_and_selection_of_another_pool_are_refused(
    study: Study, pools: tuple[Path, Path], tmp_path: Path
) -> None:
    study.make(a_plan())
    other = Study(pools[1], tmp_path)
    with pytest.raises(ArtifactError, match="made for another pool"):
        make_selection(
            a_plan(EASIEST), seed=0, pool=study.pool, scores={"margin": other.score}, output=tmp_path / "s.h5"
        )
    with pytest.raises(ArtifactError, match="made for another pool"):
        read_selection(study.folder / "selection.h5", other.rows.fingerprint)


def test_another_kind_of_file_is_refused(study: Study) -> None:
    with pytest.raises(ArtifactError, match=r"expected schema puma\.selection, got puma\.scores"):
        read_selection(study.score)
    with pytest.raises(ArtifactError, match="found nothing"):
        read_selection(study.folder / "missing.h5")


def drop_a_row(file: h5py.File) -> None:
    rows = file["rows"][1:]
    del file["rows"]
    file["rows"] = rows


def drop_an_epsilon(file: h5py.File) -> None:
    epsilons = file["epsilons"][1:]
    del file["epsilons"]
    file["epsilons"] = epsilons


def change_a_reason(file: h5py.File) -> None:
    file["reason"][0] = 0 if file["reason"][0] == -1 else -1


def swap_rows(file: h5py.File) -> None:
    file["rows"][:2] = file["rows"][:2][::-1]


@pytest.mark.parametrize("damage", [drop_a_row, drop_an_epsilon, change_a_reason, swap_rows])
def test_rows_that_disagree_with_their_reasons_are_refused(study: Study, damage: Callable[[h5py.File], None]) -> None:
    study.make(a_plan(EASIEST))
    with h5py.File(study.folder / "selection.h5", "r+") as file:
        damage(file)
    seal(study.folder / "selection.h5")
    with pytest.raises(ArtifactError, match="rows, epsilons and reason to agree"):
        read_selection(study.folder / "selection.h5")


def test_fingerprint_of_a_selection_follows_rows_and_epsilons(study: Study) -> None:
    first, again = study.select(a_plan(EASIEST)), study.select(a_plan(EASIEST))
    other_rows = study.select(a_plan({**EASIEST, "fraction": 0.3}))
    other_epsilons = study.select(a_plan(EASIEST, epsilon=PUMA))
    assert first.fingerprint == again.fingerprint
    assert len({first.fingerprint, other_rows.fingerprint, other_epsilons.fingerprint}) == 3

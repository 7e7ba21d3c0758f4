"""Scores of what runs gathered: counts and means against plain recounts, and the files around them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter

from pumalib.data.datasets import prepare_dataset
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.selection import StoredSelection, read_selection
from pumalib.data.settings import DigitsSettings
from pumalib.errors import ArtifactError, DataError
from pumalib.scores.forgetting import forgetting_counts
from pumalib.scores.settings import ScoreSettings
from pumalib.scores.table import ScoreTable, read_scores
from pumalib.scores.tracked_stage import score_tracks
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection
from pumalib.tracks.file import Quantity, Track, Visits, write_track

ROWS, EPOCHS = 40, np.array([1, 2, 4, 8])
DIVERGED = Track(ROWS, {"loss": Quantity(np.array([1]), np.full((1, ROWS), np.inf, np.float32))})


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pool of 40 digits."""
    folder = tmp_path_factory.mktemp("pool")
    settings = DigitsSettings(source="digits", split="seeded", test_fraction=0.9, train_count=ROWS)
    prepare_dataset(settings, 0, folder, folder / "dataset.h5")
    build_pool(folder / "dataset.h5", None, folder / "pool.h5", {})
    return folder / "pool.h5"


def a_track(seed: int, **changes: Any) -> Track:
    generator = np.random.default_rng(seed)
    quantities = {name: Quantity(EPOCHS, generator.random((4, ROWS), np.float32)) for name in ("el2n", "loss")}
    quantities["aign"] = Quantity(EPOCHS, generator.random((4, ROWS), np.float32), "l2")
    quantities["grand"] = Quantity(EPOCHS, generator.random((4, ROWS), np.float32) * 30)
    quantities["correct"] = Quantity(EPOCHS, generator.random((4, ROWS)) < 0.5)
    count = generator.integers(0, 4, ROWS).astype(np.int32)
    track = {"quantities": quantities, "visits": Visits(count, generator.binomial(count, 0.5).astype(np.int32))}
    return Track(ROWS, **{**track, **changes})


Scorer = Callable[..., ScoreTable]


@pytest.fixture
def score(pool: Path, tmp_path: Path) -> Scorer:
    """Return a scorer of that pool: settings and tracks in, the stored table out."""

    def run(values: dict[str, Any], *tracks: Track, name: str = "x", seed: int = 0) -> ScoreTable:
        fingerprint = open_pool(pool).fingerprint
        paths = [tmp_path / f"track{index}.h5" for index in range(len(tracks))]
        for path, track in zip(paths, tracks, strict=True):
            write_track(track, path, fingerprint)
        tracked = {} if values["method"] == "random" else {"tracked": [f"run{index}" for index in range(len(tracks))]}
        settings: Any = TypeAdapter(ScoreSettings).validate_python({**tracked, **values})
        score_tracks(settings, pool, paths, tmp_path / "score.h5", name=name, seed=seed)
        return read_scores(tmp_path / "score.h5", fingerprint)

    return run


@pytest.mark.parametrize(
    ("method", "quantity"), [("el2n", "el2n"), ("grand", "grand"), ("aign", "aign"), ("mean_loss", "loss")]
)
@pytest.mark.parametrize(("window", "rows"), [({}, slice(None)), ({"first_epoch": 2, "last_epoch": 7}, slice(1, 3))])
def test_means_are_over_the_epochs_of_the_window_and_over_runs(
    score: Scorer, method: str, quantity: str, window: dict[str, int], rows: slice
) -> None:
    tracks = [a_track(0), a_track(1)]
    table = score({"method": method, **window}, *tracks)
    per_run = [track.quantities[quantity].values[rows].astype(float) for track in tracks]
    np.testing.assert_allclose(table.score, np.concatenate(per_run).mean(0), rtol=1e-6)
    assert (table.higher_is, table.method, table.norm) == ("harder", method, "")
    assert table.valid.all()


def test_every_run_weighs_the_same_whatever_the_number_of_its_epochs(score: Scorer) -> None:
    short = Track(ROWS, {"el2n": Quantity(np.array([1]), np.ones((1, ROWS), np.float32))})
    long = Track(ROWS, {"el2n": Quantity(np.array([1, 2, 3]), np.zeros((3, ROWS), np.float32))})
    assert set(score({"method": "el2n"}, short, long).score.tolist()) == {0.5}


@pytest.mark.parametrize(("norm", "name"), [("l2", "L2"), ("l1", "L1"), ("linf", "L-inf")])
def test_the_unit_of_aign_names_the_norm_it_was_tracked_in(score: Scorer, norm: str, name: str) -> None:
    track = Track(ROWS, {"aign": Quantity(np.array([1]), np.ones((1, ROWS), np.float32), norm)})
    assert score({"method": "aign"}, track, track).unit == f"{name} norm per unit of pixel scale [0, 1]"


def test_aign_of_several_norms_is_not_averaged(score: Scorer) -> None:
    tracks = [
        Track(ROWS, {"aign": Quantity(np.array([1]), np.ones((1, ROWS), np.float32), norm)}) for norm in ("l2", "l1")
    ]
    with pytest.raises(DataError, match="expected tracks of aign in one norm, got l1, l2; make a score for each"):
        score({"method": "aign"}, *tracks)


def test_difficulty_is_the_share_of_epochs_misclassified(score: Scorer) -> None:
    tracks = [a_track(0), a_track(1)]
    table = score({"method": "classification_difficulty", "last_epoch": 4}, *tracks)
    for row in range(ROWS):
        wrong = sum(not track.quantities["correct"].values[epoch, row] for track in tracks for epoch in range(3))
        assert table.score[row] == np.float32(wrong / 6)
    assert table.unit == "share of tracked epochs"


@pytest.mark.parametrize("named", [True, False])
def test_difficulty_by_visits_pools_them_and_leaves_unvisited_rows_without_a_score(
    score: Scorer, caplog: pytest.LogCaptureFixture, named: bool
) -> None:
    """Visits are taken where the study names them, or where correct is not tracked by every run."""
    tracks = [a_track(0), a_track(1, **({} if named else {"quantities": {}}))]
    counted = {"counted": "visits"} if named else {}
    with caplog.at_level(logging.WARNING):
        table = score({"method": "classification_difficulty", **counted}, *tracks)
    parts = [track.visits for track in tracks if track.visits is not None]
    count, wrong = (np.sum([getattr(visits, name) for visits in parts], 0) for name in ("count", "wrong"))
    assert 0 < (count == 0).sum() < ROWS
    assert table.valid.tolist() == (count > 0).tolist()
    np.testing.assert_allclose(table.score[table.valid], (wrong / np.maximum(count, 1))[count > 0], rtol=1e-6)
    assert np.isnan(table.score[~table.valid]).all()
    assert table.columns["count"].tolist() == count.tolist()
    assert f"{(count == 0).sum()} of {ROWS} rows were never visited" in caplog.text


def selected(pool: Path, scores: dict[str, Path], output: Path, **cut: Any) -> StoredSelection:
    """Cut a pool by its one score."""
    (by,) = scores
    settings = SelectionSettings.model_validate(
        {
            "prune": [{"by": by, **cut}],
            "epsilon": {"policy": "fixed"},
            "threat": {"norm": "linf", "epsilon": 0.1},
            "synthetic_fraction": 0.7,
        }
    )
    make_selection(settings, seed=0, pool=pool, scores=scores, output=output)
    return read_selection(output)


def test_a_row_always_wrong_reaches_one_and_a_row_wrong_in_one_of_fifty_reaches_a_fiftieth(
    score: Scorer, pool: Path, tmp_path: Path
) -> None:
    correct = np.ones((50, ROWS), bool)
    correct[:, 0], correct[7, 1] = False, False
    score({"method": "classification_difficulty"}, Track(ROWS, {"correct": Quantity(np.arange(1, 51), correct)}))
    for bound, removed in ((1.0, [0]), (0.02, [0, 1])):
        selection = selected(pool, {"difficulty": tmp_path / "score.h5"}, tmp_path / "selection.h5", at_least=bound)
        assert np.flatnonzero(selection.reason == 0).tolist() == removed


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("1111", 0), ("0001", 0), ("0111", 0), ("1000", 1), ("1010", 2), ("0101", 1), ("1101", 1), ("0000", 3),
        ("0", 1), ("1", 0), ("00", 2), ("10", 1), ("10101", 2), ("00000", 3),
    ],
)  # fmt: skip
def test_forgetting_counts_steps_from_right_to_wrong_and_never_learned_is_hardest(sequence: str, expected: int) -> None:
    correct = np.array([[character == "1"] for character in sequence])
    assert forgetting_counts(correct).tolist() == [expected]


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=12))
def test_no_row_that_was_ever_right_is_as_hard_as_one_never_learned(epochs: list[list[bool]]) -> None:
    correct = np.array(epochs)
    counts = forgetting_counts(correct)
    never = forgetting_counts(np.zeros_like(correct))
    for column, count, worst in zip(correct.T, counts, never, strict=True):
        assert (count < worst) == column.any()


def easycore(pool: Path, score: Path, output: Path, **cut: Any) -> NDArray[np.int64]:
    """Select as a run of EasyCore does; return the rows kept."""
    return selected(pool, {"aign": score}, output, drop="hardest", **cut).rows


def test_easycore_keeps_the_rows_of_lowest_aign_and_says_when_it_loses_a_class_or_all(
    score: Scorer, pool: Path, tmp_path: Path
) -> None:
    labels = open_pool(pool).labels
    hardest = np.unique(labels)[-1]
    values = (np.random.default_rng(0).random(ROWS) + 2 * (labels == hardest)).astype(np.float32)
    table = score({"method": "aign"}, Track(ROWS, {"aign": Quantity(np.array([1]), values[None], "l2")})).score
    output = tmp_path / "selection.h5"
    kept = easycore(pool, tmp_path / "score.h5", output, fraction=0.05)
    assert kept.tolist() == np.sort(np.argsort(table)[:38]).tolist()
    output.unlink()
    with pytest.raises(DataError, match=f"got none of class {hardest} after pruning; prune less, or use scope: per_cl"):
        easycore(pool, tmp_path / "score.h5", output, fraction=0.4)
    per_class = easycore(pool, tmp_path / "score.h5", output, fraction=0.4, scope="per_class")
    assert set(labels[per_class]) == set(labels)
    output.unlink()
    with pytest.raises(DataError, match="expected at least one row to be kept, got none; prune less"):
        easycore(pool, tmp_path / "score.h5", output, fraction=0.99)
    assert not output.exists()


def test_forgetting_is_averaged_over_runs(score: Scorer) -> None:
    def run(*sequence: int) -> Track:
        correct: NDArray[np.bool_] = np.repeat(np.array(sequence, bool)[:, None], ROWS, 1)
        return Track(ROWS, {"correct": Quantity(np.arange(1, 5), correct)})

    assert set(score({"method": "forgetting"}, run(1, 0, 1, 0), run(1, 1, 1, 0)).score.tolist()) == {1.5}
    assert set(score({"method": "forgetting", "first_epoch": 2}, run(1, 0, 1, 0)).score.tolist()) == {1.0}


def test_random_scores_are_drawn_by_seed_and_name(score: Scorer) -> None:
    first, again = (score({"method": "random"}).score for _ in range(2))
    other_seed, other_name = score({"method": "random"}, seed=1).score, score({"method": "random"}, name="y").score
    assert np.array_equal(first, again)
    assert len({tuple(values.tolist()) for values in (first, other_seed, other_name)}) == 3
    assert 0 <= first.min() < 0.2 < 0.8 < first.max() < 1


def test_a_score_names_the_tracks_it_was_made_of(score: Scorer) -> None:
    prints = [score({"method": "el2n"}, *map(a_track, seeds)).model_fingerprint for seeds in ([0], [1], [0, 1], [0])]
    assert prints[0] == prints[3]
    assert len(set(prints)) == 3
    assert score({"method": "random"}).model_fingerprint == ""


@pytest.mark.parametrize(
    ("values", "track", "message"),
    [
        ({"method": "el2n"}, Track(ROWS, {}), "expected a track that holds el2n, got none; track el2n"),
        ({"method": "classification_difficulty"}, Track(ROWS, {}), "holds visits, got none; track visits"),
        ({"method": "classification_difficulty", "counted": "epochs"}, a_track(0, quantities={}),
         "expected a track that holds correct, got none; track correct"),
        ({"method": "el2n", "first_epoch": 5, "last_epoch": 7}, a_track(0), r"got el2n after epochs \[1, 2, 4, 8\]"),
        ({"method": "mean_loss"}, DIVERGED,
         "expected finite mean_loss scores, got inf for 40 of 40 rows"),
    ],
)  # fmt: skip
def test_tracks_that_cannot_answer_are_refused(
    score: Scorer, values: dict[str, Any], track: Track, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score(values, track)


def test_a_track_of_another_pool_is_refused_as_a_score(pool: Path, tmp_path: Path) -> None:
    write_track(a_track(0), tmp_path / "track.h5", "another pool")
    settings: Any = TypeAdapter(ScoreSettings).validate_python({"method": "el2n", "tracked": "run"})
    with pytest.raises(ArtifactError, match="made for another pool"):
        score_tracks(settings, pool, [tmp_path / "track.h5"], tmp_path / "score.h5", name="x", seed=0)
    assert not (tmp_path / "score.h5").exists()

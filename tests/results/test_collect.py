from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from pumalib.data.selection import read_selection
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import create_artifact
from pumalib.files.digests import seal
from pumalib.files.origin import Input, Origin
from pumalib.reporting.results import RESULT_COLUMNS, check_results, read_results
from pumalib.results.collect import RunFiles, collect_results, write_results

LABELS = [0, 1, 2, 0, 1]
CLEAN = [0, 1, 2, 0, 2]  # 4 of 5 right
ATTACKED = [0, 2, 2, 1, 2]  # 2 of 5 right


def write_attack(
    path: Path, method: str = "pgd", split: str = "test", selection: str = "", **columns: list[int]
) -> Path:
    values = {"label": LABELS, "clean_prediction": CLEAN, "adversarial_prediction": ATTACKED, **columns}
    origin = Origin(inputs={"selection of model": Input(None, selection)})
    with create_artifact(path, "attack", origin) as file:
        file.attrs["method"], file.attrs["split"] = method, split
        for name, column in values.items():
            file[name] = np.array(column, np.int64)
    return path


def write_selection(path: Path, kept: list[int], count: int, mean: float) -> Path:
    reason = np.zeros(count, np.int16)
    reason[kept] = -1
    with create_artifact(path, "selection") as file:
        file.attrs["pool_fingerprint"], file.attrs["mean_epsilon"], file.attrs["cuts"] = "f", mean, '[["cut", 0.1]]'
        file["rows"] = np.array(kept, np.int64)
        file["epsilons"] = np.full(len(kept), mean, np.float32)
        file["reason"] = reason
    return path


@pytest.fixture
def entry(tmp_path: Path) -> Any:
    """Return a maker of one run's files."""

    def make(run: str = "puma", seed: int = 0, **attacks: dict[str, Any]) -> RunFiles:
        folder = tmp_path / run / str(seed)
        paths = {name: write_attack(folder / f"{name}.h5", **options) for name, options in attacks.items()}
        selection = write_selection(folder / "selection.h5", [0, 2, 3], 4, 0.125)
        return RunFiles(run, seed, "digits", selection, paths)

    return make


def test_numbers_are_those_counted_by_hand(entry: Any) -> None:
    results = collect_results("tiny", [entry(cw={"method": "cw_pgd"}, pgd={"adversarial_prediction": [1, 1, 2, 1, 2]})])
    shared = {
        "study": "tiny", "run": "puma", "seed": 0, "pool": "digits",
        "num_kept": 3, "pruned_fraction": 0.25, "mean_epsilon": 0.125, "num_samples": 5,
    }  # fmt: skip
    expected = [
        {"attack": "none", "metric": "clean_accuracy", "value": 0.8},
        {"attack": "cw", "metric": "robust_accuracy", "value": 0.4},
        {"attack": "pgd", "metric": "robust_accuracy", "value": 0.4},
    ]
    frame = pd.DataFrame([{**shared, **row} for row in expected], columns=list(RESULT_COLUMNS))
    pd.testing.assert_frame_equal(results, frame)


def test_right_answer_under_attack_counts_though_the_clean_one_was_wrong(entry: Any) -> None:
    results = collect_results("tiny", [entry(cw={"adversarial_prediction": [0, 2, 2, 1, 1]})])
    assert results["value"].tolist() == [0.8, 0.6]


def test_rows_stand_in_the_order_of_the_study(entry: Any) -> None:
    files = [entry(run, seed, pgd={}, cw={}) for run in ("z", "a") for seed in (2, 0)]
    results = collect_results("tiny", files)
    assert list(zip(results["run"], results["seed"], results["attack"], strict=True)) == [
        (run, seed, attack) for run in ("z", "a") for seed in (2, 0) for attack in ("none", "pgd", "cw")
    ]


def test_clean_accuracy_comes_from_the_table_with_most_test_images(entry: Any) -> None:
    few = {"label": LABELS[:2], "clean_prediction": CLEAN[:2], "adversarial_prediction": ATTACKED[:2]}
    results = collect_results("tiny", [entry(few=few, all={})])
    assert results[["attack", "value", "num_samples"]].to_numpy().tolist() == [
        ["none", 0.8, 5], ["few", 0.5, 2], ["all", 0.4, 5],
    ]  # fmt: skip


def test_test_split_goes_before_a_larger_validation_split(entry: Any) -> None:
    few = {"label": LABELS[:2], "clean_prediction": CLEAN[:2], "adversarial_prediction": ATTACKED[:2]}
    wrong = {"split": "validation", "clean_prediction": [1, 0, 0, 1, 0]}
    results = collect_results("tiny", [entry(tuning=wrong, final=few)])
    assert results[["attack", "value", "num_samples"]].to_numpy().tolist() == [
        ["none", 1.0, 2], ["tuning", 0.4, 5], ["final", 0.5, 2],
    ]  # fmt: skip


def test_clean_attack_gives_clean_accuracy_alone(entry: Any) -> None:
    results = collect_results("tiny", [entry(clean={"method": "clean", "adversarial_prediction": CLEAN}, cw={})])
    assert results["attack"].tolist() == ["none", "cw"]


@pytest.mark.parametrize("count", [5, 3])
def test_attacks_of_two_models_are_refused(entry: Any, count: int) -> None:
    other = [0, 1, 1, 0, 2]  # differs from CLEAN at row 2
    columns = {"label": LABELS, "clean_prediction": other, "adversarial_prediction": ATTACKED}
    files = entry(cw={}, pgd={name: column[:count] for name, column in columns.items()})
    with pytest.raises(ArtifactError, match=r"expected one clean prediction an image, attack .* of puma/seed0 differs"):
        collect_results("tiny", [files])


def test_attacks_of_two_test_sets_are_refused(entry: Any) -> None:
    with pytest.raises(ArtifactError, match=r"expected one label per image, attack pgd of puma/seed0 differs"):
        collect_results("tiny", [entry(cw={}, pgd={"label": [1, 1, 2, 0, 1]})])


@pytest.mark.parametrize(
    "columns", [{"label": LABELS[:4]}, {"label": [], "clean_prediction": [], "adversarial_prediction": []}]
)
def test_attack_table_with_ragged_or_empty_columns_is_refused(entry: Any, columns: dict[str, list[int]]) -> None:
    with pytest.raises(ArtifactError, match=r"expected columns of one length above 0 in .*cw\.h5; make it again"):
        collect_results("tiny", [entry(cw=columns)])


def test_attack_on_a_model_of_another_selection_is_refused(entry: Any) -> None:
    files = entry(cw={})
    collect_results("tiny", [entry(cw={"selection": read_selection(files.selection).fingerprint})])
    message = (
        r"expected attack cw on the model of puma/seed0, got one on a model that was trained on another selection at"
    )
    with pytest.raises(ArtifactError, match=message):
        collect_results("tiny", [entry(cw={"selection": "of another run"})])


def test_selection_that_contradicts_itself_is_refused(entry: Any) -> None:
    files = entry(cw={})
    write_selection(files.selection, [0, 2, 3], 4, 0.1)
    with h5py.File(files.selection, "r+") as file:
        file["rows"][0] = 1
    seal(files.selection)
    with pytest.raises(ArtifactError, match="expected rows, epsilons and reason to agree"):
        collect_results("tiny", [files])


def test_missing_attack_table_is_refused_by_its_path(entry: Any) -> None:
    files = entry(cw={})
    files.attacks["cw"].unlink()
    with pytest.raises(ArtifactError, match=r"expected an attack file, found nothing at .*cw\.h5"):
        collect_results("tiny", [files])


def test_written_table_is_read_back_whole(entry: Any, tmp_path: Path) -> None:
    files = [entry("null", 0, cw={}), entry("7", 1, cw={})]
    write_results("tiny", files, tmp_path / "results.csv")
    collected = collect_results("tiny", files)
    check_results(collected)
    pd.testing.assert_frame_equal(read_results(tmp_path / "results.csv"), collected, check_dtype=False)
    before = (tmp_path / "results.csv").read_bytes()
    write_results("tiny", files, tmp_path / "results.csv")
    assert (tmp_path / "results.csv").read_bytes() == before


def test_table_without_runs_has_its_columns() -> None:
    assert tuple(collect_results("tiny", []).columns) == RESULT_COLUMNS


def test_files_of_a_run_are_read_from_what_a_rule_spells() -> None:
    spelled = {"run": "a", "seed": "3", "pool": "p", "selection": "s.h5", "attacks": {"cw": "x.h5", "pgd": "y.h5"}}
    files = RunFiles.from_mapping(spelled)
    assert files == RunFiles("a", 3, "p", Path("s.h5"), {"cw": Path("x.h5"), "pgd": Path("y.h5")})
    assert list(files.attacks) == ["cw", "pgd"]


def test_a_model_trained_elsewhere_has_accuracies_and_no_selection_and_other_runs_keep_whole_numbers(
    entry: Any, tmp_path: Path
) -> None:
    theirs = RunFiles("theirs", 0, "digits", None, {"cw": write_attack(tmp_path / "theirs.h5")})
    write_results("tiny", [entry(cw={}), theirs], tmp_path / "results.csv")
    lines = [line.split(",") for line in (tmp_path / "results.csv").read_text().splitlines()]
    assert lines[1] == ["tiny", "puma", "0", "digits", "3", "0.25", "0.125", "none", "clean_accuracy", "0.8", "5"]
    assert lines[3] == ["tiny", "theirs", "0", "digits", "", "", "", "none", "clean_accuracy", "0.8", "5"]
    assert lines[4] == ["tiny", "theirs", "0", "digits", "", "", "", "cw", "robust_accuracy", "0.4", "5"]
    check_results(read_results(tmp_path / "results.csv"))


def test_an_attack_on_a_trained_model_is_refused_as_one_on_a_model_from_elsewhere(tmp_path: Path) -> None:
    theirs = RunFiles("theirs", 0, "digits", None, {"cw": write_attack(tmp_path / "theirs.h5", selection="f")})
    with pytest.raises(ArtifactError, match=r"trained on another selection at .*theirs.h5; delete it and run again"):
        collect_results("tiny", [theirs])

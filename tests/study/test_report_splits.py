"""A report is about one split: no number of it is of other images, and its intervals are those of that split."""

from collections.abc import Callable
from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.reporting.study_view import StudyFiles
from pumalib.study.study import Study

TEST_TO_TRAIN = 0.3 / (0.7 * 0.9)
VALIDATION_TO_TRAIN = 0.1 / 0.9
"""Of the study's digits: 30 % test rows, and a tenth of the rest for validation."""


@pytest.fixture
def files() -> StudyFiles:
    """Return files of which only results and attack tables are asked for."""

    def results(runs: Any) -> list[dict[str, Any]]:
        attacks = {name: f"at/{name}" for name in ("cw", "cw-validation")}
        return [{"run": run, "selection": f"at/{run}", "attacks": attacks} for run in runs]

    others = ("dataset", "pool", "pool_sources", "score", "selection", "history", "kept_attack")
    seconds = ("training_benchmark", "learning_benchmark", "attack_benchmark", "score_benchmarks")
    never: Any = None
    return StudyFiles(**dict.fromkeys((*others, *seconds), never), attack=lambda *names: "at", results=results)


def add_validation(study: dict[str, Any], **changes: Any) -> None:
    study["attacks"]["cw-validation"] = {
        "method": "cw_pgd",
        "split": "validation",
        "runs": ["trades", "puma"],
        **changes,
    }
    others = ["pruned", "online", "keeping", "best", "other", "conditioning", "real-alone", "real-again"]
    study["attacks"]["cw"]["runs"] = ["trades", "puma", *others, "random-keep80", "cut-keep80"]


@pytest.mark.parametrize(
    ("report", "attacks", "ratio"),
    [
        ({"kind": "comparison"}, ["cw"], TEST_TO_TRAIN),
        ({"kind": "comparison", "attacks": ["cw-validation"]}, ["cw-validation"], VALIDATION_TO_TRAIN),
        ({"kind": "trade_off", "attack": "cw-validation"}, ["cw-validation"], VALIDATION_TO_TRAIN),
        ({"kind": "trade_off", "attack": "cw"}, ["cw"], TEST_TO_TRAIN),
    ],
)
def test_a_report_reads_tables_of_one_split_and_takes_its_ratio(
    study: dict[str, Any],
    read: Callable[[dict[str, Any]], Study],
    files: StudyFiles,
    report: dict[str, Any],
    attacks: list[str],
    ratio: float,
) -> None:
    add_validation(study)
    loaded = read({**report, "baseline": "trades", "runs": ["puma"]})
    needs = loaded.settings.reports["r"].needs(loaded, files)
    assert [list(entry["attacks"]) for entry in needs.arguments["files"]] == [attacks, attacks]
    assert needs.arguments["test_to_train"] == pytest.approx(ratio)


def test_attacks_on_two_splits_are_refused_in_one_report(
    study: dict[str, Any], read: Callable[[dict[str, Any]], Study]
) -> None:
    add_validation(study)
    with pytest.raises(
        ConfigError, match="expected attacks on one split, got cw on test rows, cw-validation on validation"
    ):
        read({"kind": "comparison", "baseline": "trades", "runs": ["puma"], "attacks": ["cw", "cw-validation"]})


def test_a_run_attacked_on_other_rows_than_the_rest_is_refused_before_any_job(
    study: dict[str, Any], read: Callable[[dict[str, Any]], Study]
) -> None:
    add_validation(study, runs=["trades", "puma"])
    study["attacks"]["cw"]["runs"].remove("puma")
    study["runs"]["elsewhere"] = {}
    study["attacks"]["cw"]["runs"].append("elsewhere")
    study["attacks"]["shortest"] = {"method": "minimum_norm", "runs": ["trades"]}
    with pytest.raises(
        ConfigError, match=r"expected an attack on test rows for every run .* got none on validation rows"
    ):
        read({"kind": "comparison", "baseline": "elsewhere", "runs": ["puma"]})


def test_the_primary_contrast_takes_the_ratio_of_its_attack(
    study: dict[str, Any], read: Callable[[dict[str, Any]], Study], files: StudyFiles
) -> None:
    add_validation(study)
    study["primary"] = {"run": "puma", "against": "trades", "metric": "robust_accuracy", "attack": "cw-validation"}
    loaded = read({"kind": "comparison", "baseline": "trades", "runs": ["puma"]})
    primary, comparison = (loaded.settings.reports[name].needs(loaded, files).arguments for name in ("primary", "r"))
    assert primary["test_to_train"] == pytest.approx(VALIDATION_TO_TRAIN)
    assert comparison["test_to_train"] == pytest.approx(TEST_TO_TRAIN)
    assert (comparison["primary"]["split"], comparison["split"]) == ("validation", "test")

"""Which epochs a run keeps and which its model is of: what is refused, and what a report of kept epochs reads."""

from collections.abc import Callable
from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.reporting.study_view import StudyFiles
from pumalib.study.check_kept_epochs import MOST_KEPT
from pumalib.study.file import load_merged_study
from pumalib.study.plan import plan_of
from pumalib.study.study import Study

REFUSED = [
    ({"keep_every": 3}, "expected keep_every of at most the 2 epochs of training, got 3 at runs.r.training.keep_every"),
    ({"keep_every": 0}, "expected keep_every to be greater than 0, got 0 at runs.r.training.keep_every"),
    (
        {"keep_every": 3, "epochs": 400},
        f"expected at most {MOST_KEPT} epochs to keep, whose weights a training holds in memory, got 134 at "
        "runs.r.training.keep_every; raise it",
    ),
    ({"checkpoint": "first"}, "expected checkpoint last or best, got 'first' at runs.r.training.checkpoint"),
    (
        {"checkpoint": "best", "history_every": 2},
        "expected history_every below the 2 epochs with checkpoint: best, which chooses among measured epochs, got 2 "
        "at runs.r.training.checkpoint; lower history_every",
    ),
    (
        {"checkpoint": "best", "method": "natural"},
        "expected checkpoint only with method pgd_at or trades, got method natural at runs.r.training",
    ),
]


@pytest.mark.parametrize(("training", "message"), REFUSED)
def test_what_keeps_nothing_or_cannot_choose_is_refused(
    study: dict[str, Any], training: dict[str, Any], message: str
) -> None:
    study["runs"]["r"] = {"training": training}
    with pytest.raises(ConfigError) as error:
        load_merged_study(study, [])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_best_epoch_of_a_dataset_without_validation_rows_is_refused(study: dict[str, Any]) -> None:
    study["datasets"]["digits"]["validation_fraction"] = 0.0
    study["runs"]["r"] = {"training": {"checkpoint": "best"}}
    expected = (
        r"^expected validation_fraction above 0 in datasets\.digits, by which checkpoint: best chooses an epoch, "
        r"got 0 at runs\.r\.training\.checkpoint; give the dataset validation rows, or take checkpoint: last"
    )
    with pytest.raises(ConfigError, match=expected):
        load_merged_study(study, [])


def test_a_natural_run_takes_the_last_epoch_where_the_defaults_take_the_best(study: dict[str, Any]) -> None:
    study["defaults"]["training"]["checkpoint"] = "best"
    study["runs"]["plain"] = {"training": {"method": "natural"}}
    read = load_merged_study(study, [])
    assert isinstance(read, Study)
    assert not hasattr(read.runs["plain"].training, "checkpoint")


KEPT = {"kind": "kept_epochs", "runs": ["keeping"], "attack": "cw"}


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (
            {**KEPT, "runs": ["keeping", "puma"]},
            "expected keep_every of every run of the report, got none of puma at reports.r; give it under "
            "runs.puma.training",
        ),
        ({**KEPT, "baseline": "trades"}, "got none of trades at reports.r"),
        ({**KEPT, "attack": "cv"}, 'an attack, got "cv"; did you mean "cw"? at reports.r.attack'),
        ({**KEPT, "attack": "clean"}, "expected an attack that perturbs, got clean"),
        ({**KEPT, "runs": ["keeping", "seldom"]}, "got 2 and 3 of seldom at reports.r"),
        ({**KEPT, "runs": ["elsewhere"]}, "expected validation_fraction above 0 in datasets.fashion"),
    ],
)
def test_reports_of_kept_epochs_that_cannot_be_made_are_refused(
    study: dict[str, Any], read: Callable[[dict[str, Any]], Study], report: dict[str, Any], message: str
) -> None:
    study["attacks"]["clean"] = {"method": "clean"}
    study["runs"]["seldom"] = {"training": {"epochs": 4, "keep_every": 2, "history_every": 3}}
    study["runs"]["elsewhere"] = {"pool": "fashion", "training": {"keep_every": 1}}
    with pytest.raises(ConfigError) as error:
        read(report)
    assert message in str(error.value)


def test_a_report_reads_each_kept_epoch_and_the_model_where_that_is_the_best(
    read: Callable[[dict[str, Any]], Study],
) -> None:
    study = read({**KEPT, "baseline": "best"})

    def of(what: str) -> Callable[..., str]:
        return lambda *names: "/".join([what, *map(str, names)])

    names = ("dataset", "pool", "pool_sources", "score", "selection", "history", "attack", "kept_attack", "results")
    more = ("training_benchmark", "learning_benchmark", "attack_benchmark", "score_benchmarks")
    files: Any = {name: of(name) for name in (*names, *more)}
    inputs = study.settings.reports["r"].needs(study, StudyFiles(**files)).inputs
    assert [path for path in inputs if path.endswith(("/0", "/2", "/4", "/3", "cw")) and "/1" not in path] == [
        "history/keeping/0",
        "kept_attack/keeping/0/cw/2",
        "kept_attack/keeping/0/cw/4",
        "history/best/0",
        "kept_attack/best/0/cw/3",
        "kept_attack/best/0/cw/4",
        "attack/best/0/cw",
    ]


def test_an_attack_for_kept_epochs_alone_is_on_no_model_and_the_plan_counts_it(
    study: dict[str, Any], read: Callable[[dict[str, Any]], Study]
) -> None:
    study["attacks"]["held-out"] = {"method": "cw_pgd", "split": "validation", "runs": []}
    checked = read({**KEPT, "baseline": "best", "attack": "held-out"})
    assert all("held-out" not in checked.attacks_of(run) for run in checked.runs)
    jobs = plan_of(checked).jobs
    assert jobs["attacks on kept epochs"] == 2 * (2 + 2 + 1)  # seeds; epochs 2 and 4, 3 and 4; the model of the best
    assert jobs["attacks"] == 2 * 2 * len(checked.runs)

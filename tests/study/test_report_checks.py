from collections.abc import Callable
from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.study.study import Study

RATIO = {"kind": "ratio_curves", "lines": {"1M": ["puma"]}, "baselines": {"1M": "trades"}, "attack": "cw"}
ROBUSTNESS = {"kind": "robustness_curves", "runs": ["puma"], "baseline": "trades", "attack": "shortest"}
HISTOGRAM = {"kind": "margin_histogram", "score": "margin"}
REFUSED = [
    (
        {"kind": "training_curves", "runs": ["trades", "pumma"]},
        'got "pumma"; did you mean "puma"? at reports.r.runs[1]',
    ),
    (
        {"kind": "training_curves", "runs": ["puma"], "baseline": "trads"},
        'did you mean "trades"? at reports.r.baseline',
    ),
    ({**RATIO, "lines": {"1M": ["pumma"]}}, 'got "pumma"; did you mean "puma"? at reports.r.lines.1M[0]'),
    ({**RATIO, "baselines": {"1M": "trads"}}, 'did you mean "trades"? at reports.r.baselines.1M'),
    ({**RATIO, "attack": "cv"}, 'an attack, got "cv"; did you mean "cw"? at reports.r.attack'),
    (
        {**ROBUSTNESS, "attack": "cw"},
        "expected an attack of method minimum_norm, got cw (cw_pgd) at reports.r.attack",
    ),
    ({**ROBUSTNESS, "attack": "shrtest"}, 'did you mean "shortest"? at reports.r.attack'),
    ({**ROBUSTNESS, "runs": ["other"]}, "expected runs of one dataset"),
    ({"kind": "cost", "runs": ["pumma"]}, 'did you mean "puma"? at reports.r.runs[0]'),
    ({"kind": "cost", "baseline": "trads"}, 'did you mean "trades"? at reports.r.baseline'),
    (
        {"kind": "trade_off", "baseline": "trades", "attack": "cw", "frontiers": {"epsilon": ["trades", "pumma"]}},
        'did you mean "puma"? at reports.r.frontiers.epsilon[1]',
    ),
    (
        {"kind": "comparison", "baseline": "trades", "published": {"pumma": {}}},
        'did you mean "puma"? at reports.r.published.pumma',
    ),
    (
        {"kind": "comparison", "baseline": "trades", "runs": ["trades"], "published": {"puma": {}}},
        "expected published numbers of a run of the table, got puma at reports.r.published; add it to runs",
    ),
    (
        {"kind": "training_curves", "runs": ["puma", "other"]},
        "expected runs of one dataset, got puma on digits and other on fashion at reports.r; make a report for each",
    ),
    ({**RATIO, "lines": {"1M": ["puma"], "5M": ["other"]}}, "expected runs of one dataset"),
    ({"kind": "class_groups", "dataset": "grouped-2"}, 'did you mean "grouped"? at reports.r.dataset'),
    (
        {"kind": "class_groups", "dataset": "digits"},
        "expected a dataset with classes in groups, got digits at reports.r.dataset; set datasets.digits.classes",
    ),
    ({"kind": "margin_classes", "score": "margn"}, 'a score, got "margn"; did you mean "margin"? at reports.r.score'),
    ({"kind": "margin_classes", "score": "margin", "seed": 7}, "expected a seed among [0, 1], got 7"),
    ({"kind": "pruned_rows", "run": "pumma"}, 'got "pumma"; did you mean "puma"? at reports.r.run'),
    ({"kind": "pruned_rows", "run": "trades"}, "expected a run that prunes, got trades at reports.r.run"),
    ({"kind": "epsilon_distribution", "runs": ["pumma"]}, 'did you mean "puma"? at reports.r.runs[0]'),
    (
        {"kind": "epsilon_distribution", "runs": ["puma", "online"]},
        "expected runs whose epsilons are known before training, got online (online_margin) at reports.r.runs[1]",
    ),
    ({**HISTOGRAM, "beside": "margn"}, 'a score, got "margn"; did you mean "margin"? at reports.r.beside'),
    (
        {**HISTOGRAM, "beside": "real-margin"},
        "expected a score of pool digits+100, as margin is, got real-margin, a score of pool real, at reports.r.beside",
    ),
    (
        {**HISTOGRAM, "beside": "l2-margin"},
        "expected margins in norm linf, as margin has, got l2 from score l2-margin at reports.r.beside",
    ),
    ({"kind": "score_agreement", "scores": ["margin", "entropi"]}, 'did you mean "entropy"? at reports.r.scores[1]'),
    (
        {"kind": "score_agreement", "scores": ["margin", "entropy", "real-margin"]},
        "as margin is, got real-margin, a score of pool real, at reports.r.scores[2]",
    ),
    ({"kind": "browse", "run": "pumma"}, 'did you mean "puma"? at reports.r.run'),
    ({"kind": "browse", "run": "puma", "score": "margn"}, 'did you mean "margin"? at reports.r.score'),
    (
        {"kind": "browse", "run": "puma", "score": "real-margin"},
        "expected a score of pool digits+100, that of puma, got real-margin, a score of pool real, at reports.r.score",
    ),
    ({"kind": "browse", "run": "puma", "attacks": ["cv"]}, 'did you mean "cw"? at reports.r.attacks[0]'),
    ({"kind": "browse", "run": "puma", "count": 0}, "at reports.r.count"),
    ({"kind": "browse", "run": "puma", "seed": 7}, "expected a seed among [0, 1], got 7"),
    ({"kind": "score_agreement", "scores": ["margin"]}, "expected at least 2 under scores, got 1 at reports.r.scores"),
    ({"kind": "score_agreement", "scores": ["margin", "margin"]}, "expected each name once, got margin more than once"),
    ({"kind": "score_agreement", "scores": ["margin", "fast"], "fractions": [0.5, 1.0]}, "expected fractions[1]"),
    ({"kind": "score_agreement", "scores": ["margin", "fast"], "seed": 7}, "expected a seed among [0, 1], got 7"),
    ({**HISTOGRAM, "beside": "entropy"}, "expected a margin score, got entropy at reports.r.beside"),
]


@pytest.mark.parametrize(("report", "message"), REFUSED)
def test_reports_of_what_is_not_there_or_cannot_stand_together_are_refused(
    report: dict[str, Any], message: str, read: Callable[[dict[str, Any]], Study]
) -> None:
    with pytest.raises(ConfigError) as error:
        read(report)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("report", "runs"),
    [
        ({"kind": "training_curves", "runs": ["puma"], "baseline": "trades"}, ["puma", "trades"]),
        (RATIO, ["puma", "trades"]),
        (ROBUSTNESS, ["puma", "trades"]),
        (
            {"kind": "cost"},
            [
                "trades",
                "pruned",
                "puma",
                "other",
                "conditioning",
                "real-alone",
                "real-again",
                "online",
                "keeping",
                "best",
                "random-keep80",
                "cut-keep80",
            ],
        ),
        ({"kind": "cost", "runs": ["puma"], "baseline": "puma"}, ["puma"]),
        (
            {
                "kind": "trade_off",
                "runs": ["puma"],
                "baseline": "trades",
                "attack": "cw",
                "frontiers": {"knob": ["pruned", "trades"]},
            },
            ["puma", "pruned", "trades"],
        ),
        ({**HISTOGRAM, "beside": "fast"}, []),
        ({"kind": "score_agreement", "scores": ["margin", "entropy", "fast"]}, []),
        ({**HISTOGRAM, "run": "puma"}, ["puma"]),
        ({"kind": "epsilon_distribution", "runs": ["puma", "trades"]}, ["puma", "trades"]),
        ({"kind": "pruned_rows", "run": "pruned"}, ["pruned"]),
        ({"kind": "margin_classes", "score": "margin"}, []),
    ],
)
def test_a_report_needs_the_runs_it_names_and_no_other(
    report: dict[str, Any], runs: list[str], read: Callable[[dict[str, Any]], Study]
) -> None:
    study = read(report)
    assert study.settings.reports["r"].runs_needed(study) == runs


def test_all_that_a_run_stands_on_is_found_through_scores_and_their_models(
    read: Callable[[dict[str, Any]], Study], study: dict[str, Any]
) -> None:
    study["scores"]["second"] = {"method": "deepfool", "model": "puma"}
    study["runs"]["iterated"] = {"epsilon": {"policy": "margin", "score": "second"}}
    read_study = read({"kind": "cost", "runs": ["iterated"]})
    models, scores = read_study.behind_run("iterated", 1)
    assert models == [("puma", 1), ("trades", 1)]
    assert scores == [("second", 1), ("margin", 1)]
    assert read_study.behind_run("trades", 0) == ([], [])


def test_a_run_that_drops_negative_epsilons_alone_prunes(
    read: Callable[[dict[str, Any]], Study], study: dict[str, Any]
) -> None:
    study["runs"]["dropping"] = {"epsilon": {"policy": "margin", "score": "margin", "negative": "drop"}}
    assert read({"kind": "pruned_rows", "run": "dropping"}).settings.reports["r"].run == "dropping"

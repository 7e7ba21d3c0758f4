"""Checks of the reports of a study: names, pools, datasets, seeds. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from pumalib.errors import ConfigError
from pumalib.reporting.settings import (
    ComparisonSettings,
    CostSettings,
    EpsilonDistributionSettings,
    MarginClassesSettings,
    MarginHistogramSettings,
    NearestNeighboursSettings,
    PrunedRowsSettings,
    RatioCurvesSettings,
    ReportSettings,
    RobustnessCurvesSettings,
    ScoreAgreementSettings,
    TradeOffSettings,
)
from pumalib.scores.settings import MarginSettings
from pumalib.study.names import expect_name
from pumalib.study.study import Study
from pumalib.training.online.settings import OnlineEpsilonSettings


def check_reports(study: Study) -> None:
    """Refuse reports that name what is not there or what cannot stand beside each other.

    Raises:
        ConfigError: the first problem found, with the key's path.
    """
    for name, report in study.settings.reports.items():
        where = f"reports.{name}"
        for key, run in runs_of(report):
            expect_name(run, study.runs, "run", f"{where}.{key}")
        match report:
            case MarginHistogramSettings():
                _check_histogram(study, report, where)
            case MarginClassesSettings():
                _check_margin_score(study, report.score, f"{where}.score")
            case EpsilonDistributionSettings():
                _check_epsilons(study, report, where)
            case PrunedRowsSettings():
                _check_pruned(study, report, where)
            case ScoreAgreementSettings():
                _check_agreement(study, report, where)
            case NearestNeighboursSettings():
                _check_neighbours(study, report, where)
            case _:
                _check_attacks(study, report, where)
                _check_one_dataset(study, report, where)
        _check_seed(study, report, where)


def runs_of(report: ReportSettings) -> list[tuple[str, str]]:
    """Return the key and the name of each run that a report names, in its order, repeats included."""
    groups: dict[str, Iterable[str]] = {"runs": getattr(report, "runs", None) or ()}
    groups |= {f"lines.{label}": runs for label, runs in getattr(report, "lines", {}).items()}
    groups |= {f"frontiers.{label}": runs for label, runs in getattr(report, "frontiers", {}).items()}
    named = [(f"{key}[{index}]", run) for key, runs in groups.items() for index, run in enumerate(runs)]
    named += [(f"baselines.{label}", run) for label, run in getattr(report, "baselines", {}).items()]
    named += [(f"published.{run}", run) for run in getattr(report, "published", {})]
    single = [(key, getattr(report, key, None)) for key in ("baseline", "control", "run")]
    return named + [(key, run) for key, run in single if run is not None]


def runs_needed(study: Study, report: ReportSettings) -> list[str]:
    """Return the runs that a report needs, each once, in its order; all of the study where it leaves `runs` open."""
    is_open = "runs" in type(report).model_fields and getattr(report, "runs", None) is None
    return list(dict.fromkeys([*(study.runs if is_open else ()), *(run for _, run in runs_of(report))]))


def _check_attacks(study: Study, report: ReportSettings, where: str) -> None:
    if isinstance(report, ComparisonSettings):
        for index, attack in enumerate(report.attacks or ()):
            _expect_perturbing(study, attack, f"{where}.attacks[{index}]")
            _expect_attacked(study, report, attack, f"{where}.attacks[{index}]")
        _check_published(report, where)
    elif isinstance(report, TradeOffSettings | RatioCurvesSettings):
        _expect_perturbing(study, report.attack, f"{where}.attack")
        _expect_attacked(study, report, report.attack, f"{where}.attack")
    elif isinstance(report, RobustnessCurvesSettings):
        _expect_minimum_norm(study, report.attack, f"{where}.attack")
        _expect_attacked(study, report, report.attack, f"{where}.attack")


def _expect_attacked(study: Study, report: ReportSettings, attack: str, where: str) -> None:
    for run in runs_needed(study, report):
        if attack not in study.attacks_of(run):
            raise ConfigError(
                f"expected an attack on every run of the report, got {attack}, which leaves {run} out, at {where}; "
                f"add {run} to attacks.{attack}.runs"
            )


def _expect_minimum_norm(study: Study, attack: str, where: str) -> None:
    expect_name(attack, study.settings.attacks, "attack", where)
    method = study.settings.attacks[attack].method
    if method != "minimum_norm":
        raise ConfigError(f"expected an attack of method minimum_norm, got {attack} ({method}) at {where}")


def _expect_perturbing(study: Study, attack: str, where: str) -> None:
    expect_name(attack, study.settings.attacks, "attack", where)
    if study.settings.attacks[attack].method == "clean":
        raise ConfigError(
            f"expected an attack that perturbs, got {attack}, which measures clean accuracy alone, at {where}"
        )


def _check_published(report: ComparisonSettings, where: str) -> None:
    for run in report.published:
        if report.runs is not None and run not in report.runs:
            raise ConfigError(
                f"expected published numbers of a run of the table, got {run} at {where}.published; add it to runs"
            )


def _check_one_dataset(study: Study, report: ReportSettings, where: str) -> None:
    """Refuse numbers of one figure or table that were measured on different images."""
    if isinstance(report, CostSettings):
        return
    runs = runs_needed(study, report)
    first = study.dataset_of_run(runs[0])
    for run in runs:
        if study.dataset_of_run(run) != first:
            raise ConfigError(
                f"expected runs of one dataset, got {runs[0]} on {first} and {run} on {study.dataset_of_run(run)} "
                f"at {where}; make a report for each dataset"
            )


def _check_histogram(study: Study, report: MarginHistogramSettings, where: str) -> None:
    _check_margin_score(study, report.score, f"{where}.score")
    pool = study.score_pool(report.score)
    if report.run is not None and study.runs[report.run].pool != pool:
        raise ConfigError(f"expected a run of pool {pool}, got {report.run} at {where}.run")
    if report.beside is None:
        return
    _check_margin_score(study, report.beside, f"{where}.beside")
    _expect_same_pool(study, report.beside, report.score, f"{where}.beside")
    norm, other = _norm(study, report.score), _norm(study, report.beside)
    if other != norm:
        raise ConfigError(
            f"expected margins in norm {norm}, as {report.score} has, got {other} from score {report.beside} "
            f"at {where}.beside"
        )


def _check_epsilons(study: Study, report: EpsilonDistributionSettings, where: str) -> None:
    for index, run in enumerate(report.runs):
        policy = study.runs[run].epsilon
        if isinstance(policy, OnlineEpsilonSettings):
            raise ConfigError(
                f"expected runs whose epsilons are known before training, got {run} ({policy.policy}) at "
                f"{where}.runs[{index}]; its history.csv has mean_epsilon"
            )


def _check_pruned(study: Study, report: PrunedRowsSettings, where: str) -> None:
    if not study.runs[report.run].prune:
        raise ConfigError(f"expected a run that prunes, got {report.run} at {where}.run")


def _check_agreement(study: Study, report: ScoreAgreementSettings, where: str) -> None:
    for index, score in enumerate(report.scores):
        expect_name(score, study.settings.scores, "score", f"{where}.scores[{index}]")
        _expect_same_pool(study, score, report.scores[0], f"{where}.scores[{index}]")


def _expect_same_pool(study: Study, score: str, first: str, where: str) -> None:
    pool = study.score_pool(first)
    if study.score_pool(score) != pool:
        raise ConfigError(
            f"expected a score of pool {pool}, as {first} is, got {score}, a score of pool "
            f"{study.score_pool(score)}, at {where}"
        )


def _check_margin_score(study: Study, score: str, where: str) -> None:
    expect_name(score, study.settings.scores, "score", where)
    if not isinstance(study.settings.scores[score], MarginSettings):
        raise ConfigError(f"expected a margin score, got {score} at {where}")


def _norm(study: Study, score: str) -> str:
    return getattr(study.settings.scores[score], "norm", None) or study.settings.threat.norm


def _check_neighbours(study: Study, report: NearestNeighboursSettings, where: str) -> None:
    expect_name(report.pool, study.settings.pools, "pool", f"{where}.pool")
    if study.settings.pools[report.pool].synthetic is None:
        raise ConfigError(f"expected a pool with synthetic rows, got {report.pool} at {where}.pool")


def _check_seed(study: Study, report: ReportSettings, where: str) -> None:
    seed = getattr(report, "seed", None)
    if seed is not None and seed not in study.settings.seeds:
        raise ConfigError(f"expected a seed among {list(study.settings.seeds)}, got {seed} at {where}.seed")

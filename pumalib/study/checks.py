"""Checks that need more than one key of a study: names, files, shapes, norms and cycles. Imports no torch."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

from pumalib.attacks.settings import expect_attack_packages
from pumalib.errors import ConfigError
from pumalib.selection.settings import RANDOM
from pumalib.study.check_amounts import check_amounts
from pumalib.study.check_bounds import check_bounds
from pumalib.study.check_cuts import check_rows_left
from pumalib.study.check_generators import check_generators
from pumalib.study.check_kept_epochs import check_kept_epochs
from pumalib.study.check_modules import check_modules
from pumalib.study.check_networks import check_networks
from pumalib.study.check_pools import Shapes, check_learned_pools, check_pools, look_at_datasets
from pumalib.study.check_runs import check_runs, expect_pools
from pumalib.study.check_scores import check_score_pools, check_scores
from pumalib.study.check_splits import check_splits
from pumalib.study.check_tracks import check_tracks
from pumalib.study.check_worst_cases import check_worst_cases
from pumalib.study.plan import rows_of_split
from pumalib.study.reports import check_reports
from pumalib.study.study import Study
from pumalib.study.sweeps import as_written
from pumalib.trackers.tracker import expect_tracker

TARGETS = frozenset(
    {
        "all",
        "dataset",
        "generator",
        "synthetic",
        "learn_dataset",
        "pool",
        "selection",
        "model",
        "model_keeping",
        "model_on_nodes",
        "model_on_nodes_keeping",
        "import_model",
        "score_shard",
        "score",
        "tracked_score",
        "file_score",
        "attack",
        "attack_kept",
        "worst_attack",
        "results",
        "page",
    }
)
"""Names of the workflow's rules: a report is a target too, so it cannot have one of these."""

RESERVED_NAMES = {
    "reports": (TARGETS, "a target of the workflow"),
    "scores": (frozenset({RANDOM}), "the random cut"),
    "attacks": (frozenset({"none"}), "no attack at all in results.csv"),
}
"""Names that mean something else already, by group."""


def check_study(study: Study, origin: str = "config") -> None:
    """Refuse a study that could only fail later.

    Raises:
        ConfigError: the first problem found, with the key's path, what came and what was expected.
    """
    try:
        _check_reserved_names(study)
        _check_alike_names(study)
        check_modules(study)
        shapes = look_at_datasets(study)
        check_splits(study)
        check_amounts(study, shapes)
        check_pools(study, shapes)
        check_score_pools(study)
        check_generators(study)
        expect_pools(study)
        check_networks(study, shapes)
        check_runs(study)
        check_rows_left(study, shapes)
        check_bounds(study)
        check_kept_epochs(study)
        check_learned_pools(study)
        check_scores(study, shapes)
        check_tracks(study)
        _check_cycles(study)
        _check_attacks(study, shapes)
        check_worst_cases(study)
        _check_gate(study)
        _check_primary(study)
        check_reports(study, study.settings.reports)
        if study.settings.tracker is not None:
            expect_tracker(study.settings.tracker, "tracker")
    except ConfigError as error:
        raise ConfigError(as_written(f"{error} ({origin})", study.sweeps)) from None


def _check_reserved_names(study: Study) -> None:
    for group, (reserved, meaning) in RESERVED_NAMES.items():
        for name in getattr(study.settings, group):
            if name in reserved:
                raise ConfigError(f'expected another name than "{name}", which is {meaning}, at {group}')


def _check_alike_names(study: Study) -> None:
    """Refuse names that only case tells apart: on some disks they are one file."""
    groups = ("datasets", "generators", "pools", "scores", "runs", "attacks", "reports")
    for group in groups:
        seen: dict[str, str] = {}
        for name in getattr(study.settings, group):
            first = seen.setdefault(name.casefold(), name)
            if first != name:
                raise ConfigError(
                    f'expected names that differ in more than case, got "{first}" and "{name}" at {group}; '
                    "some disks take them for one"
                )


def _check_cycles(study: Study) -> None:
    graph: dict[str, list[str]] = {}
    for name, run in study.trained.items():
        graph[f"runs.{name}"] = [f"pools.{run.pool}", *(f"scores.{score}" for score in run.scores)]
        if run.start_from is not None and run.start_from.run is not None:
            graph[f"runs.{name}"].append(f"runs.{run.start_from.run}")
    for name in study.settings.pools:
        graph[f"pools.{name}"] = [f"runs.{run}" for run in study.models_behind_pool(name)]
        graph[f"pools.{name}"] += [f"generators.{generator}" for generator in study.generators_behind_pool(name)]
    for name, generator in study.settings.generators.items():
        graph[f"generators.{name}"] = [] if generator.margin is None else [f"scores.{generator.margin.score}"]
    for name in study.settings.scores:
        graph[f"scores.{name}"] = [f"runs.{run}" for run, _ in study.runs_behind(name, study.settings.seeds[0])]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise ConfigError(
            f"expected runs, scores, pools and generators without a cycle, got {cycle}; "
            "train the model they look through, or start from, first"
        ) from None


def _check_attacks(study: Study, shapes: Shapes) -> None:
    for name, attack in study.settings.attacks.items():
        norm = study.settings.threat.norm
        if attack.norm is not None and attack.norm != norm:
            raise ConfigError(f"expected the threat's norm {norm}, got {attack.norm} at attacks.{name}.norm")
        if norm not in attack.norms:
            raise ConfigError(
                f"expected another attack for norm {norm}, got {attack.method}, which is for "
                f"{' and '.join(attack.norms)}, at attacks.{name}"
            )
        for index, run in enumerate(attack.runs or ()):
            study.expect("run", run, f"attacks.{name}.runs[{index}]")
        if attack.split == "validation":
            _expect_validation(study, shapes, name, tuple(study.runs) if attack.runs is None else attack.runs)
    _check_packages(study)
    for run in study.runs:
        if not study.attacks_of(run):
            raise ConfigError(
                f"expected each run under an attack at least, got {run} under none; add it to attacks.<attack>.runs"
            )


def _check_gate(study: Study) -> None:
    """Refuse names of the gate that are not there, at the key where they stand."""
    gate = study.settings.gate
    if gate is None:
        return
    study.expect_trained(gate.run, "gate.run")
    for index, run in enumerate(gate.weaker):
        study.expect_trained(run, f"gate.weaker[{index}]")
    study.expect("attack", gate.attack, "gate.attack")
    if gate.score is not None:
        study.expect("score", gate.score, "gate.score")


def _check_primary(study: Study) -> None:
    """Refuse names of the primary contrast that are not there, at the key where they stand."""
    primary = study.settings.primary
    if primary is None:
        return
    for key in ("run", "against"):
        study.expect("run", getattr(primary, key), f"primary.{key}")
    if primary.attack is not None:
        study.expect("attack", primary.attack, "primary.attack")


def _check_packages(study: Study) -> None:
    for name, attack in study.settings.attacks.items():
        expect_attack_packages(attack.method, f"attacks.{name}")


def _expect_validation(study: Study, shapes: Shapes, attack: str, runs: tuple[str, ...]) -> None:
    """Refuse datasets without validation rows, or with a single one, which has no interval."""
    for dataset in dict.fromkeys(study.dataset_of_run(run) for run in runs):
        settings = study.settings.datasets[dataset]
        if settings.validation_fraction == 0:
            raise ConfigError(
                f"expected validation_fraction above 0 in datasets.{dataset} for attacks.{attack}.split, got 0"
            )
        num_rows = rows_of_split(settings, shapes[dataset], "validation")
        if num_rows is not None and num_rows < 2:
            raise ConfigError(
                f"expected at least 2 validation rows in datasets.{dataset} for attacks.{attack}.split, got "
                f"{num_rows}; raise validation_fraction"
            )

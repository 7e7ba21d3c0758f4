"""A part of a study: what some of its reports need. And overrides, which are laid over a study before it is read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pumalib.study.names import expect_name
from pumalib.study.study import OWN_REPORTS, Study, parse_study
from pumalib.study.sweeps import written_out

_GROUPS = {
    "datasets": "dataset",
    "generators": "generator",
    "pools": "pool",
    "scores": "score",
    "runs": "run",
    "attacks": "attack",
    "reports": "report",
}
"""Keys of a study that hold things by name, and what each thing is."""


def overridden(raw: Mapping[str, Any], override: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Lay an override over a study, key by key, as Snakemake lays one `--configfile` over another.

    Args:
        raw: the study, as its file spells it.
        override: keys to change; it adds no run, score or other thing by name.
        origin: path of the override, for messages.

    Raises:
        ConfigError: a name that the study does not have, with the nearest one.
    """
    for group, what in _GROUPS.items():
        for name in override.get(group) or {}:
            expect_name(name, raw.get(group) or {}, what, f"{group} ({origin})")
    return _merged(raw, override)


def _merged(raw: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {key for key in over if isinstance(over[key], Mapping) and isinstance(raw.get(key), Mapping)}
    return {**raw, **{key: _merged(raw[key], value) if key in both else value for key, value in over.items()}}


def part_of(raw: Mapping[str, Any], reports: Sequence[str], origin: str = "config") -> dict[str, Any]:
    """Return the part of a study that some of its reports need, as a study of the same name.

    What a study asks first (`gate`) and what it was made for (`primary`) stay in each part.

    Args:
        raw: the study, as its file spells it.
        reports: names of reports.
        origin: path of the study, for messages.

    Raises:
        ConfigError: a report that the study does not have, or a study that cannot be parsed.
    """
    raw, _ = written_out(raw, origin)
    study = parse_study(raw, origin)
    for name in reports:
        expect_name(name, study.settings.reports, "report", f"reports ({origin})")
    needed = _needed(study, [name for name in study.settings.reports if name in {*OWN_REPORTS, *reports}])
    part = {**raw, "reports": {name: value for name, value in raw["reports"].items() if name in reports}}
    for group in _Needed._fields:
        names = getattr(needed, group)
        part[group] = {name: value for name, value in (raw.get(group) or {}).items() if name in names}
    part["attacks"] = {name: _of_runs(attack, needed.runs) for name, attack in part["attacks"].items()}
    return {key: value for key, value in part.items() if value != {} or key not in _GROUPS}


class _Needed(NamedTuple):
    """Names that a part holds, by group."""

    datasets: Collection[str]
    generators: Collection[str]
    pools: Collection[str]
    scores: Collection[str]
    runs: Collection[str]
    attacks: Collection[str]


def _needed(study: Study, reports: Sequence[str]) -> _Needed:
    settings, seed = study.settings, study.settings.seeds[0]
    of_parts = [settings.reports[name] for name in reports]
    mentioned = {text for report in of_parts for text in _texts(report.model_dump())}
    scores = {name for name in settings.scores if name in mentioned}
    default = [] if settings.defaults.pool is None else [settings.defaults.pool]
    scores |= {each for pool in [*default, *map(study.score_pool, scores)] for each in study.scores_behind_pool(pool)}
    runs = {run for report in of_parts for run in report.runs_needed(study)}
    runs |= {run for score in scores for run in _models_of(study, score)}
    runs |= {run for pool in default for run in study.models_behind_pool(pool)}
    for models, behind in [study.behind_run(run, seed) for run in sorted(runs)]:
        runs |= {run for run, _ in models}
        scores |= {score for score, _ in behind}
    named = [study.runs[run].pool for run in runs] + [study.score_pool(score) for score in scores]
    named += default
    pools = {behind for pool in named for behind in study.pools_behind(pool)}
    attacks = {name for run in runs for name in study.attacks_of(run)} | (mentioned & settings.attacks.keys())
    attacks |= {each for name in attacks for each in study.worst_of.get(name, ())}
    generators = {str(getattr(settings.pools[pool].synthetic, "generator", "")) for pool in pools}
    datasets = {study.dataset_of_pool(pool) for pool in pools}
    return _Needed(datasets, generators, pools, scores, runs, attacks)


def _models_of(study: Study, score: str) -> list[str]:
    """Return the runs that a score looks through, or that its pool is learned through."""
    through = [run for run, _ in study.runs_behind(score, study.settings.seeds[0])]
    return through + study.models_behind_pool(study.score_pool(score))


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a report's settings: one that is the name of a score or attack may be one it reads."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _of_runs(attack: Mapping[str, Any], runs: Collection[str]) -> Mapping[str, Any]:
    """Return an attack without the runs that the part does not hold."""
    named = attack.get("runs")
    return attack if named is None else {**attack, "runs": [run for run in named if run in runs]}

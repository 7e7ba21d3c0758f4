"""A study in one paragraph, for people. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from pumalib.data.settings import DatasetSettings
from pumalib.study.file import AnyStudy
from pumalib.study.study import PoolSettings, Study


def describe_study(study: AnyStudy) -> str:
    """Return a paragraph of Markdown: what is trained on what, against what, and how it is measured."""
    seeds = study.settings.seeds
    repeated = f"seed{'s' if len(seeds) > 1 else ''} {_listed(seeds)}"
    if not isinstance(study, Study):
        return f"Study `{study.name}`: {study.extent}, {repeated}."
    settings = study.settings
    threat = {"linf": "L-inf", "l2": "L2"}[settings.threat.norm]
    datasets = _listed(f"`{name}` ({each.source}, {_split(each)})" for name, each in settings.datasets.items())
    pools = _listed(f"`{name}` ({_pool(each)})" for name, each in settings.pools.items())
    scores = _listed(f"`{name}` ({each.method})" for name, each in settings.scores.items())
    attacks = _listed(f"`{name}` ({each.method})" for name, each in settings.attacks.items())
    sentences = [
        f"Study `{study.name}`: {study.extent} ({_listed(f'`{name}`' for name in study.runs)}), {repeated}",
        f"Threat: {threat} perturbations of at most {settings.threat.epsilon:.4g} on the pixel scale [0, 1]",
        f"Datasets: {datasets}",
        f"Pools: {pools}",
        *([f"Scores: {scores}"] if scores else []),
        f"Attacks: {attacks}",
    ]
    return ". ".join(sentences) + "."


def _split(settings: DatasetSettings) -> str:
    own = f", {settings.train_count:,} train rows for each seed alone" if settings.train_rows == "disjoint" else ""
    return f"split {settings.split}{own}"


def _pool(settings: PoolSettings) -> str:
    if settings.learned is not None:
        return f"learned from `{settings.learned.pool}` by {settings.learned.method}"
    if settings.synthetic is None:
        return f"the train rows of `{settings.dataset}`"
    count = "all" if settings.synthetic.count is None else f"{settings.synthetic.count:,}"
    return f"the train rows of `{settings.dataset}` and {count} synthetic ones, {settings.synthetic.method}"


def _listed(parts: Iterable[object]) -> str:
    return ", ".join(map(str, parts))

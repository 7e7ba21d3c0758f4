"""Checks that what a study names is there: a module of that name, with the functions that its stage calls.

A method is a module by convention, and no import statement mentions it. So a forgotten file would be found by the job
that needs it, hours later. Modules are read here, not run: most of them import torch.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pumalib.attacks.settings import WorstOfSettings, attack_module
from pumalib.data.settings import class_tree_of, source_module
from pumalib.errors import ConfigError
from pumalib.learning.settings import learning_module
from pumalib.scores.settings import score_module
from pumalib.selection.settings import CutSettings, OwnRuleSettings, policy_module, rule_module
from pumalib.study.reports import KINDS
from pumalib.study.runs import Run
from pumalib.study.study import Study
from pumalib.synthesis.settings import guidance_module, synthetic_module
from pumalib.tracks.passes import passes_of
from pumalib.tracks.settings import quantity_module
from pumalib.training.dynamic.settings import dynamic_module
from pumalib.training.online.settings import OnlineEpsilonSettings, online_module
from pumalib.training.settings import method_module

CALLED: Mapping[str, tuple[str, ...]] = {
    "pumalib.data.sources": ("look", "files", "load"),
    "pumalib.synthesis.methods": ("make",),
    "pumalib.synthesis.guidance": ("energy",),
    "pumalib.learning.methods": ("learn",),
    "pumalib.training.methods": ("batch_loss",),
    "pumalib.training.dynamic": ("Policy",),
    "pumalib.training.online": ("Policy",),
    "pumalib.training.quantities": ("measure",),
    "pumalib.selection.policies": ("row_epsilons",),
    "pumalib.selection.rules": ("keep",),
    "pumalib.scores": ("score",),
    "pumalib.attacks": ("attack",),
    KINDS: ("make",),
}
"""What the stages call in the modules of each package."""

CALLED_OF_AN_ATTACKED_METHOD = ("attack_objective",)
"""What is also called of a training method that perturbs images."""

CALLED_OF_A_GROUPED_SOURCE = ("class_counts",)
"""What is also called of a source whose classes are put in groups."""


class Named(NamedTuple):
    """A module that a study names, what is called in it beside `CALLED`, and where it is named."""

    module: str
    where: str
    also: tuple[str, ...] = ()


def check_modules(study: Study) -> None:
    """Refuse methods without a module, or whose module lacks what its stage calls.

    Raises:
        ConfigError: the first one found, with the file to write it in.
    """
    for named in modules_of(study):
        expect_names(named.module, (*CALLED[named.module.rpartition(".")[0]], *named.also), named.where)


def modules_of(study: Study) -> Iterator[Named]:
    """Yield the modules that a study names by its methods, sources, policies, quantities and kinds of report."""
    settings = study.settings
    for name, dataset in settings.datasets.items():
        counts = () if class_tree_of(dataset) is None else CALLED_OF_A_GROUPED_SOURCE
        yield Named(source_module(dataset.source), f"datasets.{name}.source", counts)
    for name, pool in settings.pools.items():
        if pool.synthetic is not None:
            yield Named(synthetic_module(pool.synthetic.method), f"pools.{name}.synthetic.method")
        guidance = getattr(pool.synthetic, "guidance", None)
        if guidance is not None:
            yield Named(guidance_module(guidance.method), f"pools.{name}.synthetic.guidance.method")
        if pool.learned is not None:
            yield Named(learning_module(pool.learned.method), f"pools.{name}.learned.method")
    for name, run in study.trained.items():
        yield from _modules_of_run(run, f"runs.{name}")
    for name, score in settings.scores.items():
        yield Named(score_module(score), f"scores.{name}.method")
    for name, attack in settings.attacks.items():
        if not isinstance(attack, WorstOfSettings):  # which attacks nothing itself
            yield Named(attack_module(attack.method), f"attacks.{name}.method")
    for name, report in settings.reports.items():
        yield Named(f"{KINDS}.{report.kind}", f"reports.{name}.kind")


def _modules_of_run(run: Run, where: str) -> Iterator[Named]:
    objective = CALLED_OF_AN_ATTACKED_METHOD if run.training.has_attack else ()
    yield Named(method_module(run.training.method), f"{where}.training.method", objective)
    yield Named(policy_module(run.epsilon.policy), f"{where}.epsilon.policy")
    if isinstance(run.epsilon, OnlineEpsilonSettings):
        yield Named(online_module(run.epsilon.policy), f"{where}.epsilon.policy")
    if run.training.dynamic_pruning is not None:
        where_dynamic = f"{where}.training.dynamic_pruning.method"
        yield Named(dynamic_module(run.training.dynamic_pruning.method), where_dynamic)
    for index, step in enumerate(run.prune):
        if not isinstance(step, CutSettings | OwnRuleSettings):
            yield Named(rule_module(step), f"{where}.prune[{index}].rule")
    for quantity in passes_of(run.track):
        yield Named(quantity_module(quantity), f"{where}.track.{quantity}")


def expect_names(module: str, names: tuple[str, ...], where: str) -> None:
    """Refuse a module of this library that is not there, or that lacks one of these names.

    Raises:
        ConfigError: the file, what it lacks, and where the study names it.
    """
    file, listed = f"{module.replace('.', '/')}.py", " and ".join(names)
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ConfigError(f"expected a file {file} with {listed}, got none, at {where}; write it, see CONTRIBUTING.md")
    missing = [name for name in names if name not in names_in(Path(spec.origin))]
    if missing:
        raise ConfigError(
            f"expected {listed} in {file}, got no {' and no '.join(missing)}, at {where}; write it, see CONTRIBUTING.md"
        )


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the functions, classes and imported names at the top of a module, which is not run."""
    found: set[str] = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in node.names)
    return frozenset(found)

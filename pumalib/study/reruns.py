"""Which rules rerun when a module of this library changes, read off the fingerprints that rules carry.

`python -m pumalib.study.reruns` prints it as docs/reruns.md. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pumalib.attacks.settings import AttackSettings
from pumalib.data.settings import CLASS_GROUPS_MODULE, DatasetSettings, source_module
from pumalib.files.provenance import LEFT_OUT, changes_no_number, code_fingerprint
from pumalib.scores.settings import EXTRAPOLATED_MODULE, LookingScoreSettings, TrackedScoreSettings
from pumalib.settings import by_kind
from pumalib.study.reports import report_kinds
from pumalib.synthesis.settings import GUIDED_MODULE
from pumalib.training.online.settings import OnlineEpsilonSettings

LIBRARY = Path(__file__).parents[1]
SCRIPTS = LIBRARY.parent / "workflow_scripts"

_NETWORKS = ("convnet", "mlp", "preact_resnet", "resnet", "small_cnn", "timm_adapter", "wide_resnet")
_SOURCES = sorted({source_module(source).removeprefix("pumalib.") for source in by_kind(DatasetSettings, "source")})
_LOOKING = sorted(["custom", *by_kind(LookingScoreSettings, "method")])
_TRACKED = sorted(["random", *by_kind(TrackedScoreSettings, "method")])
_ATTACKS = sorted(by_kind(AttackSettings, "method"))
_ONLINE = sorted(by_kind(OnlineEpsilonSettings, "policy"))

_TRAINING = (
    "training.methods.*",
    *[f"models.{name}" for name in _NETWORKS],
    "training.quantities.*",
    *[f"training.online.{name}" for name in _ONLINE],
    "training.dynamic.*",
    "training.starting_weights",
)

NAMED: Mapping[str, tuple[str, ...]] = {
    "dataset": (*_SOURCES, CLASS_GROUPS_MODULE.removeprefix("pumalib.")),
    "generator": (),
    "synthetic": (
        "synthesis.methods.*",
        "synthesis.guidance.*",
        GUIDED_MODULE.removeprefix("pumalib."),
        *[f"models.{name}" for name in _NETWORKS],
    ),
    "learn_dataset": ("learning.methods.*", *[f"models.{name}" for name in _NETWORKS]),
    "pool": (),
    "selection": (
        "selection.policies.*",
        "selection.rules.*",
        "selection.inside",
        "selection.far",
        "selection.relabel",
        "selection.own_rule",
        "selection.pruning",
        "scores.table",
    ),
    "model": _TRAINING,
    "model_on_nodes": _TRAINING,
    "import_model": tuple(f"models.{name}" for name in _NETWORKS),
    "score_shard": (
        *[f"scores.{name}" for name in _LOOKING],
        EXTRAPOLATED_MODULE.removeprefix("pumalib."),
        *[f"models.{name}" for name in _NETWORKS],
    ),
    "score": (),
    "file_score": (),
    "tracked_score": tuple(f"scores.{name}" for name in _TRACKED),
    "attack": (*[f"attacks.{name}" for name in _ATTACKS], *[f"models.{name}" for name in _NETWORKS]),
    "worst_attack": (),
    "results": (),
    "report": tuple(f"reporting.kinds.{kind}" for kind in report_kinds()),
    "page": (),
    "perceptron_shard": ("perceptron.students.*",),
    "perceptron": (),
    "perceptron_report": (),
    "abstraction": (),
    "abstraction_report": (),
}
"""The modules that a study can name behind each rule; ``*``: all of a package."""


def modules() -> list[str]:
    """Return the names of all modules of the library but packages' ``__init__`` files, sorted."""
    found = [path.relative_to(LIBRARY).with_suffix("") for path in LIBRARY.rglob("*.py") if path.name != "__init__.py"]
    return sorted(".".join(("pumalib", *path.parts)) for path in found)


def fingerprints() -> dict[tuple[str, str], dict[str, str]]:
    """Return the code fingerprint of each rule alone, named "", and with each module that a study can name."""
    found = {}
    for rule in NAMED:
        script = SCRIPTS / f"{rule}.py"
        found[rule, ""] = code_fingerprint(script)
        for module in named_behind(rule):
            found[rule, module] = code_fingerprint(script, module)
    return found


def named_behind(rule: str) -> Iterator[str]:
    """Yield the full names of the modules that a study can name behind a rule."""
    for name in NAMED[rule]:
        module = f"pumalib.{name}"
        if not name.endswith(".*"):
            yield module
            continue
        package = module.removesuffix(".*")
        for path in sorted(LIBRARY.joinpath(*package.split(".")[1:]).glob("*.py")):
            if path.name != "__init__.py":
                yield f"{package}.{path.stem}"


def reruns() -> dict[str, dict[str, list[str]]]:
    """Return, for each module, the rules that rerun when it changes, and for which named modules; [""]: always."""
    table: dict[str, dict[str, list[str]]] = {module: {} for module in modules()}
    taken = fingerprints()
    for (rule, named), modules_reached in taken.items():
        for module in modules_reached:
            if module not in table or (named and module in taken[rule, ""]):
                continue
            table[module].setdefault(rule, []).append(named)
    return table


def as_page() -> str:
    """Return the table as a page of Markdown."""
    lines = [
        "# What reruns when a module changes",
        "",
        "`make reruns` writes this page from the code fingerprints of the rules, and a test edits each module to see",
        "that it is true. A rule alone reruns in every study. `rule: x, y` reruns where a study names x or y.",
        "",
        "Comments, docstrings and formatting never count. What follows a job that reruns is planned too. But a",
        "training, score, attack, generator or learned pool whose inputs come out the same takes its result back.",
        "",
        "| module | rules |",
        "|:--|:--|",
    ]
    lines += [f"| `{module.removeprefix('pumalib.')}` | {_cell(module, rules)} |" for module, rules in reruns().items()]
    lines += ["", "## Left out of fingerprints", ""]
    lines.append("Settings (`*settings.py`): their resolved values stand in the params of rules. Beside them:")
    lines += ["", *[f"* `{module.removeprefix('pumalib.')}`: {reason}" for module, reason in LEFT_OUT.items()], ""]
    return "\n".join(lines)


def _cell(module: str, rules: Mapping[str, list[str]]) -> str:
    if changes_no_number(module):
        return "none: left out"
    if not rules:
        return "none: no job reaches it"
    return "; ".join(rule if named == [""] else f"{rule}: {_listed(named)}" for rule, named in rules.items())


def _listed(named: list[str]) -> str:
    return ", ".join(name.rpartition(".")[2] for name in named)


if __name__ == "__main__":
    print(as_page(), end="")

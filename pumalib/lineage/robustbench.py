"""The accuracies of a run in the form of RobustBench's model_info files. Imports no torch.

Source: RobustBench/robustbench, model_info/<dataset>/<threat>/<model>.json; accuracies are text there, in per cent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from pumalib.errors import ArtifactError
from pumalib.lineage.headers import Header, read_header
from pumalib.lineage.links import input_path, is_imported
from pumalib.lineage.results_line import find_line, problems_of, read_lines, table_of
from pumalib.setting_errors import nearest

_NO_ATTACK = "none"
_FORWARD_PASSES = 1
"""Every network of a study is looked at once an image: one whose logits depend on chance is refused."""

_LEVELS = 255
_ARCHITECTURES = {"resnet-18": "ResNet-18", "preactresnet-18": "PreActResNet-18"}
_UNNAMED_SOURCES = ("folder", "npz")
_TOLD = ("steps", "restarts")


@dataclass(frozen=True)
class Paper:
    """What no file of a study knows of a model.

    Attributes:
        link, name, authors, venue: of the paper; name "": the run and its study.
        additional_data: whether it was trained on real images beside those of the dataset.
    """

    link: str = ""
    name: str = ""
    authors: str = ""
    venue: str = ""
    additional_data: bool = False


@dataclass(frozen=True)
class _Measured:
    """One number of a run: its lines of results.csv, a line per seed, and the table of the first."""

    lines: Sequence[Mapping[str, str]]
    header: Header

    @property
    def per_cent(self) -> str:
        """The mean over seeds in per cent, with two digits as in RobustBench."""
        return f"{100 * fmean(float(line['value']) for line in self.lines):.2f}"

    @property
    def num_images(self) -> str:
        """Test images per seed."""
        counts = sorted({int(line["num_samples"]) for line in self.lines})
        return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"


def record_of(
    results: Path, run: str, attack: str | None = None, seed: int | None = None, paper: Paper | None = None
) -> dict[str, Any]:
    """Return the record of a run, its keys in RobustBench's order.

    Numbers are those of results.csv, held to the attack tables. `autoattack_acc` is there for AutoAttack alone; the
    accuracy under any other attack is `reported`, and the footnote names the attack.

    Args:
        results: results.csv of a study that has run.
        run: name of the run.
        attack: that decides robust accuracy; None: AutoAttack, or the only attack that there is.
        seed: of the model; None: means over all seeds.
        paper: what no file of the study knows.

    Raises:
        ArtifactError: no such run, attack or seed, several attacks, or numbers that their files do not give.
    """
    told = paper or Paper()
    lines = _lines_of_run(results, run, seed)
    seeds = list(dict.fromkeys(line["seed"] for line in lines))
    robust = _measured(results, run, seeds, attack or _only_attack(results, lines, run), "robust_accuracy")
    clean = _measured(results, run, seeds, _NO_ATTACK, "clean_accuracy")
    model = read_header(input_path(robust.header, "model"))
    return {
        "link": told.link,
        "name": told.name or f"{run} of study {lines[0]['study']}",
        "authors": told.authors,
        "additional_data": told.additional_data,
        "number_forward_passes": _FORWARD_PASSES,
        "dataset": _dataset(input_path(robust.header, "dataset")),
        "venue": told.venue,
        "architecture": _architecture(model.attributes["architecture"]["name"]),
        "eps": _epsilon(robust.header.settings),
        "clean_acc": clean.per_cent,
        "reported": robust.per_cent,
        **({"autoattack_acc": robust.per_cent} if _is_autoattack(robust.header) else {}),
        "footnote": _footnote(clean, robust, seeds, is_imported(model)),
    }


def _lines_of_run(results: Path, run: str, seed: int | None) -> list[dict[str, str]]:
    lines = read_lines(results)
    of_run = [line for line in lines if line["run"] == run]
    if not of_run:
        names = list(dict.fromkeys(line["run"] for line in lines))
        raise ArtifactError(f'expected a run of {results}, got "{run}"{nearest(run, names)}')
    chosen = [line for line in of_run if seed is None or line["seed"] == str(seed)]
    if not chosen:
        there = ", ".join(dict.fromkeys(line["seed"] for line in of_run))
        raise ArtifactError(f"expected a seed of {run}, which has {there}, got {seed}")
    return chosen


def _only_attack(results: Path, lines: Sequence[Mapping[str, str]], run: str) -> str:
    """Return AutoAttack where the run has it, else its only attack."""
    robust = {line["attack"]: line for line in lines if line["metric"] == "robust_accuracy"}
    attacks = [name for name, line in robust.items() if _method(results, line) == "autoattack"] or list(robust)
    if len(attacks) != 1:
        got = ", ".join(attacks) or "none"
        raise ArtifactError(f"expected one attack that decides the robust accuracy of {run}, got {got}; name one")
    return attacks[0]


def _method(results: Path, line: Mapping[str, str]) -> str:
    return str(read_header(table_of(results.parent, line)).attributes["method"])


def _measured(results: Path, run: str, seeds: Sequence[str], attack: str, metric: str) -> _Measured:
    """Find the lines of a number, hold them to their files, and refuse other rows than test rows."""
    lines = [find_line(results, {"run": run, "seed": seed, "attack": attack, "metric": metric}) for seed in seeds]
    for problem in (problem for line in lines for problem in problems_of(results, line)):
        raise ArtifactError(problem)
    header = read_header(table_of(results.parent, lines[0]))
    if header.attributes["split"] != "test":
        raise ArtifactError(
            f"expected an attack on test rows, got {header.path} on {header.attributes['split']} rows; name another"
        )
    return _Measured(lines, header)


def _is_autoattack(header: Header) -> bool:
    """Say whether an attack is AutoAttack as its authors define it; with few classes it is another."""
    attributes = header.attributes
    return (attributes["method"], attributes.get("variant", "standard")) == ("autoattack", "standard")


def _dataset(path: Path) -> str:
    """Return the source of a dataset, named as in RobustBench; of a user's images, the study's name for them."""
    source = str(read_header(path).settings["source"])
    name = path.parent.name if path.stem.startswith("seed") else path.stem
    return name if source in _UNNAMED_SOURCES else source.removesuffix("_files")


def _architecture(name: str) -> str:
    """Return the name that RobustBench gives to a network."""
    wide = re.fullmatch(r"wrn-(\d+)-(\d+)", name)
    return f"WideResNet-{wide[1]}-{wide[2]}" if wide else _ARCHITECTURES.get(name, name)


def _epsilon(settings: Mapping[str, Any]) -> str:
    """Return the radius of an attack, as levels of 255 where it is a whole number of them in L-inf."""
    threat = settings["threat"]
    radius = threat["epsilon"] if settings.get("epsilon") is None else settings["epsilon"]
    levels = radius * _LEVELS
    is_whole = threat["norm"] == "linf" and round(levels) > 0 and abs(levels - round(levels)) < 1e-6
    return f"{round(levels)}/{_LEVELS}" if is_whole else f"{radius:g}"


def _footnote(clean: _Measured, robust: _Measured, seeds: Sequence[str], is_of_elsewhere: bool) -> str:
    """Say of which model the numbers are, under which attack, and on how many images."""
    listed, attack = ", ".join(seeds), robust.lines[0]["attack"]
    one = f"Seed {listed}." if len(seeds) == 1 else f"Means over seeds {listed}, a training each."
    if is_of_elsewhere:
        one = f"One model, trained elsewhere. Test rows and random starts of seed{'s'[: len(seeds) - 1]} {listed}."
    settings = robust.header.settings
    counted = [f"{settings[key]} {key[:-1] if settings[key] == 1 else key}" for key in _TOLD if key in settings]
    details = [str(robust.header.attributes["method"]), *counted]
    details += [str(robust.header.attributes[key]) for key in ("variant",) if key in robust.header.attributes]
    under = f"the attack {attack} ({', '.join(details)})"
    kind = "AutoAttack" if _is_autoattack(robust.header) else f"{under}, which is not standard AutoAttack"
    counts = f"Clean accuracy on {clean.num_images} test images, robust accuracy on {robust.num_images}."
    return f"{one} Robust accuracy under {kind}. {counts} Measured with PUMA, study {robust.lines[0]['study']}."

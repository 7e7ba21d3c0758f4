"""Runs that stand for several, each with other values of some settings: written out before a study is checked.

After that only messages know of sweeps: a run of a sweep is made as if the study file spelled it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

from pydantic import ValidationError

from pumalib.errors import ConfigError
from pumalib.setting_errors import describe, nearest
from pumalib.settings import LONGEST_NAME
from pumalib.study.runs import ImportedRun, Run, RunOverrides
from pumalib.study.sweep_settings import KEY_PATTERN, MOST_RUNS

_LISTS_OF_RUNS = {"scores": ("tracked",), "attacks": ("runs",), "reports": ("runs", "lines", "frontiers")}
"""Where a study lists runs, by section: the name of a sweep in a list means all of its runs."""

_SHOWN = 6
"""Names that a message lists."""


@dataclass(frozen=True)
class Sweep:
    """A run of a study file that stands for several.

    Attributes:
        keys: settings that take several values, as the file spells them.
        runs: names of the runs that it stands for, in the order of the values.
    """

    keys: tuple[str, ...]
    runs: tuple[str, ...]

    @property
    def listed(self) -> str:
        """The names of its runs, as many as a message shows."""
        more = len(self.runs) - _SHOWN
        return ", ".join(self.runs[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


Sweeps = Mapping[str, Sweep]
"""The sweeps of a study, by the names that its file gives them."""


def written_out(raw: Mapping[str, Any], origin: str = "config") -> tuple[dict[str, Any], dict[str, Sweep]]:
    """Return a study with the runs of its sweeps in their places, and the sweeps.

    Args:
        raw: the study, as its file spells it; one without sweeps comes back as it is.
        origin: how errors name the file.

    Raises:
        ConfigError: what is swept is no setting, a value is refused, or two runs have one name.
    """
    if "sweep" in raw:
        raise ConfigError(
            f"expected sweep under a run, got it at the top; write it under each run it is for ({origin})"
        )
    given, defaults = raw.get("runs"), raw.get("defaults")
    runs = given if isinstance(given, Mapping) else {}
    swept = [name for name, own in runs.items() if isinstance(name, str) and _is_swept(own)]
    if not swept:
        return dict(raw), {}
    for name in swept:
        _expect_settings(("runs", name), {"sweep": runs[name]["sweep"]}, {}, origin)
    try:
        made = {name: _runs_of(name, runs[name], defaults if isinstance(defaults, Mapping) else {}) for name in swept}
        _expect_own_names([*(name for name in runs if name not in swept)], made)
    except ConfigError as error:
        raise ConfigError(f"{error} ({origin})") from None
    sweeps = {name: Sweep(tuple(runs[name]["sweep"]), tuple(each)) for name, each in made.items()}
    plain = {each: spelled for name in runs for each, spelled in made.get(name, {name: runs[name]}).items()}
    for run, spelled in ((run, spelled) for name in swept for run, spelled in made[name].items()):
        _expect_settings(("runs", run), spelled, sweeps, origin)
    return {**_with_every_run(raw, sweeps), "runs": plain}, sweeps


def as_written(message: str, sweeps: Sweeps) -> str:
    """Return a message with the places of the study file, where it tells of a run that a sweep made."""
    for name, sweep in sweeps.items():
        for run in sorted(sweep.runs, key=len, reverse=True):
            for key in sweep.keys:
                place = rf"runs\.{re.escape(run)}\.{re.escape(_place(key))}(?!\w)"
                message = f"runs.{name}.sweep.{key}".join(re.split(place, message))
            if re.search(rf"runs\.{re.escape(run)}(?![\w+=-])", message):
                return f"{message}; {run} is a run of the sweep at runs.{name}.sweep"
    return message


def expect_unlike_runs(runs: Mapping[str, Run | ImportedRun], sweeps: Sweeps, origin: str) -> None:
    """Refuse a sweep with two runs that are the same training.

    Raises:
        ConfigError: with the names of both.
    """
    for name, sweep in sweeps.items():
        seen: dict[str, str] = {}
        for run in sweep.runs:
            first = seen.setdefault(runs[run].model_dump_json(), run)
            if first != run:
                raise ConfigError(
                    f"expected runs that differ, got {first} and {run} with the same settings at runs.{name}.sweep; "
                    f"leave one of the values out ({origin})"
                )


def _is_swept(own: Any) -> bool:
    return isinstance(own, Mapping) and own.get("sweep") is not None


def _runs_of(name: str, own: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the runs of one sweep, as a file would spell them, by name."""
    where = f"runs.{name}.sweep"
    paths = {key: _path(key, where) for key in own["sweep"]}
    _expect_apart(paths, where)
    values = list(own["sweep"].values())
    if math.prod(map(len, values)) > MOST_RUNS:
        raise ConfigError(f"expected at most {MOST_RUNS} runs, got {math.prod(map(len, values))} at {where}")
    rest = {key: value for key, value in own.items() if key != "sweep"}
    runs: dict[str, dict[str, Any]] = {}
    for chosen in product(*values):
        run, spelled = _name(name, paths, chosen), rest
        if run in runs:
            raise ConfigError(f'expected values that give each run a name of its own, got "{run}" twice at {where}')
        for (key, path), value in zip(paths.items(), chosen, strict=True):
            spelled = _changed(spelled, defaults, path, value, f"{where}.{key}")
        runs[run] = spelled
    return runs


def _path(key: str, where: str) -> tuple[str, ...]:
    """Return the steps to a setting: `prune[0].fraction` and `prune.0.fraction` are the same."""
    if not re.fullmatch(KEY_PATTERN, key):
        raise ConfigError(f'expected a setting such as training.beta or prune.0.fraction, got "{key}" at {where}')
    path = tuple(re.sub(r"\[(\d+)\]", r".\1", key).split("."))
    known = [field for field in RunOverrides.model_fields if field != "sweep"]
    if path[0] not in known:
        raise ConfigError(f'expected a key of a run, got "{path[0]}"{nearest(path[0], known)} at {where}.{key}')
    return path


def _place(key: str) -> str:
    """Return a key as messages spell it, with brackets."""
    return re.sub(r"\.(\d+)(?!\w)", r"[\1]", key)


def _expect_apart(paths: Mapping[str, tuple[str, ...]], where: str) -> None:
    """Refuse a setting that is swept twice, or inside of another one that is swept."""
    for (outer, path), (inner, longer) in permutations(paths.items(), 2):
        if longer[: len(path)] == path:
            raise ConfigError(f"expected settings that are apart, got {outer} and {inner} at {where}; leave one out")


def _name(run: str, paths: Mapping[str, tuple[str, ...]], values: Iterable[Any]) -> str:
    """Return the name of one run: the last word of each setting, or all of it where two end alike, and its value.

    Words stand in the order of the alphabet, so that the order in the file makes no other runs.
    """
    last = [path[-1] for path in paths.values()]
    words = [path[-1] if last.count(path[-1]) == 1 else ".".join(path) for path in paths.values()]
    told = sorted(zip(words, map(_in_a_name, values), strict=True))
    name = "-".join([run, *(f"{word}-{value}" for word, value in told)])
    if len(name) > LONGEST_NAME:
        raise ConfigError(
            f'expected names of at most {LONGEST_NAME} characters, got "{name}" of {len(name)} at runs.{run}.sweep; '
            "shorten the name of the run, or sweep fewer settings"
        )
    return name


def _in_a_name(value: Any) -> str:
    """Spell a value so that it can stand in a path: 5.0 as 5, "8/255" as 8-255."""
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return re.sub(r"[^A-Za-z0-9+._=-]+", "-", str(value))


def _changed(
    own: Mapping[str, Any], defaults: Mapping[str, Any], path: Sequence[str], value: Any, where: str
) -> dict[str, Any]:
    """Return a run with another value of a setting; what the run leaves to the defaults stays as they have it."""
    first, *rest = path
    held, inherited = own.get(first), defaults.get(first)
    if first == "training" and rest and isinstance(held or {}, Mapping):  # overridden key by key, all else whole
        inside = _changed(held or {}, inherited if isinstance(inherited, Mapping) else {}, rest, value, where)
        return {**own, first: inside}
    return {**own, first: _with_value(own.get(first, inherited), rest, value, where)}


def _with_value(held: Any, path: Sequence[str], value: Any, where: str) -> Any:
    """Return a mapping or a list with another value at the end of a path."""
    if not path:
        return value
    first, *rest = path
    if first.isdigit():
        entries = held if isinstance(held, list) else []
        if int(first) >= len(entries):
            raise ConfigError(f"expected a list with an entry {first}, the first being 0, got {held} at {where}")
        changed = _with_value(entries[int(first)], rest, value, where)
        return [*entries[: int(first)], changed, *entries[int(first) + 1 :]]
    if not isinstance(held, Mapping | None):
        raise ConfigError(f"expected a mapping that may hold {first}, got {held} at {where}; write one in the run")
    return {**(held or {}), first: _with_value((held or {}).get(first), rest, value, where)}


def _expect_own_names(plain: Sequence[str], made: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a run of a sweep with the name of another run."""
    taken = set(plain)
    for name, runs in made.items():
        for run in runs:
            if run in taken:
                raise ConfigError(
                    f'expected another name than "{run}", which another run has, at runs.{name}.sweep; rename one'
                )
        taken.update(runs)


def _expect_settings(place: tuple[str, str], spelled: Mapping[str, Any], sweeps: Sweeps, origin: str) -> None:
    """Refuse settings that no run can have, at the place where the file has them."""
    try:
        RunOverrides.model_validate(spelled)
    except ValidationError as error:
        raise ConfigError(as_written(describe(error, RunOverrides, place, origin), sweeps)) from None


def _with_every_run(raw: Mapping[str, Any], sweeps: Sweeps) -> dict[str, Any]:
    """Return a study whose lists of runs have the runs of a sweep where they name it."""
    changed: dict[str, Any] = dict(raw)
    for section, keys in _LISTS_OF_RUNS.items():
        if isinstance(raw.get(section), Mapping):
            changed[section] = {name: _in_lists(each, keys, sweeps) for name, each in raw[section].items()}
    if "gate" in raw:
        changed["gate"] = _in_lists(raw["gate"], ("weaker",), sweeps)
    return changed


def _in_lists(entry: Any, keys: Sequence[str], sweeps: Sweeps) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {key: _every_run(value, sweeps) if key in keys else value for key, value in entry.items()}


def _every_run(value: Any, sweeps: Sweeps) -> Any:
    """Return a list of names, or a mapping of such lists, with runs in the places of sweeps."""
    if isinstance(value, Mapping):
        return {label: _every_run(names, sweeps) for label, names in value.items()}
    if not isinstance(value, list):
        return value
    in_places = [sweeps[name].runs if isinstance(name, str) and name in sweeps else (name,) for name in value]
    return [name for names in in_places for name in names]

"""What differs between the settings of two studies, defaults filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_GROUPS = ("datasets", "generators", "pools", "scores", "runs", "attacks", "reports")
"""Keys that hold things by name."""

_NO_DIFFERENCE = ("study",)
"""Keys that differ between any two studies."""

ABSENT = None
"""The value of a key that a side lacks: what is not set is left out of settings."""


@dataclass(frozen=True)
class Change:
    """A key with another value on each side.

    Attributes:
        key: with dots, such as `runs.puma-20.training.epochs`; `runs.*.` where all runs that both have change alike.
        first, second: the values; None: not there.
        is_whole: whether the key is a thing by name, such as a run, that one side lacks.
    """

    key: str
    first: Any
    second: Any
    is_whole: bool = False

    @property
    def is_in_both(self) -> bool:
        """Whether both sides have the key."""
        return self.first is not ABSENT and self.second is not ABSENT


def changed_settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Change]:
    """Return the keys that differ, in the order of the first.

    Args:
        first, second: settings as `settings_used` returns them.
    """
    changes: list[Change] = []
    for key in {**first, **second}:
        one, two = first.get(key), second.get(key)
        if key in _NO_DIFFERENCE or one == two:
            continue
        if key in _GROUPS:
            changes += _of_group(key, one or {}, two or {})
        else:
            changes += _between(key, one, two)
    return changes


def _of_group(group: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Change]:
    """Return what differs among things by name; a change that all of them share stands once."""
    common = [name for name in first if name in second]
    changes = {name: list(_between("", first[name], second[name])) for name in common}
    shared = _shared(list(changes.values()))
    found = [Change(f"{group}.*.{each.key}", each.first, each.second) for each in shared]
    for name in common:
        own = [each for each in changes[name] if each not in shared]
        found += [Change(f"{group}.{name}.{each.key}", each.first, each.second) for each in own]
    found += [Change(f"{group}.{name}", first[name], ABSENT, True) for name in first if name not in second]
    return found + [Change(f"{group}.{name}", ABSENT, second[name], True) for name in second if name not in first]


def _shared(changes: list[list[Change]]) -> list[Change]:
    """Return the changes that are in all of two or more lists."""
    if len(changes) < 2:
        return []
    return [each for each in changes[0] if all(each in others for others in changes[1:])]


def _between(key: str, first: Any, second: Any) -> Iterator[Change]:
    """Yield what differs between two values, as deep as both are mappings, or lists of one length."""
    if first == second:
        return
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in {**first, **second}:
            yield from _between(f"{key}.{name}" if key else str(name), first.get(name), second.get(name))
    elif _are_lists_of_mappings(first, second):
        for place, (one, two) in enumerate(zip(first, second, strict=True)):
            yield from _between(f"{key}[{place}]", one, two)
    else:
        yield Change(key, first, second)


def _are_lists_of_mappings(first: Any, second: Any) -> bool:
    lists = isinstance(first, list) and isinstance(second, list) and len(first) == len(second)
    return lists and all(isinstance(each, Mapping) for each in (*first, *second))

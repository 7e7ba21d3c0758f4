"""Reading study files strictly: a name written twice is refused, where YAML would keep the last one silently."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pumalib.abstraction.study import AbstractionStudy, parse_abstraction_study
from pumalib.errors import ConfigError
from pumalib.perceptron.study import PerceptronStudy, parse_perceptron_study
from pumalib.study.checks import check_study
from pumalib.study.study import Study, parse_study

AnyStudy = Study | PerceptronStudy | AbstractionStudy

_TEMPLATE_KEY = "__use_yte__"
"""Where it is set, Snakemake takes a file for a template of the library yte, and evaluates the Python in it."""

_KINDS = {type(None): "nothing", list: "a list"}


_LARGEST_BYTES = 1 << 20
_DEEPEST, _MOST_NODES = 30, 100_000
"""Far above any study: what a file with aliases stands for counts, not what is written."""

_PLAIN_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*)")


def _size_of(node: yaml.Node) -> int:
    """Return the number of nodes that an alias stands for; aliases inside count as often as they are met."""
    sizes: dict[int, int] = {}

    def size(of: yaml.Node) -> int:
        if id(of) not in sizes:
            sizes[id(of)] = 1
            values = of.value if isinstance(of, yaml.CollectionNode) else []
            flat = [each for pair in values for each in (pair if isinstance(pair, tuple) else (pair,))]
            sizes[id(of)] = 1 + sum(map(size, flat))
        return sizes[id(of)]

    return size(node)


def _refuse_odd_number(node: yaml.ScalarNode) -> None:
    """Refuse a plain number that YAML 1.1 reads in base 8, 2, 16 or 60."""
    kind = node.tag.rpartition(":")[2]
    is_odd = (kind == "int" and not _PLAIN_INTEGER.fullmatch(node.value)) or (kind == "float" and ":" in node.value)
    if is_odd and node.style is None:
        value = yaml.safe_load(node.value)
        problem = (
            f"expected a decimal number, got {node.value}, which YAML reads as {value}; write {value}, or put it in "
            "quotes as text"
        )
        raise yaml.MarkedYAMLError(None, None, problem, node.start_mark)


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses repeated keys, numbers that are read otherwise than they look, and nests of lists."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = self._num_nodes = 0
        self._open: list[str | None] = []

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        """Compose a node; refuse what no study needs, before its size can hurt."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        is_alias, anchor, mark = isinstance(event, yaml.AliasEvent), event.anchor, event.start_mark
        if is_alias and anchor in self._open:
            raise yaml.MarkedYAMLError(None, None, f"expected values that end, got *{anchor} inside of &{anchor}", mark)
        self._open.append(anchor)
        self._depth, self._num_nodes = self._depth + 1, self._num_nodes + 1
        if self._depth > _DEEPEST or self._num_nodes > _MOST_NODES:
            problem = f"expected at most {_MOST_NODES} values, nested at most {_DEEPEST} deep, got more"
            raise yaml.MarkedYAMLError(None, None, problem, mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        self._open.pop()
        if is_alias and node is not None:
            self._num_nodes += _size_of(node)
        if isinstance(node, yaml.ScalarNode) and not is_alias:
            _refuse_odd_number(node)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping as it is written, before `<<` merges it with others; refuse a repeated key."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        keys: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in keys:
                    problem = f'expected each name once, got "{key.value}" twice'
                    raise yaml.MarkedYAMLError(None, None, problem, key.start_mark)
                keys.add((key.tag, key.value))
        return node


def read_study_file(path: str | Path) -> dict[str, Any]:
    """Read a study file as a mapping.

    Raises:
        ConfigError: missing, not YAML, a repeated key, not a mapping, or a template with code.
    """
    try:
        raw = yaml.load(_read_text(Path(path)), _StrictLoader)
    except OSError as error:
        raise ConfigError(f"expected a study file at {path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        problem = str(error.problem)
        prefix = "" if problem.startswith("expected") else "expected YAML: "
        raise ConfigError(f"{prefix}{problem} at line {line} ({path})") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"expected a YAML file in UTF-8: {reason} ({path})") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"expected a mapping of study keys, got {_KINDS.get(type(raw), 'a scalar')} ({path})")
    if _TEMPLATE_KEY in raw:
        raise ConfigError(
            f"expected settings alone, got {_TEMPLATE_KEY}, with which Snakemake runs Python that stands in {path}; "
            "write the settings out"
        )
    return raw


def _read_text(path: Path) -> str:
    """Read a file of bounded size, and no FIFO or device, which may never end."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"expected a study file, got a folder, FIFO or device at {path}")
    with open(path, "rb") as file:
        content = file.read(_LARGEST_BYTES + 1)
    if len(content) > _LARGEST_BYTES:
        raise ConfigError(f"expected a study file of at most {_LARGEST_BYTES} bytes, got more at {path}")
    return content.decode("utf-8")


def load_study(path: str | Path) -> AnyStudy:
    """Read, parse and check one study file.

    Raises:
        ConfigError: the first problem found.
    """
    return _checked(read_study_file(path), str(path))


def load_merged_study(raw: Mapping[str, Any], paths: Sequence[str | Path], is_checked: bool = False) -> AnyStudy:
    """Parse and check a mapping that was merged from study files and overrides, as Snakemake does.

    Args:
        raw: the merged mapping.
        paths: the files it came from; each is looked at for repeated keys.
        is_checked: whether the run that this process works for has checked it. Checks look at the user's files, and may
            list a million images.

    Raises:
        ConfigError: the first problem found.
    """
    for path in paths:
        read_study_file(path)
    return _checked(raw, ", ".join(str(path) for path in paths) or "config", is_checked)


def _checked(raw: Mapping[str, Any], origin: str, is_checked: bool = False) -> AnyStudy:
    if "perceptron" in raw:
        return parse_perceptron_study(raw, origin)
    if "abstraction" in raw:
        return parse_abstraction_study(raw, origin)
    study = parse_study(raw, origin)
    if not is_checked:
        check_study(study, origin)
    return study

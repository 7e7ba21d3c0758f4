"""Reading study files strictly: a name written twice is refused, where YAML would keep the last one silently."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pumalib.config import Study, parse_study
from pumalib.config_checks import check_study
from pumalib.errors import ConfigError


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses repeated keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; a repeated key is an error at the line of its second mention."""
        keys: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f'expected each name once, got "{key}" twice', key_node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep)


def read_study_file(path: str | Path) -> dict[str, Any]:
    """Read a study file as a mapping.

    Raises:
        ConfigError: missing, not YAML, a repeated key, or not a mapping.
    """
    try:
        raw = yaml.load(Path(path).read_text(encoding="utf-8"), _StrictLoader)
    except OSError as error:
        raise ConfigError(f"expected a study file at {path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(f"{error.problem} at line {line} ({path})") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"expected a mapping of study keys, got {type(raw).__name__} ({path})")
    return raw


def load_study(path: str | Path) -> Study:
    """Read, parse and check one study file.

    Raises:
        ConfigError: the first problem found.
    """
    return _checked(read_study_file(path), str(path))


def load_merged_study(raw: Mapping[str, Any], paths: Sequence[str | Path]) -> Study:
    """Parse and check a mapping that was merged from study files and overrides, as Snakemake does.

    Args:
        raw: the merged mapping.
        paths: the files it came from; each is looked at for repeated keys.

    Raises:
        ConfigError: the first problem found.
    """
    for path in paths:
        read_study_file(path)
    return _checked(raw, ", ".join(str(path) for path in paths) or "config")


def _checked(raw: Mapping[str, Any], origin: str) -> Study:
    study = parse_study(raw, origin)
    check_study(study, origin)
    return study

"""Reading study files strictly: a name written twice is refused, where YAML would keep the last one silently."""

from __future__ import annotations

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


class _StrictLoader(yaml.SafeLoader):
    """A safe loader that refuses repeated keys."""

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
        raw = yaml.load(Path(path).read_text(encoding="utf-8"), _StrictLoader)
    except OSError as error:
        raise ConfigError(f"expected a study file at {path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        problem = str(error.problem)
        prefix = "" if problem.startswith("expected") else "expected YAML: "
        raise ConfigError(f"{prefix}{problem} at line {line} ({path})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
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


def load_study(path: str | Path) -> AnyStudy:
    """Read, parse and check one study file.

    Raises:
        ConfigError: the first problem found.
    """
    return _checked(read_study_file(path), str(path))


def load_merged_study(raw: Mapping[str, Any], paths: Sequence[str | Path]) -> AnyStudy:
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


def _checked(raw: Mapping[str, Any], origin: str) -> AnyStudy:
    if "perceptron" in raw:
        return parse_perceptron_study(raw, origin)
    if "abstraction" in raw:
        return parse_abstraction_study(raw, origin)
    study = parse_study(raw, origin)
    check_study(study, origin)
    return study

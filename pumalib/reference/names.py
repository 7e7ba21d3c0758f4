"""Which names are public, in the order of the page: those of the library itself, and those that other pages import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pumalib.reference.definitions import Definition, face, find, named_types
from pumalib.reference.key_groups import is_settings

TYPES = "Types"
"""The section of what other entries return and take."""

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Measure margins": (
        "deepfool_margins",
        "refined_margins",
        "fast_margins",
        "published_deepfool_margins",
        "extrapolated_margins",
    ),
    "Choose rows and epsilons": ("select", "Cut", "Rule", "adaptive_epsilons"),
    "Train a network": (
        "train",
        "TrainOptions",
        "TradesSettings",
        "PgdAtSettings",
        "NaturalSettings",
        "ThreatSettings",
        "TrackSettings",
        "OnlineMarginEpsilon",
        "IaatEpsilon",
        "CatEpsilon",
    ),
    "Attack a network": (
        "evaluate",
        "CwPgdSettings",
        "PgdSettings",
        "SquareSettings",
        "MinimumNormSettings",
        "evaluation.recheck.recheck",
    ),
    "Build and load networks": (
        "build_model",
        "load_trained",
        "load_checkpoint",
        "ArchitectureSettings",
        "models.size.size_of",
    ),
    "Compare runs": ("crossed_mean", "crossed_difference", "resampled_mean"),
    "Read the files of a study": (
        "open_pool",
        "read_selection",
        "read_scores",
        "data.datasets.read_split",
        "inspection.files.inspect_file",
        "inspection.files.read_samples",
        "inspection.samples.ordered",
        "lineage.results_line.trace_line",
        "reporting.overlap.compare_selections",
        "reporting.correlation.compare_scores",
        "reporting.contact_sheet.Block",
        "reporting.contact_sheet.draw_contact_sheet",
        "reporting.terminal.text_histogram",
        "files.digests.seal",
    ),
    "Group classes": ("data.class_groups.find_groups", "data.settings.ClassTreeSettings"),
    "Set up a process": ("jobs.devices.use_precision", "jobs.devices.keep_freed_memory"),
    TYPES: ("selection.rule.RuleRows",),
    "Errors": ("errors.ConfigError", "errors.DataError", "errors.ArtifactError", "errors.ResourceError"),
}
"""Names of the library as they are, others with their module below `pumalib`."""


def entries() -> dict[str, list[Definition]]:
    """Return the definitions of each section; the types are those that other entries name, and what these name.

    Raises:
        ValueError: a name that is nowhere, or two entries of one name.
    """
    sections = {title: [_definition(name) for name in names] for title, names in SECTIONS.items()}
    listed = [each for entries in sections.values() for each in entries]
    sections[TYPES] += _reached(listed)
    found = [each.name for entries in sections.values() for each in entries]
    if len(set(found)) != len(found):
        raise ValueError(f"expected names that differ, got {sorted(name for name in found if found.count(name) > 1)}")
    return sections


def _definition(name: str) -> Definition:
    module, _, own = name.rpartition(".")
    found = find(f"pumalib.{module}" if module else face()[name], own)
    if found is None:
        raise ValueError(f"expected a name of pumalib, got {name}")
    return found


def _reached(listed: list[Definition]) -> Iterator[Definition]:
    """Yield the types that definitions name and that are not among them, sorted by name."""
    known = {(each.module, each.name) for each in listed}
    found: dict[str, Definition] = {}
    waiting = list(listed)
    while waiting:
        each = waiting.pop()
        for kind in () if is_settings(each) else named_types(each):
            if (kind.module, kind.name) not in known:
                known.add((kind.module, kind.name))
                found[kind.name] = kind
                waiting.append(kind)
    yield from (found[name] for name in sorted(found, key=str.lower))

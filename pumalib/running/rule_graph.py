"""The rules of a study and which of them read files of which, as Snakemake tells it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable

from pumalib.errors import ConfigError
from pumalib.files.provenance import workflow_folder

Graph = dict[str, set[str]]
"""Each rule with the rules that read its files."""

_REPORTS = "reports"
"""The one box of all reports, each of which is a rule."""


def rule_graph(study: str, reports: Iterable[str]) -> Graph:
    """Return the rules of a study, each with the rules that read its files; all of its reports as one.

    Args:
        study: its file.
        reports: names of its reports.

    Raises:
        ConfigError: Snakemake cannot plan the study.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow_folder() / "Snakefile")]
    command += ["--configfile", study, "--rulegraph", "dot", "--cores", "1"]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        told = finished.stderr.strip().splitlines() or ["nothing"]
        raise ConfigError(
            f"expected a study that Snakemake can plan, got: {told[-1].removeprefix('Error: ')} ({study})"
        )
    return graph_of(finished.stdout, reports)


def graph_of(dot: str, reports: Iterable[str]) -> Graph:
    """Read a graph of rules in the dot language; the target `all` and arrows from a rule to itself are left out."""
    labels = dict(re.findall(r'(\d+)\[label = "([^"\\]+)', dot))
    names = {number: _REPORTS if label in set(reports) else label for number, label in labels.items()}
    graph: Graph = {name: set() for name in names.values() if name != "all"}
    for source, target in re.findall(r"(\d+) -> (\d+)", dot):
        if {names[source], names[target]} <= set(graph) and names[source] != names[target]:
            graph[names[source]].add(names[target])
    return graph

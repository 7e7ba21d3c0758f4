"""Snakemake's own linter over the rules of each kind of study."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STUDIES = ("tests/workflow/tiny.yaml", "studies/perceptron.yaml", "studies/abstraction.yaml")
ACCEPTED = {"Specify a conda environment or container for each rule."}
"""All jobs run in the environment that the driver runs in; docs/cluster.md has a container for those who want one."""


@pytest.mark.parametrize("study", STUDIES)
def test_linter_finds_nothing_but_what_is_accepted(tmp_path: Path, study: str) -> None:
    command = [sys.executable, "-m", "snakemake", "--lint", "--snakefile", str(ROOT / "Snakefile")]
    finished = subprocess.run(
        [*command, "--directory", str(tmp_path), "--configfile", str(ROOT / study)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(re.findall(r"^ +\* (.*):$", finished.stderr, re.MULTILINE)) == ACCEPTED, finished.stderr

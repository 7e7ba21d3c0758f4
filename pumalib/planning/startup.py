"""What a job takes beside its work: Snakemake's share, the start of Python, and what each kind of job imports first."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

_TRAINING = """
import numpy, torch
import pumalib.training.job
from pumalib.training.train import train
from pumalib.training.settings import NaturalSettings
from pumalib.attacks.threat_settings import ThreatSettings
images, labels = numpy.zeros((8, 2, 2, 1), "uint8"), numpy.arange(8) % 2
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
settings = NaturalSettings(epochs=1, batch_size=8)
train(model, images, labels, settings=settings, threat=ThreatSettings(epsilon=0.1))
"""
_ATTACK = """
import torch
import pumalib.evaluation.stage
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.evaluation.evaluate import evaluate
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
evaluate(model, torch.zeros(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64), threat=ThreatSettings(epsilon=0.1))
"""
_REPORT = """
import pumalib.reporting.stage, pumalib.reporting.kinds.comparison
from pumalib.reporting.figures import figure_style, new_figure
with figure_style():
    figure, (axes,) = new_figure(3, 2)
    axes.plot([0, 1], [0, 1], label="a")
    axes.legend()
    for suffix in ("png", "svg"):
        figure.savefig("figure." + suffix)
"""
_CODE = {
    "rows": "import pumalib.data.pool, pumalib.data.datasets, pumalib.scores.table, pumalib.selection.stage",
    "digits": "import pumalib.data.datasets, sklearn.datasets",
    "table": "import pumalib.results.collect, pumalib.reporting.study_page",
    "attack": _ATTACK,
    "training": _TRAINING,
    "report": _REPORT,
}
"""What stands for the start of each kind of job."""

KIND_OF_RULE = {
    **dict.fromkeys(("pool", "selection", "score", "tracked_score", "file_score", "worst_attack", "dataset"), "rows"),
    **dict.fromkeys(("results", "page"), "table"),
    **dict.fromkeys(("attack", "attack_kept", "score_shard", "synthetic", "import_model"), "attack"),
    **dict.fromkeys(("model", "generator", "learn_dataset"), "training"),
    "report": "report",
}
"""Rules by kind."""

_RULES = """
rule one:
    output: "one.txt"
    script: "one.py"
"""


def start_seconds(kinds: set[str]) -> dict[str, float]:
    """Return the processor seconds of each kind of job before its work, without Snakemake's share."""
    return {kind: _seconds_of_code(_CODE[kind]) for kind in sorted(kinds)}


_START, _JOB = 1.7, 0.35
"""Snakemake's own time at the start of a study and for each of its jobs, as shares of a workflow of one empty job.

Three studies of digits took 4.4 s and 0.9 s where that took 2.5 s, the interpreter of its job included.
"""


def snakemake_seconds() -> tuple[float, float]:
    """Return the processor seconds of Snakemake at the start of a study, and for each of its jobs.

    It runs a workflow of one job that does nothing. Ours have more rules, parameters and inputs.

    Raises:
        OSError: Snakemake does not run here.
    """
    empty = _seconds_of_workflow()
    return _START * empty, _JOB * empty


def _seconds_of_workflow() -> float:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Snakefile").write_text(_RULES, encoding="utf-8")
        Path(folder, "one.py").write_text('open(snakemake.output[0], "w").close()\n', encoding="utf-8")
        return _seconds([sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", "--", "one.txt"], folder)


def _seconds_of_code(code: str) -> float:
    """Return the shorter of two times: a first start reads files that the jobs of a study find in memory."""
    with tempfile.TemporaryDirectory() as folder:
        return min(_seconds([sys.executable, "-c", code], folder) for _ in range(2))


def _seconds(command: list[str], folder: str) -> float:
    """Return the processor seconds of a command and of all that it starts.

    Raises:
        OSError: it fails.
    """
    paths = [path for path in sys.path if path and Path(path).is_dir()]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([os.getcwd(), *paths[:1], os.environ.get("PYTHONPATH", "")]),
    }
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise OSError(f"{command[:3]} ended with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime

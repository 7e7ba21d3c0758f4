"""Let this machine take part in the trainings of a study that run over several machines (`training.nodes`).

Start it on every machine but the first, in the folder that the workflow runs in, on a disk that all share. It waits
for the next training, and goes on until it is stopped (Ctrl-C). In a job of SLURM it is started by itself.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from pumalib.cli.study import expect_study
from pumalib.errors import ConfigError, PumaError
from pumalib.jobs.frame import STATUS_OF_SIGTERM
from pumalib.jobs.node_address import Address
from pumalib.jobs.termination import TerminationError, answer_sigterm
from pumalib.study import slices
from pumalib.study.file import load_study
from pumalib.study.study import Study

if TYPE_CHECKING:
    from pumalib.jobs.node_offer import Check

EXAMPLES = ("node studies/mine.yaml host-a:29400",)
_REFUSED = 3
"""Exit status of a process that could not take part: another try would not help."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study and the first node."""
    parser.add_argument("study", help="study file, the same as on the first machine")
    parser.add_argument("first", metavar="HOST:PORT", help="PUMA_FIRST_NODE of the first machine")
    parser.add_argument("--once", action="store_true", help="end with the first training")


def run(options: argparse.Namespace) -> int:
    """Take part until stopped, a process for each training: what it holds of a device goes with it."""
    Address.read(options.first, "the command line")
    expect_study(options.study)
    _expect_nodes(options.study)
    if options.once:
        return _take_part(options)
    command = [sys.executable, "-m", "pumalib", "node", options.study, options.first, "--once"]
    while True:
        with subprocess.Popen(command) as process, _handed_on(process):
            status = process.wait()
        if status in (_REFUSED, STATUS_OF_SIGTERM):
            return 1 if status == _REFUSED else status


def _take_part(options: argparse.Namespace) -> int:
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else torch prints frames of C++ where a connection ends
    from pumalib.jobs.nodes import serve

    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {platform.node()}: %(message)s")
    answer_sigterm()
    signal.signal(signal.SIGINT, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))
    try:
        serve("pumalib.training.job", Address.read(options.first, "the command line"), _check_of(options.study))
    except ConfigError as error:
        print(f"Error: {error}", file=sys.stderr)
        return _REFUSED
    except TerminationError as request:
        print(f"Error: {request}", file=sys.stderr)
        return STATUS_OF_SIGTERM
    except (PumaError, RuntimeError) as error:  # of a rank here, or of the first node: the job has it too
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _expect_nodes(path: str) -> None:
    """Refuse a study without a training over several machines.

    Raises:
        ConfigError: it is one.
    """
    study = load_study(path)
    trained = study.trained.values() if isinstance(study, Study) else []
    if all(run.training.nodes == 1 for run in trained):
        raise ConfigError(
            f"expected a study with training.nodes of 2 or more in a run, got none in {path}; set it there, or start "
            "nothing on this machine"
        )


def _check_of(path: str) -> Check:
    """Return what refuses work that is not of a study."""

    def check(arguments: Mapping[str, Any]) -> None:
        study = load_study(path)
        name, results = str(arguments["name"]), Path(arguments["paths"]["model"]).parts[1]
        if not isinstance(study, Study) or study.name != results or name not in study.trained:
            raise ConfigError(
                f"expected a training of study {study.name} ({path} on {platform.node()}), got run {name} of study "
                f"{results} from the first node; start this node with the study file of the first"
            )
        own = to_jsonable_python(slices.run_settings(study, name).on_one_node)
        different = next(_differences(own, arguments["settings"], f"runs.{name}"), None)
        if different is not None:
            key, here, there = different
            raise ConfigError(
                f"expected {key} {there}, as the first node has it, got {here} in {path} on {platform.node()}; use the "
                "same study file on every node"
            )

    return check


def _differences(own: Any, other: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key at which two groups of settings differ, with both values."""
    if isinstance(own, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*own, *other]):
            yield from _differences(own.get(key), other.get(key), f"{where}.{key}")
    elif own != other:
        yield where, own, other


@contextmanager
def _handed_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Hand SIGTERM on to a process, and leave Ctrl-C to it, which reaches it from the terminal."""

    def hand_on(number: int, frame: FrameType | None) -> None:
        process.terminate()

    before = signal.signal(signal.SIGTERM, hand_on), signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)

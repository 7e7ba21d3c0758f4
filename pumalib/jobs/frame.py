"""The frame of every workflow job: its log, its threads, and its own last word when it fails."""

from __future__ import annotations

import logging
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from pumalib.errors import PumaError, ResourceError
from pumalib.files.origin import Maker
from pumalib.files.plain_text import visible
from pumalib.files.provenance import loaded_outside
from pumalib.jobs.driver import LOG_LINE, join_run
from pumalib.jobs.progress import is_quiet, log_progress
from pumalib.jobs.termination import TerminationError, answer_sigterm
from pumalib.trackers.listener import epochs_tracked

ERRORS_FILE = "errors.txt"
STATUS_OF_SIGTERM, STATUS_OF_SIGINT = 128 + signal.SIGTERM, 128 + signal.SIGINT
"""What a shell reports of a process that such a signal ended."""


@dataclass(frozen=True)
class Frame:
    """What surrounds the work of a job.

    Attributes:
        log: the job's log file.
        errors: file that failed jobs append their message to, for `python -m pumalib errors`.
        code: the code fingerprint in the rule's params. With PUMA_CHECK_CLOSURE=1 in the environment (the tests set
            it) the job fails if it loaded a pumalib module that the fingerprint does not cover.
        threads: torch threads; None: the job does not use torch.
        tf32: whether CUDA devices may round the factors of convolutions and matrix products to TF32; None: what the
            job makes does not depend on it.
        device: where to compute: `auto`, `cpu` or `cuda`.
        data_dir: folder of downloaded data sets.
        save_every_seconds: time between saves of a state.
        tracker: who is told of the epochs of trainings, see `trackers.tracker`; None: nobody.
        tracked: the training that it is told of, see `epochs_tracked`; None: the job is none.
    """

    log: str
    errors: str
    code: Mapping[str, str]
    threads: int | None = None
    tf32: bool | None = None
    device: str = "auto"
    data_dir: str = "data"
    save_every_seconds: float = 300.0
    tracker: str | None = None
    tracked: Mapping[str, Any] | None = None

    @property
    def results(self) -> Path:
        """Return the results folder of the study."""
        return Path(self.errors).parent.parent

    @property
    def maker(self) -> Maker:
        """Return what the job records of itself in every file that it makes."""
        precision = None if self.tf32 is None else "tf32" if self.tf32 else "float32"
        return Maker(self.code, self.results, precision)

    @property
    def state_path(self) -> Path:
        """Return where the job keeps its state: the path of its log, under `work/` instead of `logs/`."""
        logs = self.results / "logs"
        return self.results / "work" / Path(self.log).relative_to(logs).with_suffix(".state")

    def enter(self, rank: int | None = None) -> None:
        """Log to the file, fix torch's threads, and end in order at SIGTERM, from here on.

        Args:
            rank: number of the process among those that a job started, of which the first alone logs more than
                warnings; None: the job itself.
        """
        answer_sigterm()
        _open_log(self.log, rank)
        if not rank:
            log_progress()
        join_run(Path(self.errors).parent)
        reach_user_modules()
        if self.threads is not None:
            _prepare_torch(self.threads, bool(self.tf32))

    def leave(self) -> None:
        """Look whether the code fingerprint was whole, where the environment asks for it."""
        if os.environ.get("PUMA_CHECK_CLOSURE") == "1":
            _check_closure(self.code)


@contextmanager
def job(snakemake: Any) -> Iterator[Frame]:
    """Run a job of the workflow in its frame, see `framed`.

    Args:
        snakemake: what Snakemake gives a script; what the study says of every job stands in its config under `job`.
    """
    params = snakemake.params
    torch = {"threads": params.get("threads"), "tf32": params.get("tf32")}
    frame = Frame(snakemake.log[0], code=params.code, **torch, **snakemake.config["job"])
    frame = frame if frame.tracker is None else replace(frame, tracked=_tracked(frame, snakemake))
    with framed(frame):
        yield frame


def _tracked(frame: Frame, snakemake: Any) -> dict[str, Any] | None:
    """Return what a tracker is told of a job that trains a run, as JSON holds it; None: it trains none."""
    if "history" not in snakemake.output.keys():  # noqa: SIM118  (what Snakemake gives is a list with names)
        return None
    return {
        "tracker": frame.tracker,
        "study": frame.results.name,
        "name": snakemake.wildcards.run,
        "seed": int(snakemake.wildcards.seed),
        "folder": str(Path(snakemake.output.history).parent),
        "settings": to_jsonable_python(snakemake.params.settings),
    }


@contextmanager
def framed(frame: Frame) -> Iterator[Frame]:
    """Run a job in its frame, and report a failure as one message.

    Raises:
        SystemExit: the job failed or was stopped; the message went to stderr, the log and the errors file.
    """
    try:
        frame.enter()
        started = time.monotonic()
        logging.info("begin: process %d on %s", os.getpid(), platform.node())
        with epochs_tracked(frame.tracked):
            yield frame
        frame.leave()
        logging.info("end, after %.1f s", time.monotonic() - started)
    except PumaError as error:
        if error.__cause__ is not None:
            logging.error("%s", "".join(traceback.format_exception(error.__cause__)))
        _fail(str(error), frame)
    except TerminationError as request:
        _fail(str(request), frame, STATUS_OF_SIGTERM)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again", frame, STATUS_OF_SIGINT)
    except Exception as error:
        logging.error("%s", traceback.format_exc())
        _fail(f"unexpected {type(error).__name__}: {error}", frame)


def _open_log(log: str | Path, rank: int | None) -> None:
    level, who = (logging.WARNING, f"rank {rank}: ") if rank else (logging.INFO, "")
    try:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        if rank is None:
            Path(log).write_bytes(b"")  # then all append
        logging.basicConfig(filename=log, level=level, format=f"%(asctime)s %(levelname)s {who}%(message)s", force=True)
    except OSError as error:
        raise ResourceError(f"expected to write the log {log}, got: {error.strerror}") from error
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # else a full disk prints a traceback for each line


def reach_user_modules() -> None:
    """Let `module:name` in a study find modules in the folder the workflow runs in, after all that is installed.

    So a file there, such as a `statistics.py`, takes no library's place.
    """
    folder = os.getcwd()
    sys.path[:] = [path for path in sys.path if path not in ("", folder)] + [folder]


def _prepare_torch(num_threads: int, tf32: bool) -> None:
    from pumalib.jobs.devices import keep_freed_memory, use_precision, use_threads

    use_threads(num_threads)
    use_precision(tf32)
    keep_freed_memory()


def _check_closure(code: Mapping[str, str]) -> None:
    holes = loaded_outside(code)
    if holes:
        raise AssertionError(f"modules outside the code fingerprint: {', '.join(holes)}")


def _fail(message: str, frame: Frame, status: int = 1) -> None:
    logging.error("%s", message)
    text = visible(f"{message}\n{LOG_LINE}{frame.log}\n")
    with suppress(OSError), open(frame.errors, "a", encoding="utf-8") as file:  # where the disk is full, stderr has it
        file.write(text)
    if not is_quiet():  # else `puma run` tells it
        print(f"Error: {text}", file=sys.stderr)
    raise SystemExit(status)

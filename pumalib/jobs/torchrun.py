"""Ranks of a job, started and watched by torchrun; what they fail of becomes the job's own error."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from pumalib import errors
from pumalib.errors import PumaError, ResourceError
from pumalib.jobs.frame import Frame
from pumalib.jobs.termination import TerminationError
from pumalib.trackers.listener import epochs_tracked

_SECONDS_BETWEEN_LOOKS = 1.0
_SAME_MOMENT = 2
"""Seconds after the first failure in which another may be its cause; torchrun counts in whole seconds."""
_FOLDER_PREFIX = "puma-ranks-"
_LOST_CONNECTION = re.compile(r"Connection (closed|reset) by peer|Broken pipe|DistBackendError|NCCL error")
"""What gloo and NCCL say when another rank is gone."""


@dataclass(frozen=True)
class Machine:
    """Place of this machine among those of a training.

    Attributes:
        node: its number.
        nodes: how many there are.
        address: of the first, where the torchruns meet.
        port: there.
    """

    node: int
    nodes: int
    address: str
    port: int

    @property
    def options(self) -> list[str]:
        """Return what torchrun is told: the machines have met before, so that it waits a minute for them at most."""
        place = [f"--master-addr={self.address}", f"--master-port={self.port}", "--rdzv-conf=timeout=60"]
        return [f"--nnodes={self.nodes}", f"--node-rank={self.node}", *place]


def run_ranks(
    module: str,
    devices: Sequence[str],
    frame: Frame,
    arguments: Mapping[str, Any],
    machine: Machine | None = None,
) -> None:
    """Run a module in a process for each device, and wait for all.

    SIGTERM is handed on to them. When one fails, torchrun ends the others.

    Args:
        module: its main code calls `be_a_rank`.
        devices: torch devices, one per rank.
        frame: of the job, entered by each rank as well.
        arguments: what `be_a_rank` hands on, as JSON.
        machine: place of this one among those that share the work; None: it is alone.

    Raises:
        PumaError: as a rank raised it, or a rank was killed.
        TerminationError: the ranks were asked to end.
        RuntimeError: anything else that a rank raised.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    to_log = logging.getLogger("torch.distributed.elastic")
    to_log.propagate, to_log.handlers = False, logging.getLogger().handlers  # and not to stderr
    if frame.threads is not None:
        os.environ.setdefault("OMP_NUM_THREADS", str(frame.threads))  # torchrun would warn that it chose a number
    if machine is not None:
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # ranks would print frames of C++ when another is gone
    with tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX) as folder, _sigterm_handed_on():
        task = Path(folder) / "task.json"
        task.write_text(
            json.dumps({"job": os.getpid(), "devices": devices, "frame": vars(frame), "arguments": arguments})
        )
        options = ["--standalone", "--local-addr=localhost"] if machine is None else machine.options
        options += [
            f"--nproc-per-node={len(devices)}",
            f"--log-dir={folder}",
            "--signals-to-handle=SIGQUIT",
            "-m",
            module,
            str(task),
        ]
        try:
            torchrun.run(torchrun.parse_args(options))  # type: ignore[no-untyped-call]
        except ChildFailedError as error:
            logging.error("%s", error)
            failures = list(error.failures.items())
        else:
            return
    first = min(failure.timestamp for _, failure in failures)
    raise min(
        (_what_failed(rank, failure) for rank, failure in failures if failure.timestamp <= first + _SAME_MOMENT),
        key=distance_from_cause,
    )


def _what_failed(rank: int, failure: Any) -> BaseException:
    """Return the error of a rank, from torch's `ProcessFailure`."""
    if isinstance(failure.message, dict):
        kind, _, words = failure.message["message"].partition(": ")
        return error_of(kind, words, f"rank {rank}")
    if failure.exitcode == -signal.SIGTERM:
        return TerminationError("stopped by SIGTERM; run the same command again")
    how = failure.signal_name() if failure.exitcode < 0 else f"status {failure.exitcode}"
    return ResourceError(
        f"expected every process of the training to live on, got rank {rank} (process {failure.pid}) ended by {how}; "
        "run the same command again to go on, and if the machine is short of memory, lower batch_size or devices"
    )


def error_of(kind: str, message: str, where: str) -> BaseException:
    """Return an error that another process raised.

    Args:
        kind: name of its class.
        message: its words.
        where: the process, for errors that are not a user's.
    """
    if kind == TerminationError.__name__:
        return TerminationError(message)
    known: type[BaseException] | None = getattr(errors, kind, None)
    if known is not None:
        return known(message)
    return RuntimeError(f"{where}: {message}" if kind == RuntimeError.__name__ else f"{where}: {kind}: {message}")


def distance_from_cause(error: BaseException) -> int:
    """Tell a cause from what follows of it: the others lose their connection, and are asked to end."""
    if isinstance(error, PumaError):
        return 0
    if isinstance(error, TerminationError):
        return 3
    return 2 if has_lost_another(error) else 1


def has_lost_another(error: BaseException) -> bool:
    """Return whether an error says that another rank is gone, and no more."""
    return not isinstance(error, PumaError) and _LOST_CONNECTION.search(str(error)) is not None


def kill_ranks() -> bool:
    """End the ranks that this process started, at once; return whether there were any."""
    ranks = _ranks()
    for rank in ranks:
        with suppress(psutil.NoSuchProcess):
            rank.kill()
    return bool(ranks)


def _ranks() -> list[psutil.Process]:
    """Return the processes that torchrun started for this one."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any(_FOLDER_PREFIX in word for word in child.cmdline()):
                found.append(child)
    return found


@contextmanager
def _sigterm_handed_on() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)

    def hand_on(number: int, frame: FrameType | None) -> None:
        ranks = _ranks()
        for rank in ranks:
            with suppress(psutil.NoSuchProcess):
                rank.terminate()
        if not ranks and callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, hand_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def be_a_rank(work: Callable[[str, Frame, Mapping[str, Any]], None]) -> None:
    """Do the share of this process, which `run_ranks` started, and end it with what it failed of told to the job.

    Args:
        work: gets the device, the frame and the arguments.
    """
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    handler = get_error_handler()
    handler.initialize()
    try:
        task = json.loads(Path(sys.argv[1]).read_text())
        _end_with(task["job"])
        frame = Frame(**task["frame"])
        rank, device = int(os.environ["RANK"]), task["devices"][int(os.environ["LOCAL_RANK"])]
        frame.enter(rank)
        with epochs_tracked(None if rank else frame.tracked):
            work(device, frame, task["arguments"])
        frame.leave()
    except (Exception, TerminationError) as error:
        handler.record_exception(error)
        if not isinstance(error, PumaError | TerminationError):
            logging.error("%s", traceback.format_exc())
        logging.shutdown()
        os._exit(1)  # not by way of torch, which may wait for the other ranks


def _end_with(job: int) -> None:
    """End this process at once when its job has ended, however that was."""

    def watch() -> None:
        while os.getppid() == job:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

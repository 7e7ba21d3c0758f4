"""The other nodes of a job of SLURM: one task on each, started by srun from the first."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pumalib.errors import ResourceError
from pumalib.jobs.node_address import Address, in_allocation

_SECONDS_TO_END = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Started:
    """Tasks on the other nodes, or none where a person starts them.

    Attributes:
        process: srun.
        output: what it and the tasks wrote.
    """

    process: subprocess.Popen[bytes] | None = None
    output: Path | None = None

    def check(self) -> None:
        """Expect the tasks to be at work.

        Raises:
            ResourceError: srun has ended.
        """
        if self.process is None or self.process.poll() is None:
            return
        lines = self.lines() or ["no message"]
        told = next((line for line in reversed(lines) if not line.startswith("srun:")), lines[-1])
        raise ResourceError(
            f"expected srun to start a task on each other node of job {os.environ['SLURM_JOB_ID']}, it ended with "
            f"status {self.process.returncode} ({told}); see that the job has as many nodes as training.nodes says"
        )

    def lines(self) -> list[str]:
        """Return what the tasks wrote."""
        return [] if self.output is None else self.output.read_text(errors="replace").splitlines()


@contextmanager
def other_nodes(count: int, num_cpus: int, server: str, first: Address) -> Iterator[Started]:
    """Start the other nodes of this job of SLURM, and see to their end; outside SLURM, leave that to a person.

    Args:
        count: nodes, with this one.
        num_cpus: cores of each.
        server: module that a task runs, with the address of this node.
        first: where the tasks find this node.
    """
    if not in_allocation():
        yield Started()
        return
    with tempfile.TemporaryDirectory(prefix="puma-srun-") as folder:
        output = Path(folder) / "output"
        with open(output, "wb") as file:
            command = _srun(count, num_cpus, server, first)
            log.info("%s", shlex.join(command))
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=_environment()
            )
        started = Started(process, output)
        try:
            yield started
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_TO_END)
        finally:
            _end(process)
            for line in started.lines():
                log.info("%s", line)


def _srun(count: int, num_cpus: int, server: str, first: Address) -> list[str]:
    tasks = [f"--nodes={count - 1}", f"--ntasks={count - 1}", "--ntasks-per-node=1", "--relative=1"]
    options = [*tasks, f"--cpus-per-task={num_cpus}", "--cpu-bind=quiet", "--kill-on-bad-exit=1"]
    return ["srun", *options, sys.executable, "-m", server, str(first)]


def _environment() -> dict[str, str]:
    """Return this process's environment but for what SLURM set for the step that it runs in, not for a new one."""
    kept = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CONF", "SLURM_CLUSTER_NAME", "SLURM_SUBMIT_DIR")
    foreign = ("SLURM_", "SRUN_", "SBATCH_")
    quiet = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # else torch prints frames of C++ where a connection ends
    return quiet | {name: value for name, value in os.environ.items() if name in kept or not name.startswith(foreign)}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # which srun hands on to its tasks; nothing where it has ended
    with suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS_TO_END)
        return
    process.kill()
    process.wait()

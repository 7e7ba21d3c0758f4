"""Methods side by side in one process: interleaved rounds, wall-clock and process time, ratios with their spread."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import median
from typing import NamedTuple

import torch


class Clocked(NamedTuple):
    """Seconds of one method, one entry a round.

    Attributes:
        wall: on the clock.
        process: of processor time, all threads; what counts where others use the machine.
    """

    wall: list[float]
    process: list[float]


def clock(methods: Mapping[str, Callable[[], object]], num_rounds: int) -> dict[str, Clocked]:
    """Run every method once a round; each round starts with another one."""
    names = list(methods)
    times = {name: Clocked([], []) for name in names}
    for index in range(num_rounds):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            wall, process = time.perf_counter(), time.process_time()
            methods[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times[name].wall.append(time.perf_counter() - wall)
            times[name].process.append(time.process_time() - process)
    return times


def ratio(peer: list[float], ours: list[float]) -> str:
    """Return how many times as long the peer took: the median of the rounds' ratios, the least and the largest."""
    ratios = [theirs / mine for theirs, mine in zip(peer, ours, strict=True)]
    return f"{median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a markdown table; the first column is text."""
    lines = [header, [":--", *["--:"] * (len(header) - 1)], *rows]
    print("\n".join("| " + " | ".join(line) + " |" for line in lines), flush=True)


def print_conditions(*packages: str) -> None:
    """Print the day, the machine, the threads and the versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", *packages))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    print(f"{datetime.now(UTC):%Y-%m-%d}; {device}, {torch.get_num_threads()} CPU threads; {versions}\n", flush=True)


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()

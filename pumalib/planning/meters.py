"""Measuring a repeated piece of work: its time on this machine, or what it asks of any device.

A piece says when each repetition begins and ends. Work that is linear in the rows of a batch is measured at a few
small batches, and read off the line through the two largest where a whole batch would take too long.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pumalib.planning.operations import Work, counted_work

Amounts = Mapping[str, float]
"""What a piece takes, by name: `seconds`, or what `counted_amounts` names."""

_FEWEST_ROWS, _GROWTH = 4, 8
_LONGEST_SECONDS = 0.5
_MOST_LAPS = 40


class Meter(ABC):
    """A reading at each edge between two repetitions."""

    def __init__(self) -> None:
        self._readings: list[Amounts] = []

    @abstractmethod
    def read(self) -> Amounts:
        """Return the amounts so far."""

    def lap(self) -> None:
        """Note that a repetition ends and the next one begins."""
        self._readings.append(self.read())

    @property
    def laps(self) -> list[Amounts]:
        """Return the amounts of each repetition but the first, which warms up."""
        pairs = list(zip(self._readings, self._readings[1:], strict=False))
        kept = pairs[1:] or pairs
        return [{name: after[name] - before.get(name, 0) for name in after} for before, after in kept]

    def typical(self) -> Amounts:
        """Return the lower quartile of each amount over the repetitions, as other work can only lengthen them."""
        laps = self.laps
        return {name: sorted(lap.get(name, 0.0) for lap in laps)[len(laps) // 4] for name in laps[0]}


class Stopwatch(Meter):
    """Seconds of this process; with one thread those on the processor, which other work beside it hardly changes."""

    def __init__(self, threads: int = 1) -> None:
        super().__init__()
        self._clock = time.process_time if threads == 1 else time.perf_counter

    def read(self) -> Amounts:
        """Return the seconds so far."""
        return {"seconds": self._clock()}


class Counter(Meter):
    """What is asked of a device; to be read inside `counted_work`."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work

    def read(self) -> Amounts:
        """Return the counts so far."""
        return counted_amounts(self._work)


def counted_amounts(work: Work) -> Amounts:
    """Return counts as amounts: launches, bytes of products and of all else, and flops by data type."""
    flops = {f"flops {str(dtype).removeprefix('torch.')}": float(count) for dtype, count in work.flops.items()}
    rest = float(work.bytes - work.product_bytes)
    return {"launches": float(work.launches), "product bytes": float(work.product_bytes), "other bytes": rest, **flops}


@dataclass(frozen=True)
class Piece:
    """A piece of work of which a study repeats many.

    Attributes:
        full: rows of a whole repetition.
        run: does it, given the rows, the meter whose `lap` it calls at each edge, and how many repetitions there are
            beside a first one that warms up. It returns how often a row went through the network, where the work tells.
        counted_at: the two numbers of rows at which it is counted.
    """

    full: int
    run: Callable[[int, Meter, int], float | None]
    counted_at: tuple[int, int] = (1, 2)


@dataclass(frozen=True)
class Line:
    """Amounts that are linear in the rows.

    Attributes:
        fixed: of any repetition.
        per_row: of each row.
        passes: of a row through the network, where the work tells; None: it does not.
    """

    fixed: Amounts
    per_row: Amounts
    passes: float | None = None

    def at(self, rows: float) -> Amounts:
        """Return the amounts of a repetition of so many rows."""
        return {name: self.fixed[name] + rows * self.per_row.get(name, 0.0) for name in self.fixed}


@dataclass(frozen=True)
class Reading:
    """What one repetition took.

    Attributes:
        rows: of it.
        amounts: that it took.
        passes: of a row through the network, in the mean, where the work tells.
    """

    rows: float
    amounts: Amounts
    passes: float | None = None

    @property
    def work(self) -> float:
        """Return the passes of all its rows; the rows, where the work tells no passes."""
        return self.rows * (self.passes or 1.0)


def line_through(first: Reading, second: Reading) -> Line:
    """Return the line through two readings; nothing fixed, and no slope, is below 0.

    The rows of the two may take different numbers of passes, so amounts are linear in the passes. The line is for rows
    that take as many as those of the second reading.
    """
    before, after = first.amounts, second.amounts
    more = second.work - first.work
    slopes = {name: max(0.0, (after.get(name, 0.0) - before.get(name, 0.0)) / more) for name in {*before, *after}}
    fixed = {name: max(0.0, after.get(name, 0.0) - second.work * slopes[name]) for name in slopes}
    per_row = {name: slope * (second.passes or 1.0) for name, slope in slopes.items()}
    return Line(fixed, per_row, second.passes)


def timed(piece: Piece, seconds: float, threads: int = 1) -> Line:
    """Time a piece on this machine, at batches that grow to a whole one as far as the seconds last.

    Args:
        piece: of work.
        seconds: of the processor to spend, about; two small batches are timed in any case.
        threads: torch threads of a job.
    """
    end, rows = time.process_time() + seconds, min(_FEWEST_ROWS, piece.full)
    found: list[Reading] = []
    while True:
        began = time.process_time()
        found.append(_timed_at(piece, rows, threads))
        needed = (time.process_time() - began) * _GROWTH
        if rows == piece.full or (len(found) > 1 and time.process_time() + needed > end):
            break
        rows = min(piece.full, rows * _GROWTH)
    last = found[-1]
    return line_through(found[-2], last) if len(found) > 1 else Line(last.amounts, {}, last.passes)


def _timed_at(piece: Piece, rows: int, threads: int) -> Reading:
    """Time it at so many rows, the more often the shorter it is."""
    passes, watch = _run(piece, rows, Stopwatch(threads), 1)
    repetitions = min(_MOST_LAPS, int(_LONGEST_SECONDS / max(watch.typical()["seconds"], 1e-4)))
    if repetitions > 1:
        passes, watch = _run(piece, rows, Stopwatch(threads), repetitions)
    return Reading(rows, watch.typical(), passes)


def counted(piece: Piece) -> Line:
    """Count a piece at two small batches, and return the line through them; launches do not depend on the rows."""
    found = []
    for rows in piece.counted_at:
        with counted_work() as work:
            passes, meter = _run(piece, rows, Counter(work), 0)
        found.append(Reading(rows, meter.typical(), passes))
    line = line_through(found[0], found[1])
    launches = {"launches": found[1].amounts["launches"]}
    return Line({**line.fixed, **launches}, {**line.per_row, "launches": 0.0}, line.passes)


def _run(piece: Piece, rows: int, meter: Meter, repetitions: int) -> tuple[float | None, Meter]:
    return piece.run(rows, meter, repetitions), meter

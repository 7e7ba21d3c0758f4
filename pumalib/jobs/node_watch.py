"""Signs of life between the nodes of a training: ranks alone would wait for days for one that is gone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch.distributed import DistError

from pumalib.jobs.meeting import SECONDS_BETWEEN_LOOKS, Meeting
from pumalib.jobs.torchrun import kill_ranks

_SECONDS_TO_END = 10.0
"""After a failure elsewhere, for the ranks here to notice it by themselves."""


class Watch(threading.Thread):
    """Gives signs of life, looks for those of others, and ends the ranks here when there is one less.

    Attributes:
        silent: nodes that count as dead.
        has_killed: whether it ended the ranks here.
    """

    def __init__(self, meeting: Meeting) -> None:
        super().__init__(daemon=True)
        self.silent: set[int] = set()
        self.has_killed = False
        self._meeting, self._is_over = meeting, threading.Event()
        self._failed_at: float | None = None

    def run(self) -> None:
        """Look once a second."""
        while not self._is_over.wait(SECONDS_BETWEEN_LOOKS):
            try:
                self._look()
            except DistError:  # the store went with the first node
                self.silent.add(0)
            if self.silent or self._is_late():
                self.has_killed |= kill_ranks()

    def end(self) -> None:
        """Look no more."""
        self._is_over.set()
        self.join()

    def _look(self) -> None:
        self._meeting.sign()
        for node in self._meeting.others:
            end = self._meeting.ended(node)
            if end is None and self._meeting.is_silent(node):
                self.silent.add(node)
            if end is not None and end.kind and self._failed_at is None:
                self._failed_at = time.monotonic()

    def _is_late(self) -> bool:
        """Return whether the ranks here should have noticed a failure elsewhere."""
        return self._failed_at is not None and time.monotonic() - self._failed_at > _SECONDS_TO_END


@contextmanager
def watched(meeting: Meeting) -> Iterator[Watch]:
    """Watch the other nodes of a meeting inside."""
    watch = Watch(meeting)
    watch.start()
    try:
        yield watch
    finally:
        watch.end()

"""An orderly end at SIGTERM, which clusters send some time before they kill.

Work that keeps a state goes on to its next step, saves the state and ends there; other work ends at once.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from types import FrameType


class TerminationError(BaseException):
    """The job was asked to end; not an `Exception`, so that no one on the way takes it for a failure of the work."""


@dataclass
class _Request:
    """Whether the process was asked to end, and whether it will look at that by itself."""

    is_made: bool = False
    is_deferred: bool = False


_request = _Request()


def answer_sigterm() -> None:
    """End this process in order at SIGTERM, from here on."""
    signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    _request.is_made = True
    if not _request.is_deferred:
        raise TerminationError("stopped by SIGTERM; run the same command again")


def defer_to_steps() -> None:
    """Promise to look at `is_requested` between steps; SIGTERM raises nothing from here on."""
    _request.is_deferred = True


def is_requested() -> bool:
    """Return whether the process was asked to end."""
    return _request.is_made

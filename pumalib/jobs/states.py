"""States of unfinished work on disk, from which a killed job goes on with the same numbers.

A state file is one line of JSON (schema, key, digest of the rest), then what ``torch.save`` writes. Reading it runs no
code in it, and a file that is cut short, changed or of other work is not used.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import clear_parts, content_fingerprint, to_json, writing
from pumalib.files.provenance import library_versions
from pumalib.jobs.frame import Frame
from pumalib.jobs.termination import TerminationError, defer_to_steps, is_requested
from pumalib.ranks import ALONE, Ranks

log = logging.getLogger(__name__)

SCHEMA = "puma.state.1"


def state_key(**facts: Any) -> str:
    """Return a fingerprint of everything that the numbers of some work depend on.

    Args:
        facts: settings, inputs, seed, device, code; the libraries' versions, torch's threads and what it takes for
            float32 are added.
    """
    torchs = {"threads": torch.get_num_threads(), "tf32": torch.backends.cudnn.allow_tf32}
    return content_fingerprint(to_json({**facts, **torchs, "library_versions": library_versions()}))


@dataclass(frozen=True)
class StatePlace:
    """Where a job keeps its state, and how often it saves it.

    Attributes:
        path: the file.
        every_seconds: time between saves; 0: at each step. No part of any result.
    """

    path: Path
    every_seconds: float = 300.0

    @classmethod
    def of_job(cls, frame: Frame) -> StatePlace:
        """Return the place of a workflow's job."""
        return cls(frame.state_path, frame.save_every_seconds)


def at_least_every(place: StatePlace | None, seconds: float) -> StatePlace | None:
    """Return a place whose state is saved at least so often, for work whose state is small."""
    return None if place is None else replace(place, every_seconds=min(place.every_seconds, seconds))


class StateFile:
    """The state of one piece of work.

    Args:
        place: where it is kept; None: nowhere, a kill loses everything.
        key: fingerprint of everything the numbers depend on; a state with another key is not used.
        ranks: the processes that share the work; the first saves for all, when one of them is to save or to end.
    """

    def __init__(self, place: StatePlace | None, key: str, ranks: Ranks = ALONE) -> None:
        self._place, self._key, self._ranks = place, key, ranks
        self._saved_at = time.monotonic()

    def load(self, device: str = "cpu") -> dict[str, Any] | None:
        """Return the state last saved, and put torch's global random numbers where they were when it was saved.

        From here on, SIGTERM waits for the next `offer`.

        Args:
            device: where tensors of the state go.

        Returns:
            None, with a line in the log where there is a file, if there is no state that fits.
        """
        if self._place is None:
            return None
        defer_to_steps()
        if not self._place.path.is_file():
            return None
        try:
            values, random = _read(self._place.path, self._key, device)
            _set_random_state(random)
        except ArtifactError as error:
            log.warning("start anew: %s", error)
            return None
        log.info("go on from the state at %s", self._place.path)
        return values

    @contextmanager
    def putting_back(self) -> Iterator[None]:
        """Surround what puts the values of `load` back to where they were.

        Raises:
            ArtifactError: the state is whole and of this work, but its values are not those that this work saves.
        """
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            if self._place is None:
                raise
            raise ArtifactError(
                f"expected the state of this job at {self._place.path}, got values that it does not save "
                f"({type(error).__name__}: {error}); delete the file and run again"
            ) from error

    def offer(self, values: Callable[[], dict[str, Any]]) -> None:
        """Save the state if it is time to, or if the process was asked to end; call this between two steps.

        Args:
            values: gives all that the steps to come depend on: tensors, numbers, text, lists and mappings of them.

        Raises:
            TerminationError: the process was asked to end, and the state is saved.
        """
        if self._place is None:
            return
        is_due = time.monotonic() - self._saved_at >= self._place.every_seconds
        is_last, is_due = self._ranks.any(is_requested(), is_due)
        if is_last or is_due:
            if self._ranks.is_first:
                self._save(self._place.path, values())
            self._saved_at = time.monotonic()
        if is_last:
            self._ranks.any(is_last)  # the others end when the first has saved
            raise TerminationError(
                f"stopped by SIGTERM, the state is saved at {self._place.path}; "
                "run the same command again to go on from it"
            )

    def _save(self, path: Path, values: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save({"values": values, "random": _random_state()}, buffer)
        payload = buffer.getbuffer()
        head = {"schema": SCHEMA, "key": self._key, "digest": hashlib.sha256(payload).hexdigest()}
        with writing(path) as temporary, open(temporary, "wb") as file:
            file.write(to_json(head).encode() + b"\n")
            file.write(payload)

    def remove(self) -> None:
        """Remove the state, once the outputs are in place."""
        if self._place is not None:
            self._place.path.unlink(missing_ok=True)
            clear_parts(self._place.path)


NO_STATE = StateFile(None, "")
"""Work that keeps no state."""


def _read(path: Path, key: str, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a state file, and return the values and the random state.

    Raises:
        ArtifactError: damaged, of another schema, or of other work.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"expected a state at {path}, got: {error.strerror}") from None
    line, _, payload = content.partition(b"\n")
    try:
        head = json.loads(line)
        found = (head["schema"], head["key"], head["digest"])
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise ArtifactError(f"expected a state at {path}, got another file or a damaged one ({error!r})") from None
    if found[0] != SCHEMA:
        raise ArtifactError(f"expected a state with schema {SCHEMA}, got {found[0]} at {path}")
    if found[1] != key:
        raise ArtifactError(f"the state at {path} is of other settings, other inputs, other code or another machine")
    if found[2] != hashlib.sha256(payload).hexdigest():
        raise ArtifactError(f"expected the state at {path} as it was written, got a damaged one")
    try:
        saved = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    except Exception as error:  # bytes that nobody here wrote raise whatever the reader stumbles over
        raise ArtifactError(f"the state at {path} cannot be read ({error})") from None
    values, random = (saved.get(name) if isinstance(saved, dict) else None for name in ("values", "random"))
    if not isinstance(values, dict) or not isinstance(random, dict):
        raise ArtifactError(f"expected values and random numbers in the state at {path}, got another form")
    return values, random


def _random_state() -> dict[str, Any]:
    """Return the random numbers of the CPU, and of the one device in use: the next attempt may have another."""
    state = {"cpu": torch.get_rng_state()}
    return {**state, "cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else state


def _set_random_state(state: dict[str, Any]) -> None:
    try:
        torch.set_rng_state(state["cpu"].cpu())
        if torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"].cpu())
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ArtifactError(f"the state holds no random numbers of this machine ({error})") from None

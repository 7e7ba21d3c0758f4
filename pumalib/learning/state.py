"""The state of a learning on disk, from which a killed job goes on with the same numbers."""

from __future__ import annotations

import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pumalib.artifacts import writing

log = logging.getLogger(__name__)

SCHEMA = "puma.learning_state.1"


@dataclass(frozen=True)
class StateFile:
    """Where the state is kept.

    Attributes:
        path: the file.
        key: fingerprint of everything the numbers depend on; a state with another key is left alone.
    """

    path: Path
    key: str

    def load(self, device: str) -> dict[str, Any] | None:
        """Return the state last saved; None, with a line in the log, where there is none that fits."""
        if not self.path.is_file():
            return None
        try:
            found = torch.load(self.path, map_location=device, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            log.warning("start anew: the state at %s cannot be read (%s)", self.path, error)
            return None
        if not isinstance(found, dict) or (found.get("schema"), found.get("key")) != (SCHEMA, self.key):
            log.warning("start anew: the state at %s is of other settings, another pool or other code", self.path)
            return None
        values: dict[str, Any] = found["values"]
        return values

    def save(self, values: dict[str, Any]) -> None:
        """Write the state whole: tensors, numbers, text, and lists and mappings of them."""
        with writing(self.path) as temporary:
            torch.save({"schema": SCHEMA, "key": self.key, "values": values}, temporary)

    def remove(self) -> None:
        """Remove the state, once it is needed no longer."""
        self.path.unlink(missing_ok=True)

"""Event files of TensorBoard, in a folder beside history.csv. Needs the optional package `tensorboard`."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from typing import Any

from pumalib.trackers.tracker import TrackedRun

_EVENTS = "events.out.tfevents.*"


class TensorBoard:
    """Writes a scalar for each column of history.csv, over epochs, and the settings of the run as text."""

    def begin(self, run: TrackedRun, settings: Mapping[str, Any]) -> None:
        """Open a new event file; one of a training that began anew takes the place of those before."""
        folder = run.folder / "tensorboard"
        if run.first_epoch == 1:
            for before in folder.glob(_EVENTS):
                before.unlink()
        package = importlib.import_module("torch.utils.tensorboard")
        self._writer = package.SummaryWriter(str(folder), purge_step=run.first_epoch)
        if run.first_epoch == 1:
            text = json.dumps(settings, indent=4, default=str)
            lines = "".join(f"    {line}\n" for line in text.splitlines())  # four spaces: code in Markdown
            self._writer.add_text("settings", lines, 1)

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write the numbers of an epoch to the disk, where TensorBoard finds them at once."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def finish(self) -> None:
        """Close the file."""
        self._writer.close()

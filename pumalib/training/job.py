"""The job of one training: in this process on one device, in ranks on several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from pumalib.jobs.devices import hold_devices, resolve_device
from pumalib.jobs.frame import Frame
from pumalib.jobs.torchrun import be_a_rank, run_ranks
from pumalib.ranks import joined_ranks
from pumalib.training.stage import train_run
from pumalib.training.task import TrainingTask


def train_on_devices(frame: Frame, task: TrainingTask) -> None:
    """Train on as many devices as the settings say.

    Args:
        frame: of the job.
        task: what to train.

    Raises:
        ConfigError: there are not so many devices.
    """
    count = task.settings.training.devices
    if count == 1:
        train_run(task, resolve_device(frame.device), frame.maker)
    else:
        run_ranks(__name__, hold_devices(frame.device, count), frame, to_jsonable_python(task))


def _train_a_share(device: str, frame: Frame, arguments: Mapping[str, Any]) -> None:
    task = TypeAdapter(TrainingTask).validate_python(arguments)
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.set_device(device)
    with joined_ranks(kind) as ranks:
        train_run(task, kind, frame.maker, ranks)


if __name__ == "__main__":
    be_a_rank(_train_a_share)

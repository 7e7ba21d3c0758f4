"""The job of one training: in this process on one device, in ranks on several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import validate_call
from pydantic_core import to_jsonable_python

from pumalib.jobs.devices import hold_devices, resolve_device
from pumalib.jobs.frame import Frame
from pumalib.jobs.torchrun import be_a_rank, run_ranks
from pumalib.ranks import joined_ranks
from pumalib.training.stage import train_run


def train_on_devices(frame: Frame, device: str, **arguments: Any) -> None:
    """Train on as many devices as the settings say.

    Args:
        frame: of the job.
        device: `auto`, `cpu` or `cuda`.
        arguments: of `train_run`, but device, code and ranks.

    Raises:
        ConfigError: there are not so many devices.
    """
    count = arguments["settings"].devices
    if count == 1:
        train_run(**arguments, device=resolve_device(device), code=frame.code)
    else:
        run_ranks(__name__, hold_devices(device, count), frame, to_jsonable_python(arguments))


def _train_a_share(device: str, frame: Frame, arguments: Mapping[str, Any]) -> None:
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.set_device(device)
    with joined_ranks(kind) as ranks:
        validate_call(train_run)(**arguments, device=kind, code=frame.code, ranks=ranks)


if __name__ == "__main__":
    be_a_rank(_train_a_share)

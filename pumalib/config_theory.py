"""What the studies of a theory share: they train no run of the corridor. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pumalib.settings import Name, Seeds, Settings


class TheoryStudySettings(Settings):
    """The keys that every study of a theory has."""

    study: Name
    """Name of the study and of its results folder."""
    seeds: Seeds
    """Independent repetitions: of all that is drawn."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where jobs compute; `auto` takes CUDA where there is one."""
    threads: int = Field(default=1, gt=0)
    """Torch threads of a job; on a CPU they are part of the result."""

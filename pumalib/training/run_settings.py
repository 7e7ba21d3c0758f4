"""All that a run sets of its training. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.models.settings import ArchitectureSettings
from pumalib.settings import Settings
from pumalib.tracks.settings import TrackSettings
from pumalib.training.online.settings import OnlineEpsilonSettings
from pumalib.training.settings import TrainingSettings
from pumalib.training.start_settings import StartSettings


class RunSettings(Settings):
    """All that a run sets of its training; rows and epsilons come through the selection."""

    architecture: ArchitectureSettings
    """The network."""
    training: TrainingSettings
    """The recipe."""
    threat: ThreatSettings
    """Norm and epsilon."""
    epsilon: Annotated[OnlineEpsilonSettings, Field(discriminator="policy")] | None = None
    """The policy that finds epsilons during training; none: they come with the rows."""
    track: TrackSettings = TrackSettings()
    """What to gather about every row of the pool."""
    repetition: int = Field(default=0, ge=0)
    """Another value gives other initial weights and another order within the seed."""
    start_from: StartSettings | None = None
    """The weights that it starts from; none: new ones."""

    @property
    def on_one_node(self) -> Self:
        """The settings with all devices counted together, as ranks on any machine get them."""
        return self.model_copy(update={"training": self.training.on_one_node})

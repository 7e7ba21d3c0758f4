"""How to train, and where: what every part of a training is made from, beside the model and the rows."""

from __future__ import annotations

from dataclasses import dataclass

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.jobs.states import NO_STATE, StateFile
from pumalib.ranks import ALONE, Ranks
from pumalib.tracks.settings import TrackSettings
from pumalib.training.online.settings import OnlineEpsilonSettings
from pumalib.training.settings import RecipeSettings

NO_TRACK = TrackSettings()


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        training: settings of the method.
        threat: norm and epsilon; the history's robust accuracy is measured at it.
        track: what to gather about every row on the way; changes nothing of the training.
        online: the policy that finds epsilons during training; None: those of the rows stand.
        seed: of order, augmentation and random starts (not of the initial weights).
        goes_on: whether the model was trained before: then the first step moves BatchNorm's running statistics as every
            other one does, where in a new model it overwrites them.
    """

    training: RecipeSettings
    threat: ThreatSettings
    track: TrackSettings = NO_TRACK
    online: OnlineEpsilonSettings | None = None
    seed: int = 0
    goes_on: bool = False


@dataclass(frozen=True)
class Execution:
    """Where a training runs: nothing of it changes a result beyond rounding.

    Attributes:
        device: torch device.
        ranks: the processes that share the training.
        state_file: where the state is kept that a killed training goes on from.
        description: what the progress bar and the log call it.
    """

    device: str = "cpu"
    ranks: Ranks = ALONE
    state_file: StateFile = NO_STATE
    description: str = "training"


IN_THIS_PROCESS = Execution()

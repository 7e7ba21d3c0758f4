"""What reports ask of the study they belong to, and of the workflow that knows where its files lie."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pumalib.attacks.settings import NamedAttackSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.settings import DatasetSettings, SyntheticSettings
from pumalib.learning.settings import LearnedSettings
from pumalib.models.settings import ArchitectureSettings
from pumalib.scores.settings import ScoreSettings
from pumalib.selection.settings import EpsilonSettings, PruneSettings
from pumalib.synthesis.settings import EdmSettings
from pumalib.tracks.settings import TrackSettings
from pumalib.training.settings import TrainingSettings
from pumalib.training.start_settings import StartSettings


class PoolView(Protocol):
    """A pool of the study."""

    @property
    def learned(self) -> LearnedSettings | None:
        """How it is learned from another; None: it is not."""

    @property
    def dataset(self) -> str | None:
        """Name of its dataset; None: it is learned."""

    @property
    def synthetic(self) -> SyntheticSettings | None:
        """Its synthetic rows; None: real rows alone."""


class ModelView(Protocol):
    """A resolved run of the study: a training, or a model trained elsewhere."""

    @property
    def pool(self) -> str:
        """Name of its pool."""

    @property
    def architecture(self) -> ArchitectureSettings:
        """Its network."""


class ImportedView(ModelView, Protocol):
    """A model trained elsewhere."""

    @property
    def checkpoint(self) -> str:
        """Path of its weights."""


class RunView(ModelView, Protocol):
    """A training."""

    @property
    def training(self) -> TrainingSettings:
        """Its recipe."""

    @property
    def prune(self) -> tuple[PruneSettings, ...]:
        """Its cuts."""

    @property
    def epsilon(self) -> EpsilonSettings:
        """Where its epsilons come from."""

    @property
    def track(self) -> TrackSettings:
        """What it gathers about rows."""

    @property
    def start_from(self) -> StartSettings | None:
        """The weights that it starts from; None: new ones."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores that its selection reads."""


class ContrastView(Protocol):
    """The primary contrast of the study."""

    @property
    def run(self) -> str:
        """Run that the question is about."""

    @property
    def against(self) -> str:
        """Run that it is compared with."""

    @property
    def metric(self) -> str:
        """`clean_accuracy` or `robust_accuracy`."""

    @property
    def attack(self) -> str | None:
        """Attack behind robust accuracy; None: the only one, or clean accuracy."""

    @property
    def margin(self) -> float:
        """Points that count as no difference."""


class SettingsView(Protocol):
    """The settings of the study."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Every seed."""

    @property
    def threat(self) -> ThreatSettings:
        """The perturbations that models should withstand."""

    @property
    def gate(self) -> object | None:
        """What is asked first, on validation rows."""

    @property
    def primary(self) -> ContrastView | None:
        """The one comparison that was chosen beforehand."""

    @property
    def datasets(self) -> Mapping[str, DatasetSettings]:
        """Datasets by name."""

    @property
    def generators(self) -> Mapping[str, EdmSettings]:
        """Generators by name."""

    @property
    def pools(self) -> Mapping[str, PoolView]:
        """Pools by name."""

    @property
    def scores(self) -> Mapping[str, ScoreSettings]:
        """Scores by name."""

    @property
    def attacks(self) -> Mapping[str, NamedAttackSettings]:
        """Attacks by name."""


class StudyView(Protocol):
    """A study."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def settings(self) -> SettingsView:
        """As spelled."""

    @property
    def runs(self) -> Mapping[str, ModelView]:
        """Runs by name, resolved."""

    @property
    def trained(self) -> Mapping[str, RunView]:
        """Those that the study trains."""

    @property
    def imported(self) -> Mapping[str, ImportedView]:
        """Those that are models trained elsewhere."""

    def expect_trained(self, run: str, where: str) -> None:
        """Refuse a run that the study does not have, or does not train."""

    def expect(self, what: str, name: str, where: str) -> None:
        """Refuse a name that the study does not have; `what`: dataset, pool, score, run or attack."""

    def attacks_of(self, run: str) -> list[str]:
        """Return the names of the attacks on a run."""

    def score_pool(self, score: str) -> str:
        """Return the name of the pool of a score."""

    def dataset_of_run(self, run: str) -> str:
        """Return the name of the dataset behind a run."""

    def behind_run(self, run: str, seed: int) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Return the (run, seed) of each model and the (score, seed) of each score that a run depends on."""

    def scores_behind_pool(self, pool: str) -> list[str]:
        """Return the margins that a generator behind a pool learns."""

    def dataset_of_pool(self, pool: str) -> str:
        """Return the name of the dataset behind a pool."""

    def behind_samples(self, pool: str, seed: int) -> tuple[list[str], list[str]]:
        """Return the runs and the checkpoints of the models that conditioned or guided the samples of a pool."""

    def are_one_model(self, run: str, other: str) -> bool:
        """Return whether two runs end in the same weights."""

    def pools_behind_run(self, run: str, seed: int) -> list[tuple[str, int]]:
        """Return the (pool, seed) of each pool that a run, a model or a score it depends on looks at, each once."""


OfSeed = Callable[[str, int], str]
"""The path of what a name and a seed tell."""


@dataclass(frozen=True)
class StudyFiles:
    """Where the files of a study lie. Its rules alone know that.

    Attributes:
        dataset, pool, score: of a name and a seed.
        pool_sources: the files that a pool holds rows of; what reads a pool reads these too.
        selection, history: of a run and a seed.
        attack: table of a run, a seed and an attack.
        kept_attack: table of a run, a seed, an attack and an epoch that the run keeps.
        results: what results of some runs are read from: mappings as in `RunFiles`, in the study's order.
        training_benchmark: seconds of a run's training; of a run and a seed.
        learning_benchmark: seconds of learning; of a pool and a seed.
        attack_benchmark: seconds of an attack; of a run, a seed and an attack.
        score_benchmarks: seconds of each job of a score; of a score and a seed.
    """

    dataset: OfSeed
    pool: OfSeed
    pool_sources: Callable[[str, int], list[str]]
    score: OfSeed
    selection: OfSeed
    history: OfSeed
    attack: Callable[[str, int, str], str]
    kept_attack: Callable[[str, int, str, int], str]
    results: Callable[[Collection[str]], list[dict[str, Any]]]
    training_benchmark: OfSeed
    learning_benchmark: OfSeed
    attack_benchmark: Callable[[str, int, str], str]
    score_benchmarks: Callable[[str, int], list[str]]

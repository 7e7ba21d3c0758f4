"""What each job of a study repeats, and how often: its work, as pieces that a clock times or a counter counts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pumalib.attacks.inputs import images_a_batch
from pumalib.attacks.settings import WorstOfSettings
from pumalib.data.settings import GeneratedSyntheticSettings
from pumalib.errors import ConfigError
from pumalib.learning.passes import learning_passes
from pumalib.learning.settings import RobustFeaturesSettings, TriLevelSettings, starting_ages
from pumalib.models.settings import ArchitectureSettings
from pumalib.planning import pieces
from pumalib.planning.images import Images
from pumalib.planning.jobs import PlannedJob
from pumalib.planning.meters import Amounts, Line, Piece
from pumalib.planning.shapes import StudyShapes
from pumalib.planning.typical import attack_passes, margin_passes, mean_passes, steps_tried, withstood
from pumalib.reporting.cost_passes import Passes, tracking_passes, training_passes
from pumalib.study.slices import run_settings
from pumalib.study.study import Study
from pumalib.synthesis.passes import generator_passes, sampling_passes
from pumalib.tracks.passes import epochs_of, passes_of
from pumalib.training.length import num_steps, of_pool

Measure = Callable[[str, Callable[[], Piece]], Line]
"""From the name of a piece, by which it is measured once, and what makes it, to its amounts by rows."""


@dataclass(frozen=True)
class Repeated:
    """A piece, and how often a job does it.

    Attributes:
        times: repetitions; a fraction where a piece is a longer or a shorter one than that measured.
        amounts: of one.
    """

    times: float
    amounts: Amounts


@dataclass(frozen=True)
class JobWork:
    """The work of a job, beside its start.

    Attributes:
        parts: what it repeats.
        passes: of images forward and backward through networks, planned or typical; 0: none.
    """

    parts: tuple[Repeated, ...] = ()
    passes: float = 0.0


class Works:
    """The work of the jobs of one study.

    Args:
        shapes: of the study.
        measure: what times or counts a piece.
        score_passes: passes of a row under each score that has a table already.
    """

    def __init__(self, shapes: StudyShapes, measure: Measure, score_passes: dict[str, float]) -> None:
        self._shapes, self._measure, self._score_passes = shapes, measure, score_passes
        self._study: Study = shapes.study
        self._threat = shapes.study.settings.threat
        self._known: dict[tuple[str, str, str | None], JobWork] = {}

    def of(self, job: PlannedJob) -> JobWork:
        """Return the work of a job; that of another seed, shard or epoch is the same."""
        key = job.rule.removesuffix("_kept"), job.name, job.attack
        if key not in self._known:
            find = {
                "model": self._of_training,
                "attack": self._of_attack,
                "score_shard": self._of_shard,
                "generator": self._of_generator,
                "synthetic": self._of_samples,
                "learn_dataset": self._of_learning,
            }.get(key[0])
            self._known[key] = JobWork() if find is None else find(job)
        return self._known[key]

    def _of_training(self, job: PlannedJob) -> JobWork:
        run, images = run_settings(self._study, job.name), self._shapes.images(self._study.runs[job.name].pool)
        rows = self._shapes.rows(self._study.runs[job.name].pool)
        training = of_pool(run.training, rows)
        warm = run.epsilon if run.epsilon is None else pieces.warmed_up(run.epsilon)
        passes, late = (
            _sum(training_passes(training, training.outer_passes, online)) for online in (run.epsilon, warm)
        )
        described = run.model_dump(
            exclude={"training": {*_LENGTHS}, "track": True, "repetition": True, "start_from": True, "epsilon": True}
        )
        step = self._measure(f"step {described} {warm} {images}", lambda: pieces.training_step(run, images))
        parts = [Repeated(num_steps(training) * passes / late, step.at(-(-training.batch_size // training.devices)))]
        measured = self._accuracies(run.architecture, images, training.history_images)
        parts.append(Repeated(math.ceil(training.epochs / training.history_every), measured))
        epochs = {epoch for wanted in passes_of(run.track).values() for epoch in epochs_of(wanted, training.epochs)}
        if epochs:
            size = run.track.batch_size
            look = self._measure(f"look {described} {run.track} {images}", lambda: pieces.look_at_rows(run, images))
            parts.append(Repeated(len(epochs) * rows / size, look.at(size)))
        return JobWork(tuple(parts), passes + _sum(tracking_passes(run.track, training, rows)))

    def _accuracies(self, architecture: ArchitectureSettings, images: Images, count: int) -> Amounts:
        """Return what a measurement of a network on so many images takes, for a history or a progress."""
        line = self._measure(
            f"accuracies {architecture} {images} {count}",
            lambda: pieces.measured_accuracies(self._threat, architecture, images, count),
        )
        return line.at(count)

    def _of_attack(self, job: PlannedJob) -> JobWork:
        attack, run = self._study.settings.attacks[str(job.attack)], self._study.runs[job.name]
        assert not isinstance(attack, WorstOfSettings)
        images, trained = self._shapes.images(run.pool), self._study.trained.get(job.name)
        count = self._shapes.rows_attacked(job.name, str(job.attack))
        key = f"attack {attack.model_dump(exclude=_NO_PART_OF_A_STEP)} {run.architecture} {images}"
        line = self._measure(key, lambda: pieces.attacked_batch(attack, self._threat, run.architecture, images))
        passes = mean_passes(attack, withstood(None if trained is None else trained.training))
        whole, tried = (attack_passes(each) for each in (attack, attack.model_copy(update=steps_tried(attack))))
        active = passes / whole  # share of a batch that is left, in the mean over the steps
        size = images_a_batch(attack.batch_size, images.shape)
        parts = [Repeated(number * whole / tried, line.at(rows * active)) for number, rows in _batches(count, size)]
        return JobWork(tuple(parts), count * passes)

    def _of_shard(self, job: PlannedJob) -> JobWork:
        score, pool = self._study.settings.scores[job.name], self._study.score_pool(job.name)
        images, rows = self._shapes.images(pool), self._shapes.rows(pool)
        architecture = self._architecture_of(job.name)
        extrapolate = getattr(score, "extrapolate", None)
        count = math.ceil(rows / getattr(score, "shards", 1) * (1 if extrapolate is None else extrapolate.measured))
        described = score.model_dump(exclude={"shards", "model", "pool", "extrapolate", "up_to"})
        line = self._measure(
            f"score {described} {architecture} {images}",
            lambda: pieces.scored_batch(score, self._threat, architecture, images),  # type: ignore[arg-type]
        )
        typical = self._score_passes.get(job.name, margin_passes(score))
        more = 1.0 if line.passes is None or typical is None else typical / line.passes
        size = images_a_batch(score.batch_size, images.shape)  # type: ignore[union-attr]
        parts = [Repeated(number * more, line.at(taken)) for number, taken in _batches(count, size)]
        return JobWork(tuple(parts), count * (typical or line.passes or 0.0))

    def _architecture_of(self, score: str) -> ArchitectureSettings:
        """Return the network that a score looks through.

        Raises:
            ConfigError: a checkpoint of this library tells it alone.
        """
        model = self._study.settings.scores[score].model  # type: ignore[union-attr]
        if model.run is not None:
            return self._study.runs[model.run].architecture
        if model.architecture is None:
            raise ConfigError(
                f"expected the architecture of {model.checkpoint} to plan with, got none, at scores.{score}.model; "
                "name architecture there, or import the checkpoint as a run"
            )
        return model.architecture

    def _of_generator(self, job: PlannedJob) -> JobWork:
        settings = self._study.settings.generators[job.name]
        images = self._shapes.images_of_dataset(settings.dataset)
        described = settings.model_dump(include={"network", "width", "num_blocks", "batch_size"})
        line = self._measure(f"generator {described} {images}", lambda: pieces.generator_step(settings, images))
        return JobWork(
            (Repeated(settings.steps, line.at(settings.batch_size)),), float(sum(generator_passes(settings)))
        )

    def _of_samples(self, job: PlannedJob) -> JobWork:
        synthetic = self._study.settings.pools[job.name].synthetic
        if not isinstance(synthetic, GeneratedSyntheticSettings):
            return JobWork()
        settings = self._study.settings.generators[synthetic.generator]
        images = self._shapes.images_of_dataset(settings.dataset)
        described = settings.model_dump(
            include={"network", "width", "num_blocks", "sampling_steps", "sampling_batch_size"}
        )
        guide = self._study.settings.pools[job.name].guide
        architecture = None if guide is None else self._study.runs[guide].architecture
        line = self._measure(
            f"samples {described} {synthetic.margin} {synthetic.guidance} {architecture} {images}",
            lambda: pieces.sampled_batch(settings, images, synthetic, architecture),
        )
        batches = math.ceil(synthetic.count / settings.sampling_batch_size)
        parts = (Repeated(batches, line.at(settings.sampling_batch_size)),)
        return JobWork(parts, float(sum(sampling_passes(settings, synthetic))))

    def _of_learning(self, job: PlannedJob) -> JobWork:
        settings = self._study.settings.pools[job.name].learned
        assert settings is not None
        images, rows = self._shapes.images(job.name), self._shapes.rows(job.name)
        if isinstance(settings, TriLevelSettings):
            return self._of_tri_level(settings, images, rows)
        return self._of_matching(settings, images, rows)

    def _of_tri_level(self, settings: TriLevelSettings, images: Images, rows: int) -> JobWork:
        line = self._measure(
            f"learning {settings} {images}", lambda: pieces.learning_step(settings, self._threat, images)
        )
        trained = self._measure(f"trained {settings} {images}", lambda: pieces.natural_steps(settings, images))
        probes = num_probes(settings)
        steps = sum(starting_ages(settings)) + probes * settings.max_age
        parts = [
            Repeated(settings.steps, line.at(settings.batch_size)),
            Repeated(steps / pieces.STEPS_TRAINED, trained.at(settings.batch_size)),
            Repeated(probes, self._accuracies(settings.architectures[0], images, settings.probe_images)),
        ]
        measured = 2 * probes * settings.max_age * settings.batch_size  # by the networks that measure progress
        return JobWork(tuple(parts), float(sum(learning_passes(settings, rows)) + measured))

    def _of_matching(self, settings: RobustFeaturesSettings, images: Images, rows: int) -> JobWork:
        architecture = self._study.runs[settings.model].architecture
        described = settings.model_dump(include={"features", "batch_size"})
        line = self._measure(
            f"matching {described} {architecture} {images}",
            lambda: pieces.matched_batch(settings, architecture, images),
        )
        more = settings.steps / pieces.STEPS_MATCHED
        parts = [Repeated(number * more, line.at(taken)) for number, taken in _batches(rows, settings.batch_size)]
        return JobWork(tuple(parts), float(sum(learning_passes(settings, rows))))


_LENGTHS = (
    "epochs",
    "samples_per_epoch",
    "learning_rate",
    "momentum",
    "weight_decay",
    "history_every",
    "keep_every",
    "history_images",
)
"""Settings of a recipe that change no time of a step."""

_NO_PART_OF_A_STEP = {"runs", "split", "num_images", "epsilon", "keep_points", "steps", "restarts", "queries"}
"""Settings of an attack that change no time of one of its steps on a batch."""


def num_probes(settings: TriLevelSettings) -> int:
    """Return how often a learned pool is measured by a fresh network: before the first step, on the way, at the end."""
    return 1 + math.ceil(settings.steps / settings.probe_every)


def _batches(count: int, size: int) -> list[tuple[int, int]]:
    """Return how many batches of how many rows there are: whole ones, and what is left."""
    return [(number, rows) for number, rows in ((count // size, size), (1, count % size)) if number and rows]


def _sum(passes: Passes) -> float:
    return passes.forward + passes.backward

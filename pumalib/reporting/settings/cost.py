"""Settings of a cost report: runs, and every training, score and evaluation that they stand on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from pumalib.data.settings import FolderSyntheticSettings, GeneratedSyntheticSettings, NpzSyntheticSettings
from pumalib.errors import ConfigError
from pumalib.reporting.report_settings import Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name
from pumalib.tracks.passes import names_of
from pumalib.training.online.settings import OnlineEpsilonSettings

PartKind = Literal["training", "margin model", "score", "learned pool", "generation", "evaluation"]
"""What a part of a cost is."""

TRAINING: PartKind = "training"
"""The run's own training."""
MARGIN_MODEL: PartKind = "margin model"
"""The training of a model that a score looks through, a pool was learned through, or a training starts from."""
SCORE: PartKind = "score"
"""The scoring of a pool."""
LEARNED_POOL: PartKind = "learned pool"
"""The learning of a pool."""
GENERATION: PartKind = "generation"
"""The training of a generator, or its sampling of a pool's generated rows."""
EVALUATION: PartKind = "evaluation"
"""An attack on the test images; its seconds only, and no part of the whole."""


Tracked = dict[tuple[str, int], dict[str, Any]]
"""What runs of a seed track for the scores so far."""


@dataclass(frozen=True)
class CostPart:
    """One training, score or evaluation that a run of one seed stands on.

    Attributes:
        run, seed: what it is needed for.
        kind: what it is.
        name: of the run, score, pool or attack.
        settings: of the training, score, learned pool or generator; None for an evaluation, and a model or generated
            rows that the study does not make.
        outer_passes: of a training, forward and backward passes of a draw outside the inner attack.
        online: of a training, the settings of the policy that looks for its epsilons; empty: they come before.
        gathered: for a score of tracks, of each run behind it `training`, what it had to `track`, and what it tracks
            for earlier scores `already`: quantities that look at the same images share a pass.
        file: selection file of a training, score file of a score.
        history: of a training whose epochs differ in length: there its draws stand; None: they are planned.
        pool: pool file of a score or of a learned pool.
        benchmarks: seconds of its jobs; none: not asked for.
        synthetic: of samples of a generator, how they are drawn; None: the part is the training of the generator, or
            none of generated rows.
    """

    run: str
    seed: int
    kind: PartKind
    name: str
    settings: Mapping[str, Any] | None = None
    outer_passes: tuple[int, int] = (0, 0)
    online: Mapping[str, Any] = field(default_factory=dict)
    gathered: Sequence[Mapping[str, Any]] = ()
    file: str | None = None
    history: str | None = None
    pool: str | None = None
    benchmarks: tuple[str, ...] = ()
    synthetic: Mapping[str, Any] | None = None

    @property
    def files(self) -> list[str]:
        """Every file that it is read from."""
        return [path for path in (self.file, self.history, self.pool, *self.benchmarks) if path is not None]


class CostSettings(ReportSettings):
    """A table of what runs cost, with everything that they depend on: margin models and margins too."""

    section: ClassVar[Section] = "Training and cost"
    is_of_trainings: ClassVar[bool] = True

    kind: Literal["cost"] = "cost"
    """Which report this is."""
    runs: Names | None = None
    """Runs of the table, in this order; null: all runs of the study."""
    baseline: Name | None = None
    """Run whose cost is 1; it need not be among `runs`; null: none."""
    seconds: bool = False
    """Also show the seconds of each job, which differ from one run of the workflow to the next."""

    generation: bool = False
    """Also count what generated rows took: the passes of training their generator and of drawing them."""

    @model_validator(mode="after")
    def _refuse_seconds_of_generation(self) -> Self:
        if self.seconds and self.generation:
            raise ValueError("expected seconds or generation, got both; the seconds of generators are not recorded")
        return self

    def check(self, study: StudyView, where: str) -> None:
        """Refuse a study that trains nothing: runs on any images have a cost."""
        if not self.runs_needed(study):
            raise ConfigError(f"expected a run that this study trains, got none at {where}; leave the report out")

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return every part of what the runs cost; the files in them, and what their pools stand on."""
        costs = needs_of_costs(self, study, files, self.seconds, self.generation)
        left_out = list(study.imported) if self.runs is None else []
        return Needs(costs.inputs, {**costs.arguments, "left_out": left_out})


def needs_of_costs(
    report: ReportSettings, study: StudyView, files: StudyFiles, seconds: bool = False, generation: bool = False
) -> Needs:
    """Return every part of what a report's runs cost, as `parts`; the files in them, and what their pools stand on.

    Args:
        report: the report.
        study: the study.
        files: where its files lie.
        seconds: also what the seconds of jobs, and evaluations, are read from.
        generation: also what generated rows took.
    """
    pairs = [(run, seed) for run in report.runs_needed(study) for seed in study.settings.seeds]
    parts = [part for run, seed in pairs for part in cost_parts(study, files, run, seed)]
    if not seconds:
        parts = [replace(part, benchmarks=()) for part in parts if part.kind != EVALUATION]
    parts += [part for run, seed in pairs if generation for part in _generation_parts(study, run, seed)]
    scored = {(study.score_pool(score), at) for run, seed in pairs for score, at in study.behind_run(run, seed)[1]}
    learned = {each for run, seed in pairs for each in _learned_pools(study, run, seed)}
    sources = [path for pool, seed in scored | learned for path in files.pool_sources(pool, seed)]
    inputs = [path for part in parts for path in part.files]
    return Needs([*inputs, *sources], {"parts": [asdict(part) for part in parts]})


def cost_parts(study: StudyView, files: StudyFiles, run: str, seed: int) -> Iterator[CostPart]:
    """Yield every training, score, learned pool and evaluation that a run with one seed stands on."""
    yield CostPart(run, seed, TRAINING, **_training(study, files, run, seed))
    models, scores = study.behind_run(run, seed)
    trained = [(name, at) for name, at in models if name in study.trained]
    for model in trained:
        yield CostPart(run, seed, MARGIN_MODEL, **_training(study, files, *model))
    for name in (name for name, _ in models if name in study.imported):
        yield CostPart(run, seed, MARGIN_MODEL, name)
    for start in (study.trained[name].start_from for name, _ in [(run, seed), *trained]):
        if start is not None and start.checkpoint is not None:
            yield CostPart(run, seed, MARGIN_MODEL, start.checkpoint)
    tracked: Tracked = {}
    for score in scores:
        yield CostPart(run, seed, SCORE, **_score(study, files, *score, tracked))
        reference = getattr(study.settings.scores[score[0]], "model", None)
        if reference is not None and reference.checkpoint is not None:
            yield CostPart(run, seed, MARGIN_MODEL, reference.checkpoint)
    for pool, at in _learned_pools(study, run, seed):
        yield CostPart(run, seed, LEARNED_POOL, **_learning(study, files, pool, at))
    for attack in study.attacks_of(run):
        benchmark = files.attack_benchmark(run, seed, attack)
        yield CostPart(run, seed, EVALUATION, attack, benchmarks=(benchmark,))


def _learned_pools(study: StudyView, run: str, seed: int) -> list[tuple[str, int]]:
    """Return the learned pools that a run with one seed stands on, with their seeds."""
    behind = study.pools_behind_run(run, seed)
    return [(pool, at) for pool, at in behind if study.settings.pools[pool].learned is not None]


def _generation_parts(study: StudyView, run: str, seed: int) -> Iterator[CostPart]:
    """Yield each generator, and each pool's generated rows, that a run with one seed stands on."""
    generators: set[tuple[str, int]] = set()
    for pool, at in study.pools_behind_run(run, seed):
        synthetic = study.settings.pools[pool].synthetic
        if isinstance(synthetic, GeneratedSyntheticSettings):
            settings = study.settings.generators[synthetic.generator].model_dump()
            if (synthetic.generator, at) not in generators:
                generators.add((synthetic.generator, at))
                yield CostPart(run, seed, GENERATION, synthetic.generator, settings)
            yield CostPart(run, seed, GENERATION, pool, settings, synthetic=synthetic.model_dump())
        elif isinstance(synthetic, NpzSyntheticSettings | FolderSyntheticSettings):
            yield CostPart(run, seed, GENERATION, pool)


def _training(study: StudyView, files: StudyFiles, run: str, seed: int) -> dict[str, Any]:
    resolved = study.trained[run]
    return {
        "name": run,
        "settings": resolved.training.on_one_node.model_dump(),
        "outer_passes": resolved.training.outer_passes,
        "online": resolved.epsilon.model_dump() if isinstance(resolved.epsilon, OnlineEpsilonSettings) else {},
        "file": files.selection(run, seed),
        "history": None if resolved.training.dynamic_pruning is None else files.history(run, seed),
        "benchmarks": (files.training_benchmark(run, seed),),
    }


def _learning(study: StudyView, files: StudyFiles, pool: str, seed: int) -> dict[str, Any]:
    learned = study.settings.pools[pool].learned
    assert learned is not None
    return {
        "name": pool,
        "settings": learned.model_dump(),
        "pool": files.pool(pool, seed),
        "benchmarks": (files.learning_benchmark(pool, seed),),
    }


def _score(study: StudyView, files: StudyFiles, score: str, seed: int, tracked: Tracked) -> dict[str, Any]:
    return {
        "name": score,
        "settings": study.settings.scores[score].model_dump(),
        "gathered": _gathered_by(study, score, seed, tracked),
        "file": files.score(score, seed),
        "pool": files.pool(study.score_pool(score), seed),
        "benchmarks": tuple(files.score_benchmarks(score, seed)),
    }


def _gathered_by(study: StudyView, score: str, seed: int, tracked: Tracked) -> list[dict[str, Any]]:
    """Describe what the runs behind a score of tracks gathered for it: the first quantity that all of them have."""
    settings = study.settings.scores[score]
    runs = {run: study.trained[run] for run in getattr(settings, "tracked", ())}
    wanted = getattr(settings, "quantities", ())
    common = [quantity for quantity in wanted if all(quantity in names_of(run.track) for run in runs.values())]
    gathered = []
    for name, run in runs.items() if common else ():
        track, already = {common[0]: run.track.model_dump()[common[0]]}, tracked.get((name, seed), {})
        gathered.append({"training": run.training.model_dump(), "track": track, "already": already})
        tracked[name, seed] = already | track
    return gathered

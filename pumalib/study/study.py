"""A study: one config file, complete by itself, checked whole before any job starts. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic.json_schema import models_json_schema

from pumalib.abstraction.study import AbstractionStudySettings
from pumalib.attacks.settings import NamedAttackSettings, WorstOfSettings, like_their_attacks
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.settings import DatasetSettings, GeneratedSyntheticSettings, SyntheticSettings
from pumalib.errors import ConfigError
from pumalib.learning.settings import LearnedSettings
from pumalib.perceptron.study import PerceptronStudySettings
from pumalib.reporting.settings.gate import Gate
from pumalib.reporting.settings.primary import PrimaryContrast
from pumalib.scores.settings import MarginSettings, ScoreSettings, TrackedScore
from pumalib.setting_errors import describe
from pumalib.settings import Name, Seeds, Settings
from pumalib.study.docstrings import described
from pumalib.study.names import expect_name
from pumalib.study.reports import AnyReportSettings
from pumalib.study.runs import ImportedRun, Run, RunOverrides, refuse_keys_of_one_run, resolve_run
from pumalib.study.sweeps import Sweep, as_written, expect_unlike_runs, written_out
from pumalib.synthesis.settings import EdmSettings


class PoolSettings(Settings):
    """All training candidates: train rows of a dataset, then those of a synthetic set; or rows learned from a pool."""

    dataset: Name | None = None
    """Name under `datasets`; a learned pool has that of the pool it starts from."""
    synthetic: SyntheticSettings | None = None
    """The synthetic rows; none: real rows alone."""
    learned: LearnedSettings | None = None
    """How images are learned from those of another pool; instead of a dataset."""

    @model_validator(mode="after")
    def _check_one_origin(self) -> PoolSettings:
        if (self.dataset is None) == (self.learned is None):
            raise ValueError(f"expected exactly one of dataset and learned, got {'both' if self.dataset else 'none'}")
        if self.learned is not None and self.synthetic is not None:
            raise ValueError("expected no synthetic beside learned; give it to the pool that learning starts from")
        return self

    @property
    def guide(self) -> str | None:
        """The run whose model guides the sampling of the synthetic rows; None: none does."""
        guidance = getattr(self.synthetic, "guidance", None)
        return None if guidance is None else str(guidance.model)


OWN_REPORTS = {"gate": "question", "primary": "contrast"}
"""Keys of a study that make a report of their name, and the key of the report that holds their settings."""


class StudySettings(Settings):
    """A study as its config file spells it."""

    study: Name
    """Name of the study and of its results folder."""
    seeds: Seeds
    """Independent repetitions of the whole pipeline: split, generator, margin model, initial weights and order."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where jobs compute; `auto` takes CUDA where there is one."""
    threads: int = Field(default=1, gt=0)
    """Torch threads of a job; on a CPU they are part of the result."""
    tf32: bool = False
    """Let CUDA devices round the factors of convolutions and matrix products to 10 bits (TF32), which is faster.
    Margins then count a crossing only beyond that rounding. Changes nothing on a CPU."""
    save_every_seconds: float = Field(default=300, ge=0)
    """Seconds between saves of the state that an interrupted job resumes from; 0: at each step. Not part of results."""
    tracker: str | None = None
    """Where each epoch of a training is reported while it runs: `tensorboard` writes event files beside `history.csv`,
    `<module>:<class>` is one of yours; none: nobody. No part of the result."""
    data_dir: str = "data"
    """Folder of downloaded data sets."""
    threat: ThreatSettings
    """The perturbations that models should be robust to."""
    datasets: dict[Name, DatasetSettings] = Field(min_length=1)
    """Real images, by name."""
    generators: dict[Name, EdmSettings] = Field(default_factory=dict)
    """Generators that the study trains, by name."""
    pools: dict[Name, PoolSettings] = Field(min_length=1)
    """Training candidates, by name."""
    defaults: RunOverrides = RunOverrides()
    """What every run starts from."""
    scores: dict[Name, ScoreSettings] = Field(default_factory=dict)
    """Scores of pools, by name."""
    runs: dict[Name, RunOverrides | None] = Field(min_length=1)
    """Trainings, and models trained elsewhere, by name."""
    attacks: dict[Name, NamedAttackSettings] = Field(min_length=1)
    """Attacks that runs are evaluated with, by name."""
    gate: Gate | None = None
    """What is asked first, on validation rows; it gets a report of its own, `gate`. None: nothing is."""
    primary: PrimaryContrast | None = None
    """The one comparison that the study was made for; it gets a report of its own, `primary`. None: all explore."""
    reports: dict[Name, AnyReportSettings] = Field(default_factory=dict)
    """Tables and figures, by name; each is a target of its own."""

    @model_validator(mode="before")
    @classmethod
    def _report_what_has_a_key_of_its_own(cls, values: Any) -> Any:
        """Add the reports of the gate and of the primary contrast, the first of all."""
        reports = values.get("reports") or {} if isinstance(values, dict) else None
        if not isinstance(reports, dict):
            return values
        keys = {key: part for key, part in OWN_REPORTS.items() if isinstance(values.get(key), dict)}
        for key in keys:
            if key in reports:
                raise ValueError(
                    f'expected another name than "{key}" under reports, which the key {key} makes a report of'
                )
        own = {key: {"kind": key, part: values[key]} for key, part in keys.items()}
        return {**values, "reports": {**own, **reports}} if own else values

    @model_validator(mode="before")
    @classmethod
    def _take_worst_cases_for_those_of_their_attacks(cls, values: Any) -> Any:
        """Give each worst case over attacks the images and the threat of those."""
        attacks = values.get("attacks") if isinstance(values, dict) else None
        return {**values, "attacks": like_their_attacks(attacks)} if isinstance(attacks, dict) else values


@dataclass(frozen=True)
class Study:
    """A checked study.

    Attributes:
        settings: as spelled.
        runs: resolved: trainings, and models trained elsewhere.
        sweeps: which of these runs came of one, by the names that the file gives the sweeps.
    """

    settings: StudySettings
    runs: Mapping[str, Run | ImportedRun]
    sweeps: Mapping[str, Sweep] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.settings.study

    @property
    def extent(self) -> str:
        """How much there is to train, in words."""
        return f"{len(self.runs)} runs" + (f", {len(self.imported)} of them imported" if self.imported else "")

    @cached_property
    def trained(self) -> dict[str, Run]:
        """Runs that the study trains, by name."""
        return {name: run for name, run in self.runs.items() if isinstance(run, Run)}

    @cached_property
    def imported(self) -> dict[str, ImportedRun]:
        """Runs that are models trained elsewhere, by name."""
        return {name: run for name, run in self.runs.items() if isinstance(run, ImportedRun)}

    def expect(self, what: str, name: str, where: str) -> None:
        """Refuse a name that the study does not have.

        Args:
            what: `dataset`, `generator`, `pool`, `score`, `run` or `attack`.
            name: that should be one.
            where: it stands in the study file.

        Raises:
            ConfigError: with the nearest name that there is, or the runs that the name of a sweep stands for.
        """
        if what == "run" and name in self.sweeps:
            raise ConfigError(
                f'expected the name of one run, got "{name}", which is a sweep; did you mean one of '
                f"{self.sweeps[name].listed}? at {where}"
            )
        names = self.runs if what == "run" else getattr(self.settings, f"{what}s")
        expect_name(name, names, what, where)

    def expect_trained(self, run: str, where: str) -> None:
        """Refuse the name of a run that is not there, or that the study does not train.

        Raises:
            ConfigError: with what came.
        """
        self.expect("run", run, where)
        if run in self.imported:
            raise ConfigError(
                f"expected a run that this study trains, got {run}, a checkpoint, at {where}; name another run"
            )

    def dataset_at(self, dataset: str, seed: int) -> str:
        """Return `/seed<k>` where the dataset's split is seeded, else nothing."""
        return f"/seed{seed}" if self.settings.datasets[dataset].has_file_of_each_seed else ""

    def pool_at(self, pool: str, seed: int) -> str:
        """Return `/seed<k>` where the pool differs from seed to seed, else nothing."""
        settings = self.settings.pools[pool]
        is_sampled = settings.synthetic is not None and settings.synthetic.method == "generator"
        is_own = is_sampled or settings.learned is not None
        return f"/seed{seed}" if is_own else self.dataset_at(self.dataset_of_pool(pool), seed)

    def pools_behind(self, pool: str) -> tuple[str, ...]:
        """Return a pool, the pool it is learned from, and so on to one of a dataset."""
        learned = self.settings.pools[pool].learned
        return (pool,) if learned is None else (pool, *self.pools_behind(learned.pool))

    def dataset_of_pool(self, pool: str) -> str:
        """Return the name of the dataset that a pool holds rows of, or is learned from."""
        return str(self.settings.pools[self.pools_behind(pool)[-1]].dataset)

    def attacks_of(self, run: str) -> list[str]:
        """Return the names of the attacks that a run is evaluated with."""
        attacks = self.settings.attacks
        return [name for name, attack in attacks.items() if attack.runs is None or run in attack.runs]

    @property
    def worst_of(self) -> dict[str, tuple[str, ...]]:
        """Worst cases over attacks, by name, and the attacks that each is made from."""
        attacks = self.settings.attacks.items()
        return {name: attack.attacks for name, attack in attacks if isinstance(attack, WorstOfSettings)}

    def score_pool(self, score: str) -> str:
        """Return the name of the pool a score belongs to."""
        settings = self.settings.scores[score]
        if isinstance(settings, TrackedScore):
            return self.runs[settings.tracked[0]].pool
        pool = settings.pool or self.settings.defaults.pool
        if pool is None:
            raise ConfigError(f"expected a pool for scores.{score}, or one under defaults")
        return pool

    def runs_behind(self, score: str, seed: int) -> list[tuple[str, int]]:
        """Return the (run, seed) of each model a score needs: looked through, or gathered from; none: a checkpoint."""
        settings = self.settings.scores[score]
        model = getattr(settings, "model", None)
        if model is None:
            return [(run, seed) for run in getattr(settings, "tracked", ())]
        return [] if model.run is None else [(model.run, seed if model.seed is None else model.seed)]

    def behind_run(self, run: str, seed: int) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        """Return the (run, seed) of each model and the (score, seed) of each score a run depends on, each once.

        The nearest come first.
        """
        if run in self.imported:
            return [], []
        models: dict[tuple[str, int], None] = {}
        resolved = self.trained[run]
        scores = dict.fromkeys((score, seed) for score in (*resolved.scores, *self.scores_behind_pool(resolved.pool)))
        deeper: dict[tuple[str, int], None] = {}
        needed = [model for score, at in scores for model in self.runs_behind(score, at)]
        needed += [(model, seed) for model in self.models_behind_pool(resolved.pool)]
        start = resolved.start_from
        needed += [] if start is None or start.run is None else [(start.run, seed)]
        for model in needed:
            nested_models, nested_scores = self.behind_run(*model)
            models |= dict.fromkeys([model, *nested_models])
            deeper |= dict.fromkeys(nested_scores)
        return list(models), list(scores | deeper)

    def models_behind_pool(self, pool: str) -> list[str]:
        """Return the runs whose models a pool, or one it is learned from, is learned through or guided by."""
        pools = [self.settings.pools[name] for name in self.pools_behind(pool)]
        models = [model for each in pools for model in (getattr(each.learned, "model", None), each.guide)]
        return [model for model in models if model is not None]

    def generators_behind_pool(self, pool: str) -> list[str]:
        """Return the generator that a pool, or one it is learned from, samples from; none: it samples from none."""
        synthetic = [self.settings.pools[name].synthetic for name in self.pools_behind(pool)]
        return [each.generator for each in synthetic if isinstance(each, GeneratedSyntheticSettings)]

    def behind_samples(self, pool: str, seed: int) -> tuple[list[str], list[str]]:
        """Return the runs and the checkpoints of the models that conditioned or guided the samples of a pool.

        Runs that such a run depends on are among them.
        """
        scores = [self.settings.scores[score] for score in self.scores_behind_pool(pool)]
        references = [score.model for score in scores if isinstance(score, MarginSettings)]
        direct = [*self.models_behind_pool(pool), *(each.run for each in references if each.run is not None)]
        runs = dict.fromkeys(direct)
        for run in direct:
            runs |= dict.fromkeys(behind for behind, _ in self.behind_run(run, seed)[0])
        checkpoints = [each.checkpoint for each in references if each.checkpoint is not None]
        checkpoints += [self.imported[run].checkpoint for run in runs if run in self.imported]
        return list(runs), checkpoints

    def are_one_model(self, run: str, other: str) -> bool:
        """Return whether two runs end in the same weights, because all that makes them is spelled alike."""
        first, second = ({**dict(self.runs[name]), "track": None} for name in (run, other))
        pools = [self.settings.pools[each.pop("pool")] for each in (first, second)]
        return run == other or (pools[0] == pools[1] and first == second)

    def scores_behind_pool(self, pool: str) -> list[str]:
        """Return the margins that a generator behind a pool learns."""
        generators = [self.settings.generators[name] for name in self.generators_behind_pool(pool)]
        return [generator.margin.score for generator in generators if generator.margin is not None]

    def pools_behind_run(self, run: str, seed: int) -> list[tuple[str, int]]:
        """Return the (pool, seed) of each pool that a run, a model or a score it depends on looks at, each once.

        Those that such a pool is learned from are among them.
        """
        models, scores = self.behind_run(run, seed)
        trained = [(self.trained[name], at) for name, at in [(run, seed), *models] if name in self.trained]
        pools = [(each.pool, at) for each, at in trained] + [(self.score_pool(score), at) for score, at in scores]
        return list(dict.fromkeys((behind, at) for pool, at in pools for behind in self.pools_behind(pool)))

    def dataset_of_run(self, run: str) -> str:
        """Return the name of the dataset behind a run's pool."""
        return self.dataset_of_pool(self.runs[run].pool)


def parse_study(raw: Mapping[str, Any], origin: str = "config") -> Study:
    """Parse a study; its names and files are checked by `checks.check_study`.

    Args:
        raw: the mapping a config file holds.
        origin: how errors name the file.

    Raises:
        ConfigError: an unknown key, a wrong type or an impossible value; the message says where.
    """
    plain, sweeps = written_out(raw, origin)
    try:
        settings = StudySettings.model_validate(plain)
    except ValidationError as error:
        raise ConfigError(describe(error, StudySettings, (), origin)) from None
    defaults = dict(plain.get("defaults") or {})
    refuse_keys_of_one_run(defaults, origin)
    try:
        runs = {name: resolve_run(name, defaults, dict(own or {}), origin) for name, own in plain["runs"].items()}
    except ConfigError as error:
        raise ConfigError(as_written(str(error), sweeps)) from None
    expect_unlike_runs(runs, sweeps, origin)
    return Study(settings, runs, sweeps)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a study file, for editors: of the corridor, or of a theory, told by its section."""
    models = (StudySettings, PerceptronStudySettings, AbstractionStudySettings)
    _, schema = models_json_schema([(model, "validation") for model in models], title="PUMA study")
    for model in models:
        for group in schema["$defs"][model.__name__]["properties"].values():
            if "patternProperties" in group:  # pydantic leaves other names than the pattern's open
                group["additionalProperties"] = False
    for group in schema["$defs"].values():
        if "description" in group:
            group["description"] = described(group["description"])
    training = schema["$defs"][RunOverrides.__name__]["properties"]["training"]
    training["anyOf"] = training.pop("oneOf")  # a run need not name its method, and methods share keys
    choice: dict[str, Any]
    choice, *theories = ({"$ref": f"#/$defs/{model.__name__}"} for model in models)
    for section, theory in zip(("perceptron", "abstraction"), theories, strict=True):
        choice = {"if": {"required": [section]}, "then": theory, "else": choice}
    return {**schema, **choice, "$schema": "https://json-schema.org/draft/2020-12/schema"}

"""The jobs of a study, and which of them wait for which: as the rules make them, but without Snakemake.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pumalib.reporting.study_view import StudyFiles
from pumalib.scores.settings import looks_through_a_model, whole_score_rule
from pumalib.study.study import Study


@dataclass(frozen=True)
class PlannedJob:
    """One job.

    Attributes:
        rule: that makes it; all reports have the rule `report`.
        name: of the run, score, pool, dataset, generator or report.
        seed: of the study; None: one for all seeds.
        needs: keys of the jobs that it waits for.
        attack: of a job that attacks.
        part: shard of a score, or epoch whose weights are attacked.
    """

    rule: str
    name: str
    seed: int | None
    needs: tuple[str, ...] = ()
    attack: str | None = None
    part: int | None = None


def jobs_of(study: Study) -> Mapping[str, PlannedJob]:
    """Return all jobs of a checked study by key, each after those that it waits for."""
    jobs = _Jobs(study)
    jobs.add_all()
    return jobs.found


class _Jobs:
    """Jobs found so far. Each method adds what makes a file, with all before it, and returns its key."""

    def __init__(self, study: Study) -> None:
        self.found: dict[str, PlannedJob] = {}
        self._study, self._settings = study, study.settings
        self._files = StudyFiles(
            dataset=self.dataset,
            pool=self.pool,
            pool_sources=self.pool_sources,
            score=self.score,
            selection=self.selection,
            history=self.model,
            attack=self.attack,
            kept_attack=self.kept_attack,
            results=self.results_of,
            training_benchmark=self.model,
            learning_benchmark=self.learned,
            attack_benchmark=self.attack,
            score_benchmarks=self.shards,
        )

    def add_all(self) -> None:
        """Add what the workflow makes where nothing else is asked for."""
        study, seeds = self._study, self._settings.seeds
        for seed in seeds:
            for run in study.runs:
                self.model(run, seed)
                for attack in study.attacks_of(run):
                    self.attack(run, seed, attack)
            for score in self._settings.scores:
                self.score(score, seed)
        results = self._add("results", PlannedJob("results", study.name, None, tuple(self._all_results())))
        reports = [self.report(name) for name in self._settings.reports]
        self._add("page", PlannedJob("page", study.name, None, (results, *reports)))

    def _add(self, key: str, job: PlannedJob) -> str:
        self.found.setdefault(key, job)
        return key

    def dataset(self, dataset: str, seed: int) -> str:
        at = self._study.dataset_at(dataset, seed)
        return self._add(f"datasets/{dataset}{at}", PlannedJob("dataset", dataset, seed if at else None))

    def generator(self, generator: str, seed: int) -> str:
        settings = self._settings.generators[generator]
        needs = [self.dataset(settings.dataset, seed)]
        needs += [] if settings.margin is None else [self.score(settings.margin.score, seed)]
        return self._add(f"generators/{generator}/seed{seed}", PlannedJob("generator", generator, seed, tuple(needs)))

    def synthetic(self, pool: str, seed: int) -> str:
        settings, at = self._settings.pools[pool], self._study.pool_at(pool, seed)
        generator = getattr(settings.synthetic, "generator", None)
        needs = [self.dataset(str(settings.dataset), seed)]
        needs += [] if generator is None else [self.generator(generator, seed)]
        needs += [] if settings.guide is None else [self.model(settings.guide, seed)]
        return self._add(f"synthetic/{pool}{at}", PlannedJob("synthetic", pool, seed if at else None, tuple(needs)))

    def learned(self, pool: str, seed: int) -> str:
        settings = self._settings.pools[pool].learned
        assert settings is not None
        needs = [self.pool(settings.pool, seed), self.dataset(self._study.dataset_of_pool(pool), seed)]
        model = getattr(settings, "model", None)
        needs += [] if model is None else [self.model(model, seed)]
        return self._add(f"learned/{pool}/seed{seed}", PlannedJob("learn_dataset", pool, seed, tuple(needs)))

    def pool_sources(self, pool: str, seed: int) -> list[str]:
        settings = self._settings.pools[pool]
        if settings.learned is not None:
            return [self.learned(pool, seed)]
        synthetic = [] if settings.synthetic is None else [self.synthetic(pool, seed)]
        return [self.dataset(str(settings.dataset), seed), *synthetic]

    def pool(self, pool: str, seed: int) -> str:
        at, needs = self._study.pool_at(pool, seed), tuple(self.pool_sources(pool, seed))
        return self._add(f"pools/{pool}{at}", PlannedJob("pool", pool, seed if at else None, needs))

    def selection(self, run: str, seed: int) -> str:
        resolved = self._study.trained[run]
        needs = (self.pool(resolved.pool, seed), *(self.score(score, seed) for score in resolved.scores))
        return self._add(f"selections/{run}/seed{seed}", PlannedJob("selection", run, seed, needs))

    def model(self, run: str, seed: int) -> str:
        key, dataset = f"models/{run}/seed{seed}", self.dataset(self._study.dataset_of_run(run), seed)
        if run in self._study.imported:
            return self._add(key, PlannedJob("import_model", run, seed, (dataset,)))
        if key in self.found:
            return key
        start = self._study.trained[run].start_from
        needs = [dataset, self.pool(self._study.trained[run].pool, seed), self.selection(run, seed)]
        needs += [] if start is None or start.run is None else [self.model(start.run, seed)]
        return self._add(key, PlannedJob("model", run, seed, tuple(needs)))

    def shards(self, score: str, seed: int) -> list[str]:
        """Add what measures a score: its shards, or for what runs gathered the score itself."""
        settings = self._settings.scores[score]
        if not looks_through_a_model(settings):
            return [self.score(score, seed)]
        needs = (self.pool(self._study.score_pool(score), seed), *self._models_behind(score, seed))
        return [
            self._add(
                f"scores/{score}/seed{seed}/shard{shard}", PlannedJob("score_shard", score, seed, needs, part=shard)
            )
            for shard in range(getattr(settings, "shards", 1))
        ]

    def score(self, score: str, seed: int) -> str:
        key = f"scores/{score}/seed{seed}"
        if key in self.found:
            return key
        pool = self.pool(self._study.score_pool(score), seed)
        rule = whole_score_rule(self._settings.scores[score])
        needs = self.shards(score, seed) if rule == "score" else self._models_behind(score, seed)
        return self._add(key, PlannedJob(rule, score, seed, (pool, *needs)))

    def _models_behind(self, score: str, seed: int) -> list[str]:
        return [self.model(run, at) for run, at in self._study.runs_behind(score, seed)]

    def attack(self, run: str, seed: int, attack: str) -> str:
        parts = self._study.worst_of.get(attack)
        if parts is None:
            needs: Iterable[str] = (self.dataset(self._study.dataset_of_run(run), seed), self.model(run, seed))
        else:
            needs = [self.attack(run, seed, part) for part in parts]
        rule = "attack" if parts is None else "worst_attack"
        return self._add(f"attacks/{run}/seed{seed}/{attack}", PlannedJob(rule, run, seed, tuple(needs), attack))

    def kept_attack(self, run: str, seed: int, attack: str, epoch: int) -> str:
        key = f"attacks/{run}/seed{seed}/{attack}/epoch{epoch}"
        needs = (self.dataset(self._study.dataset_of_run(run), seed), self.model(run, seed))
        return self._add(key, PlannedJob("attack_kept", run, seed, needs, attack, epoch))

    def results_of(self, runs: Collection[str]) -> list[dict[str, Any]]:
        """Add what results of some runs are read from; return it as `StudyFiles.results` does."""
        study = self._study
        return [
            {
                "run": run,
                "seed": seed,
                "pool": study.runs[run].pool,
                "selection": self.selection(run, seed) if run in study.trained else None,
                "attacks": {attack: self.attack(run, seed, attack) for attack in study.attacks_of(run)},
            }
            for run in study.runs
            if run in runs
            for seed in self._settings.seeds
        ]

    def _all_results(self) -> list[str]:
        entries = self.results_of(self._study.runs)
        paths = [path for entry in entries for path in (entry["selection"], *entry["attacks"].values())]
        return [path for path in paths if path is not None]

    def report(self, name: str) -> str:
        needs = dict.fromkeys(self._settings.reports[name].needs(self._study, self._files).inputs)
        return self._add(f"reports/{name}", PlannedJob("report", name, None, tuple(needs)))

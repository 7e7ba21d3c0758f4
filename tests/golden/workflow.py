"""A study in one process, without Snakemake: a method a rule, which first makes what the rule takes in.

Each method calls what the script of that name in workflow_scripts calls, with the same arguments, and no other place
here knows the library's stages. A new signature of a stage changes one method.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path

from pumalib.data.datasets import prepare_dataset
from pumalib.data.pool import build_learned_pool, build_pool
from pumalib.evaluation.stage import attack_model
from pumalib.jobs.devices import use_threads
from pumalib.jobs.states import StatePlace
from pumalib.learning.stage import LearningPaths, learn_dataset
from pumalib.results.collect import RunFiles, write_results
from pumalib.scores.join import join_shards
from pumalib.scores.settings import looks_through_a_model
from pumalib.scores.stage import score_shard
from pumalib.scores.tracked_stage import score_tracks
from pumalib.selection.stage import make_selection
from pumalib.study.slices import run_settings, selection_settings
from pumalib.study.study import Study
from pumalib.synthesis.generator import train_stage
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic
from pumalib.tracks.passes import names_of
from pumalib.training.stage import train_run
from pumalib.training.task import RunPaths, TrainingTask


def makes(place: str) -> Callable[[Callable[..., None]], Callable[..., Path]]:
    """Give a rule its output, at a place below the results folder, and run it only where that is not there yet."""

    def decorate(rule: Callable[..., None]) -> Callable[..., Path]:
        @wraps(rule)
        def make(self: Workflow, *names: str | int) -> Path:
            output: Path = self.results / place.format(*names, seed=self.seed)
            if not output.exists():
                rule(self, *names, output)
            return output

        return make

    return decorate


class Workflow:
    """The first seed of a study, made in a folder."""

    def __init__(self, study: Study, folder: Path, device: str = "cpu") -> None:
        use_threads(study.settings.threads)
        self.study, self.settings = study, study.settings
        self.seed = self.settings.seeds[0]
        self.results = folder / study.name
        self.device = device

    def files(self) -> dict[str, Callable[[], Path]]:
        """Return how to make each file whose numbers matter, by name, in the order in which data walk."""
        settings = self.settings
        made: dict[str, Callable[[], Path]] = {}
        for rule, names in (
            (self.dataset, settings.datasets),
            (self.generator, settings.generators),
            (self.synthetic, [name for name, pool in settings.pools.items() if pool.synthetic]),
            (self.learned, [name for name, pool in settings.pools.items() if pool.learned]),
            (self.progress, [name for name, pool in settings.pools.items() if pool.learned]),
            (self.pool, settings.pools),
            (self.score, settings.scores),
            (self.selection, self.study.runs),
            (self.model, self.study.runs),
            (self.history, self.study.runs),
            (self.track, [name for name, run in self.study.runs.items() if names_of(run.track)]),
        ):
            made |= {f"{rule.__name__}/{name}": partial(rule, name) for name in names}
        for run in self.study.runs:
            made |= {f"attack/{run}/{name}": partial(self.attack, run, name) for name in self.study.attacks_of(run)}
        return {**made, "results": self.all_results}

    @makes("datasets/{}/seed{seed}.h5")
    def dataset(self, name: str, output: Path) -> None:
        prepare_dataset(self.settings.datasets[name], seed=self.seed, data_dir=Path("data"), output=output)

    @makes("generators/{}/seed{seed}/model.safetensors")
    def generator(self, name: str, output: Path) -> None:
        settings = self.settings.generators[name]
        train_stage(
            settings,
            self.dataset(settings.dataset),
            output,
            name=name,
            seed=self.seed,
            device=self.device,
            score=self.score(settings.margin.score) if settings.margin else None,
        )

    @makes("synthetic/{}/seed{seed}.h5")
    def synthetic(self, pool: str, output: Path) -> None:
        settings = self.settings.pools[pool]
        generator = getattr(settings.synthetic, "generator", None)
        inputs = SyntheticInputs(
            dataset=self.dataset(settings.dataset),
            generator=self.generator(generator) if generator else None,
            generator_settings=self.settings.generators[generator] if generator else None,
            seed=self.seed,
            device=self.device,
            model=self.model(settings.guide) if settings.guide else None,
        )
        make_synthetic(settings.synthetic, inputs, output)

    @makes("learned/{}/seed{seed}.h5")
    def learned(self, pool: str, output: Path) -> None:
        settings = self.settings.pools[pool].learned
        model = getattr(settings, "model", None)
        learn_dataset(
            settings,
            self.settings.threat,
            LearningPaths(
                pool=self.pool(settings.pool),
                dataset=self.dataset(self.study.dataset_of_pool(pool)),
                output=output,
                progress=output.with_suffix(".progress.csv"),
                model=self.model(model) if model else None,
            ),
            seed=self.seed,
            state_place=StatePlace(self.results / f"work/learned/{pool}.state"),
            device=self.device,
        )

    @makes("learned/{}/seed{seed}.progress.csv")
    def progress(self, pool: str, output: Path) -> None:
        self.learned(pool)

    @makes("pools/{}/seed{seed}.h5")
    def pool(self, name: str, output: Path) -> None:
        settings = self.settings.pools[name]
        if settings.learned:
            build_learned_pool(self.learned(name), output, settings.model_dump())
        else:
            synthetic = self.synthetic(name) if settings.synthetic else None
            build_pool(self.dataset(settings.dataset), synthetic, output, settings.model_dump())

    @makes("scores/{}/seed{seed}/shard{}.h5")
    def score_shard(self, name: str, shard: int, output: Path) -> None:
        settings = self.settings.scores[name]
        score_shard(
            settings,
            self.pool(self.study.score_pool(name)),
            self.model(settings.model.run),
            output,
            shard=shard,
            threat_norm=self.settings.threat.norm,
            device=self.device,
        )

    @makes("scores/{}/seed{seed}.h5")
    def score(self, name: str, output: Path) -> None:
        settings, pool = self.settings.scores[name], self.pool(self.study.score_pool(name))
        if looks_through_a_model(settings):
            shards = [self.score_shard(name, shard) for shard in range(settings.shards)]
            join_shards(shards, pool, output, settings.model_dump())
        else:
            tracks = [self.track(run) for run in getattr(settings, "tracked", ())]
            score_tracks(settings, pool, tracks, output, name=name, seed=self.seed)

    @makes("selections/{}/seed{seed}.h5")
    def selection(self, run: str, output: Path) -> None:
        resolved = self.study.runs[run]
        make_selection(
            selection_settings(self.study, run),
            seed=self.seed,
            pool=self.pool(resolved.pool),
            scores={name: self.score(name) for name in resolved.scores},
            output=output,
        )

    @makes("models/{}/seed{seed}/model.safetensors")
    def model(self, run: str, output: Path) -> None:
        paths = RunPaths(
            dataset=self.dataset(self.study.dataset_of_run(run)),
            pool=self.pool(self.study.runs[run].pool),
            selection=self.selection(run),
            model=output,
            history=output.with_name("history.csv"),
            track=output.with_name("track.h5"),
            settings=output.with_name("run.yaml"),
        )
        train_run(TrainingTask(run_settings(self.study, run), paths, run, self.seed), self.device)

    @makes("models/{}/seed{seed}/history.csv")
    def history(self, run: str, output: Path) -> None:
        self.model(run)

    @makes("models/{}/seed{seed}/track.h5")
    def track(self, run: str, output: Path) -> None:
        self.model(run)

    @makes("attacks/{}/seed{seed}/{}.h5")
    def attack(self, run: str, attack: str, output: Path) -> None:
        attack_model(
            self.settings.attacks[attack],
            self.settings.threat,
            dataset=self.dataset(self.study.dataset_of_run(run)),
            model_path=self.model(run),
            output=output,
            seed=self.seed,
            device=self.device,
        )

    @makes("results.csv")
    def all_results(self, output: Path) -> None:
        files = [
            RunFiles(
                run=run,
                seed=self.seed,
                pool=resolved.pool,
                selection=self.selection(run),
                attacks={name: self.attack(run, name) for name in self.study.attacks_of(run)},
            )
            for run, resolved in self.study.runs.items()
        ]
        write_results(self.study.name, files, output)

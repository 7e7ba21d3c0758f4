"""A small study made by the stages themselves, in one process: every kind of file, where the workflow puts it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pumalib.attacks.settings import CwPgdSettings, MinimumNormSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import prepare_dataset
from pumalib.data.pool import build_learned_pool, build_pool
from pumalib.data.settings import DigitsSettings, GeneratedSyntheticSettings, HeldOutSyntheticSettings
from pumalib.evaluation.stage import attack_model
from pumalib.files.origin import Maker
from pumalib.jobs.states import StatePlace
from pumalib.learning.settings import RobustFeaturesSettings
from pumalib.learning.stage import LearningPaths, learn_dataset
from pumalib.models.settings import ArchitectureSettings
from pumalib.results.collect import RunFiles, write_results
from pumalib.scores.join import join_shards
from pumalib.scores.settings import ScoreSettings
from pumalib.scores.stage import score_shard
from pumalib.scores.tracked_stage import score_tracks
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection
from pumalib.synthesis.generator import train_stage
from pumalib.synthesis.settings import EdmSettings
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic
from pumalib.tracks.settings import TrackSettings
from pumalib.training.run_settings import RunSettings
from pumalib.training.settings import read_training
from pumalib.training.stage import train_run
from pumalib.training.task import RunPaths, TrainingTask

THREAT = ThreatSettings(norm="linf", epsilon=0.2)
MLP = ArchitectureSettings.model_validate({"name": "mlp", "width": 16})
TRAINING = {
    "method": "trades", "epochs": 2, "samples_per_epoch": 640, "batch_size": 64, "learning_rate": 0.1,
    "attack_steps": 1, "synthetic_fraction": 0.3, "crop_padding": 0, "horizontal_flip": False, "schedule_unit": "step",
}  # fmt: skip
EDM = EdmSettings.model_validate(
    {"method": "edm", "dataset": "digits", "network": "mlp", "width": 16, "num_blocks": 1, "steps": 3,
     "batch_size": 16, "learning_rate": 2e-3, "averaging": 0.9, "sampling_steps": 2}
)  # fmt: skip
CODE = {"pumalib.made_up": "0123", "python": "3"}
MARGIN = {"method": "fast_margin", "model": "trades", "max_iterations": 5, "bisection_steps": 2, "shards": 2}
DIFFICULTY = {"method": "classification_difficulty", "tracked": ["trades"]}
RUNS: dict[str, dict[str, Any]] = {
    "trades": {"prune": [], "epsilon": {"policy": "fixed"}},
    "puma": {
        "prune": [{"by": "margin", "drop": "easiest", "fraction": 0.1}, {"by": "random", "fraction": 0.1}],
        "epsilon": {"policy": "margin", "score": "margin"},
    },
    "hard": {"prune": [{"by": "difficulty", "drop": "hardest", "fraction": 0.1}], "epsilon": {"policy": "fixed"}},
}


class SmallStudy:
    """Makes the files of one study, seed 0, in the order of the corridor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.maker = Maker(CODE, folder)
        self.dataset = folder / "datasets/digits/seed0.h5"
        self.pool = folder / "pools/digits+20/seed0.h5"

    def make(self) -> None:
        self.make_pools()
        self.train("trades", {})
        self.score_margins()
        self.score_tracks("difficulty", DIFFICULTY, [self.folder / "models/trades/seed0/track.h5"])
        self.score_tracks("noise", {"method": "random"}, [])
        self.train("puma", {"margin": self.folder / "scores/margin/seed0.h5"})
        self.select("hard", {"difficulty": self.folder / "scores/difficulty/seed0.h5"})
        self.learn()
        for run in ("trades", "puma"):
            self.attack(run, CwPgdSettings(method="cw_pgd", steps=2, keep_points=True), "cw")
        self.attack("puma", MinimumNormSettings(method="minimum_norm", num_images=20), "shortest")
        attacks = {"trades": ["cw"], "puma": ["cw", "shortest"]}
        files = [
            RunFiles(run, 0, "digits+20", self.selection(run), {name: self.attacked(run, name) for name in names})
            for run, names in attacks.items()
        ]
        write_results("small", files, self.folder / "results.csv")

    def selection(self, run: str) -> Path:
        return self.folder / f"selections/{run}/seed0.h5"

    def attacked(self, run: str, attack: str) -> Path:
        return self.folder / f"attacks/{run}/seed0/{attack}.h5"

    def make_pools(self) -> None:
        digits = DigitsSettings(
            source="digits", split="seeded", test_fraction=0.3, validation_fraction=0.1, held_out_fraction=0.1,
            train_count=100, test_count=50,
        )  # fmt: skip
        prepare_dataset(digits, 0, self.folder, self.dataset, maker=self.maker)
        generator = self.folder / "generators/edm/seed0/model.safetensors"
        train_stage(EDM, self.dataset, generator, name="edm", seed=0, device="cpu", maker=self.maker)
        generated = GeneratedSyntheticSettings(method="generator", generator="edm", count=20, label_noise=0.2)
        self.add_pool("digits+20", generated, SyntheticInputs(self.dataset, generator, EDM, 0, "cpu"))
        held_out = HeldOutSyntheticSettings(method="held_out", count=10)
        self.add_pool("digits+real", held_out, SyntheticInputs(self.dataset, None, None, 0, "cpu"))

    def add_pool(self, name: str, settings: Any, inputs: SyntheticInputs) -> None:
        synthetic = self.folder / f"synthetic/{name}/seed0.h5"
        make_synthetic(settings, inputs, synthetic, self.maker)
        described = {"dataset": "digits", "synthetic": settings.model_dump(), "learned": None}
        build_pool(self.dataset, synthetic, self.folder / f"pools/{name}/seed0.h5", described, self.maker)

    def select(self, run: str, scores: Mapping[str, Path]) -> None:
        settings = {**RUNS[run], "threat": THREAT.model_dump(), "synthetic_fraction": 0.3}
        wanted = SelectionSettings.model_validate(settings)
        make_selection(wanted, seed=0, pool=self.pool, scores=scores, output=self.selection(run), maker=self.maker)

    def train(self, run: str, scores: Mapping[str, Path]) -> None:
        self.select(run, scores)
        folder = self.folder / f"models/{run}/seed0"
        settings = RunSettings(
            architecture=MLP,
            training=read_training(TRAINING),
            threat=THREAT,
            track=TrackSettings.model_validate({"correct": {}, "loss": {}, "visits": {}} if run == "trades" else {}),
        )
        paths = RunPaths(
            dataset=self.dataset,
            pool=self.pool,
            selection=self.selection(run),
            model=folder / "model.safetensors",
            history=folder / "history.csv",
            track=folder / "track.h5",
            settings=folder / "run.yaml",
        )
        train_run(TrainingTask(settings, paths, run, seed=0), "cpu", self.maker)

    def score_margins(self) -> None:
        settings = TypeAdapter(ScoreSettings).validate_python(MARGIN)
        model, output = self.folder / "models/trades/seed0/model.safetensors", self.folder / "scores/margin/seed0.h5"
        shards = [output.with_suffix("") / f"shard{shard}.h5" for shard in range(2)]
        for shard, path in enumerate(shards):
            score_shard(
                settings, self.pool, model, path, shard=shard, threat_norm="linf", device="cpu", maker=self.maker
            )
        join_shards(shards, self.pool, output, settings.model_dump(exclude={"shards", "batch_size"}), self.maker)

    def score_tracks(self, name: str, settings: dict[str, Any], tracks: list[Path]) -> None:
        read = TypeAdapter(ScoreSettings).validate_python(settings)
        score_tracks(
            read, self.pool, tracks, self.folder / f"scores/{name}/seed0.h5", name=name, seed=0, maker=self.maker
        )

    def learn(self) -> None:
        output = self.folder / "learned/robustified/seed0.h5"
        settings = RobustFeaturesSettings.model_validate(
            {"method": "robust_features", "pool": "digits+20", "model": "trades", "steps": 2, "batch_size": 60}
        )
        learn_dataset(
            settings,
            THREAT,
            LearningPaths(
                pool=self.pool,
                dataset=self.dataset,
                output=output,
                progress=output.with_suffix(".progress.csv"),
                model=self.folder / "models/trades/seed0/model.safetensors",
            ),
            seed=0,
            state_place=StatePlace(output.with_suffix(".state")),
            device="cpu",
            maker=self.maker,
        )
        described = {"dataset": None, "synthetic": None, "learned": settings.model_dump()}
        build_learned_pool(output, self.folder / "pools/robustified/seed0.h5", described, self.maker)

    def attack(self, run: str, settings: Any, name: str) -> None:
        attack_model(
            settings,
            THREAT,
            dataset=self.dataset,
            model_path=self.folder / f"models/{run}/seed0/model.safetensors",
            output=self.attacked(run, name),
            seed=0,
            device="cpu",
            maker=self.maker,
        )

"""Results of a study made by hand: attack tables whose every answer is given, and what stands beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pumalib.data.datasets import prepare_dataset, split_fingerprint
from pumalib.data.settings import DigitsSettings
from pumalib.files.artifacts import create_artifact
from pumalib.files.origin import Input, Maker
from pumalib.reporting.web_page import write_settings_page
from pumalib.results.collect import RunFiles, write_results

DIGITS = DigitsSettings(source="digits", split="seeded", test_fraction=0.5, validation_fraction=0.2)
"""Of 10 images 5 are test, 1 is validation and 4 are train images: a ratio of 1.25."""


class MadeResults:
    """Writes the results of a study into a folder; without `is_seeded`, all seeds have one test set."""

    def __init__(self, folder: Path, *, is_seeded: bool = False, images: str = "the same") -> None:
        self.folder, self.is_seeded, self.images = folder, is_seeded, images
        self.files: dict[tuple[str, int], dict[str, Path]] = {}
        self.settings = {"method": "cw_pgd", "steps": 10, "epsilon": None, "norm": None}
        self.threat = {"norm": "linf", "epsilon": 0.1}
        self.split = "test"
        self.libraries: dict[str, str] = {}

    def attack(
        self, run: str, seeds: Sequence[int], robust: ArrayLike, clean: ArrayLike | None = None, name: str = "cw"
    ) -> None:
        """Write tables of answers, [seeds, images] of 0 and 1; clean images are all right where none are given."""
        answers = np.asarray(robust)
        right = np.ones_like(answers) if clean is None else np.asarray(clean)
        for place, seed in enumerate(seeds):
            path = self.folder / f"attacks/{run}/seed{seed}/{name}.h5"
            self._write_table(path, seed, right[place], answers[place])
            self.files.setdefault((run, seed), {})[name] = path

    def _write_table(self, path: Path, seed: int, clean: ArrayLike, robust: ArrayLike) -> None:
        dataset = self._dataset(seed)
        model = self.folder / f"models/{path.parts[-3]}/seed{seed}/model.safetensors"
        inputs = {"dataset": dataset, "model": Input(model, "m")}
        maker = Maker({"pumalib.made_up": "01", "python": "3"}, self.folder)
        settings = {**self.settings, "seed": seed, "split": self.split, "threat": self.threat}
        path.parent.mkdir(parents=True, exist_ok=True)
        with create_artifact(path, "attack", maker.origin(settings, inputs)) as file:
            file.attrs["method"], file.attrs["split"] = str(self.settings["method"]), self.split
            columns = {"clean_prediction": clean, "adversarial_prediction": robust}
            for column, right in columns.items():  # class 1 is right, class 0 wrong
                file[column] = np.asarray(right, np.int64)
            file["label"] = np.ones(len(np.asarray(clean)), np.int64)
            file["row"] = np.arange(len(np.asarray(clean)))

    def _dataset(self, seed: int) -> Input:
        if not self.is_seeded:
            return Input(self.folder / "datasets/digits.h5", self.images, self.split)
        path = self.folder / f"datasets/digits/seed{seed}.h5"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            prepare_dataset(DIGITS, seed, self.folder, path, maker=Maker({}, self.folder))
        return Input(path, split_fingerprint(path, self.split), self.split)

    def collect(self) -> Path:
        """Write results.csv."""
        entries = [RunFiles(run, seed, "digits", None, tables) for (run, seed), tables in self.files.items()]
        write_results(self.folder.name, entries, self.folder / "results.csv")
        return self.folder / "results.csv"

    def tell_settings(self, **changed: Any) -> Mapping[str, Any]:
        """Write settings.html, with keys changed."""
        settings: dict[str, Any] = {
            "study": self.folder.name,
            "seeds": sorted({seed for _, seed in self.files}),
            "threat": self.threat,
            "datasets": {"digits": DIGITS.model_dump(exclude_none=True)},
            "pools": {"digits": {"dataset": "digits"}},
            "runs": {run: {"pool": "digits"} for run, _ in self.files},
            "attacks": {
                name: {**self.threat, "method": "cw_pgd", "split": self.split}
                for tables in self.files.values()
                for name in tables
            },
            "reports": {},
            **changed,
        }
        write_settings_page(self.folder.name, settings, self.folder / "settings.html")
        return settings

"""Where files stand under `results/<study>/`, read off their paths; see docs/artifacts.md. Imports no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pumalib.errors import ArtifactError

_AT_SEED = r"(?P<name>[^/]+)/seed(?P<seed>\d+)"
_LAYOUTS = (
    rf"(?P<group>models)/{_AT_SEED}/(?:(?:model|epoch(?P<epoch>\d+))\.safetensors|track\.h5|history\.csv|run\.yaml)",
    rf"(?P<group>generators)/{_AT_SEED}/model\.safetensors",
    rf"(?P<group>scores)/{_AT_SEED}/shard\d+\.h5",
    rf"(?P<group>attacks)/{_AT_SEED}/(?P<attack>[^/]+)\.h5",
    rf"(?P<group>attacks)/{_AT_SEED}/(?P<attack>[^/]+)/epoch(?P<epoch>\d+)\.h5",
    rf"(?P<group>datasets|synthetic|pools|learned|scores|selections)/{_AT_SEED}\.h5",
    r"(?P<group>datasets|synthetic|pools)/(?P<name>[^/]+)\.h5",
)
_PATTERNS = [re.compile(rf"^(?:(?P<folder>.*)/)?{layout}$") for layout in _LAYOUTS]


@dataclass(frozen=True)
class Place:
    """Where a file stands.

    Attributes:
        folder: of the study's results, such as `results/digits`.
        group: the folder below it, such as `scores`.
        name: of the dataset, pool, score, run or generator.
        seed: None where the file does not differ from seed to seed.
        attack: name of the attack, for attack tables.
        epoch: of weights that are kept beside a model, and of attack tables on them.
    """

    folder: Path
    group: str
    name: str
    seed: int | None
    attack: str | None = None
    epoch: int | None = None

    @property
    def study(self) -> str:
        """Name of the study."""
        return self.folder.resolve().name


def place_of(path: str | Path) -> Place:
    """Read where a file stands off its path.

    Raises:
        ArtifactError: the path is none of a study's results.
    """
    for text in (Path(path).as_posix(), Path(path).absolute().as_posix()):
        for pattern in _PATTERNS:
            if match := pattern.match(text):
                return _place(match)
    raise ArtifactError(
        f"expected a file where a study puts it (results/<study>/scores/<score>/seed0.h5 and so on), got {path}; "
        "files that belong together are found by their places"
    )


def _place(match: re.Match[str]) -> Place:
    found = match.groupdict()
    seed, epoch = (None if found.get(key) is None else int(found[key]) for key in ("seed", "epoch"))
    folder = Path(found["folder"] or ".")
    return Place(folder, found["group"], found["name"], seed, found.get("attack"), epoch)


def model_path(folder: Path, run: str, seed: int) -> Path:
    """Return where the weights of a run lie."""
    return folder / "models" / run / f"seed{seed}" / "model.safetensors"


def track_path(folder: Path, run: str, seed: int) -> Path:
    """Return where the track of a run lies."""
    return model_path(folder, run, seed).with_name("track.h5")


def selection_path(folder: Path, run: str, seed: int) -> Path:
    """Return where the selection of a run lies."""
    return folder / "selections" / run / f"seed{seed}.h5"


def score_path(folder: Path, score: str, seed: int) -> Path:
    """Return where the table of a score lies."""
    return folder / "scores" / score / f"seed{seed}.h5"


def attack_path(folder: Path, run: str, seed: int, attack: str) -> Path:
    """Return where the table of an attack lies."""
    return folder / "attacks" / run / f"seed{seed}" / f"{attack}.h5"


def generator_path(folder: Path, generator: str, seed: int) -> Path:
    """Return where the weights of a generator lie."""
    return folder / "generators" / generator / f"seed{seed}" / "model.safetensors"

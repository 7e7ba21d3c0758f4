"""What files of schema version 1 were made from: they recorded fingerprints alone, so their inputs are searched for.

Imports no torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py

from pumalib.errors import ArtifactError, ResourceError
from pumalib.lineage import places
from pumalib.lineage.headers import Header, read_header
from pumalib.lineage.links import Link


def links_of(header: Header) -> list[Link]:
    """Return what a file was made from, the nearest first; a dataset is where the chain ends.

    Raises:
        ArtifactError: the file does not lie where a study puts it, or does not record what its kind should.
    """
    place = places.place_of(header.path)
    try:
        return list(_KINDS[header.kind](header, place))
    except KeyError as error:
        raise ArtifactError(
            f"expected {error} among what a {header.kind} file records of its origin, found none in {header.path}; "
            "make it again with this version of pumalib"
        ) from None


def _of_attack(header: Header, place: places.Place) -> Iterator[Link]:
    seed = _seed(place)
    yield Link("model", places.model_path(place.folder, place.name, seed), header.inputs["model"].fingerprint)
    yield _dataset(place, header.inputs["dataset"].fingerprint, str(header.attributes["split"]))


def _of_training(header: Header, place: places.Place) -> Iterator[Link]:
    yield Link(
        "selection",
        places.selection_path(place.folder, place.name, _seed(place)),
        header.inputs["selection"].fingerprint,
    )
    yield _pool(place, header.inputs["pool"].fingerprint)


def _of_selection(header: Header, place: places.Place) -> Iterator[Link]:
    for name in _scores_of(header.settings):
        recorded = header.fingerprints.get(f"score {name}", "")
        yield Link(f"score {name}", places.score_path(place.folder, name, _seed(place)), recorded)
    yield _pool(place, header.inputs["pool"].fingerprint)


def _scores_of(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the scores that the settings of a selection mention, each once."""
    epsilon = settings["epsilon"]
    names = [cut["by"] for cut in settings["prune"] if cut["by"] != "random"]
    names += [epsilon.get("score"), (epsilon.get("where") or {}).get("score")]
    return [name for name in dict.fromkeys(names) if name]


def _of_scores(header: Header, place: places.Place) -> Iterator[Link]:
    seed = _seed(place)
    model = header.settings.get("model")
    if model and model["checkpoint"]:
        yield Link("checkpoint", Path(model["checkpoint"]), header.inputs["model"].fingerprint)
    elif model:
        of_seed = seed if model["seed"] is None else model["seed"]
        yield Link("model", places.model_path(place.folder, model["run"], of_seed), header.inputs["model"].fingerprint)
    tracked = list(header.settings.get("tracked", ()))
    for run in tracked:
        yield Link("track", places.track_path(place.folder, run, seed))
    yield _pool(place, header.inputs["pool"].fingerprint)
    for shard in sorted(header.path.with_suffix("").glob("shard*.h5"), key=lambda path: int(path.stem[5:])):
        yield Link("shard", shard)


def _of_pool(header: Header, place: places.Place) -> Iterator[Link]:
    for part in json.loads(header.attributes["sources"]):
        path = Path(os.path.normpath(header.path.parent / part["path"]))
        split = part["group"] if part["kind"] == "dataset" else ""
        yield Link(f"dataset ({split})" if split else part["kind"], path, part["fingerprint"], split)


def _of_synthetic(header: Header, place: places.Place) -> Iterator[Link]:
    if "generator" in header.inputs:
        path = places.generator_path(place.folder, header.settings["generator"], int(header.attributes["seed"]))
        yield Link("generator", path, header.inputs["generator"].fingerprint)
    if "held_out" in header.inputs:
        yield _dataset(place, header.inputs["held_out"].fingerprint, "held_out")


def _of_learned(header: Header, place: places.Place) -> Iterator[Link]:
    if "model" in header.inputs:
        run = header.settings["learned"]["model"]
        yield Link("model", places.model_path(place.folder, run, _seed(place)), header.inputs["model"].fingerprint)
    yield _pool(place, header.inputs["pool"].fingerprint)


def _of_generator(header: Header, place: places.Place) -> Iterator[Link]:
    yield _dataset(place, header.inputs["dataset"].fingerprint, "train")


def _of_dataset(header: Header, place: places.Place) -> Iterator[Link]:
    yield from ()


def _pool(place: places.Place, fingerprint: str) -> Link:
    try:
        return Link("pool", find_pool(place.folder, fingerprint, place.seed), fingerprint)
    except (ArtifactError, ResourceError) as error:
        return Link("pool", None, fingerprint, problem=str(error))


def _dataset(place: places.Place, fingerprint: str, split: str) -> Link:
    try:
        path = find_dataset(place.folder, fingerprint, split, place.seed)
        return Link(f"dataset ({split})", path, fingerprint, split)
    except (ArtifactError, ResourceError) as error:
        return Link(f"dataset ({split})", None, fingerprint, split, str(error))


def _seed(place: places.Place) -> int:
    if place.seed is None:
        raise ArtifactError(f"expected a seed in the path of a file of {place.group}/{place.name} under {place.folder}")
    return place.seed


_KINDS: dict[str, Callable[[Header, places.Place], Iterator[Link]]] = {
    "attack": _of_attack,
    "dataset": _of_dataset,
    "generator": _of_generator,
    "learned": _of_learned,
    "model": _of_training,
    "pool": _of_pool,
    "scores": _of_scores,
    "selection": _of_selection,
    "synthetic": _of_synthetic,
    "track": _of_training,
}


def find_pool(folder: Path, fingerprint: str, seed: int | None) -> Path:
    """Return the pool of a study with a fingerprint; of several alike, that of the seed.

    Raises:
        ArtifactError: the study has none.
    """
    found = [
        header.path for header in _headers(folder / "pools") if header.attributes["pool_fingerprint"] == fingerprint
    ]
    if not found:
        raise ArtifactError(_missing("a pool", fingerprint, folder / "pools"))
    return min(found, key=lambda path: (places.place_of(path).seed not in (seed, None), path))


def find_dataset(folder: Path, fingerprint: str, split: str, seed: int | None) -> Path:
    """Return the dataset of a study whose split has a fingerprint; of several alike, that of the seed.

    Raises:
        ArtifactError: the study has none.
    """
    found = [header.path for header in _headers(folder / "datasets") if _has_split(header.path, split, fingerprint)]
    if not found:
        raise ArtifactError(_missing(f"a dataset whose {split} split", fingerprint, folder / "datasets"))
    return min(found, key=lambda path: (places.place_of(path).seed not in (seed, None), path))


def _headers(folder: Path) -> Iterator[Header]:
    """Yield what lies under a folder of artifacts, in the order of paths."""
    for path in sorted(folder.rglob("*.h5")):
        yield read_header(path)


def _has_split(path: Path, split: str, fingerprint: str) -> bool:
    with h5py.File(path, "r") as file:
        return split in file and str(file[split].attrs["fingerprint"]) == fingerprint


def _missing(what: str, fingerprint: str, folder: Path) -> str:
    there = ", ".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*.h5"))) or "nothing"
    verb = "has" if "whose" in what else "with"
    return (
        f"expected {what} {verb} fingerprint {fingerprint[:12]} under {folder}, there is {there}; "
        "run the study again, or bring the file here"
    )

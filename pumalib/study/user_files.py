"""The files that a study of CIFAR-10 takes from its user, by name: where they stand, what each holds, what is wrong.

All problems are found at once, because a download takes hours. Imports torch only for weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pumalib.data.settings import TORCHVISION_SHAPES, Cifar10FilesSettings, NpzSyntheticSettings
from pumalib.data.sources import cifar10_files
from pumalib.data.sources.raw import SourceShape
from pumalib.errors import ArtifactError, ConfigError
from pumalib.files.artifacts import file_fingerprint
from pumalib.study.check_checkpoints import check_checkpoint, checkpoints_of
from pumalib.study.check_pools import check_npz_pool
from pumalib.study.study import Study

IMAGES = SourceShape(*TORCHVISION_SHAPES["cifar10"])
"""What the images are, known before any file is there."""

_ONE_MODEL = "one model for all seeds, so that intervals do not hold the spread of margin models"

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Place:
    """Where a study names files of one kind of its user.

    Attributes:
        name: by which the user gives them: of a dataset or a score, or of a file without its ending.
        group: key of the study.
        owners: names in that group whose files they are.
    """

    name: str
    group: Literal["datasets", "pools", "scores"]
    owners: tuple[str, ...]


@dataclass(frozen=True)
class UserFile:
    """A file or folder of the user, looked at.

    Attributes:
        name: as in `Place`.
        path: of the file; None: the study makes this itself.
        form: what it should hold, in phrases.
        problems: sentences; none: it is as expected.
    """

    name: str
    path: str | None
    form: tuple[str, ...]
    problems: tuple[str, ...] = ()


def places_of(study: Study) -> dict[str, Place]:
    """Return the places of files by name: images of CIFAR-10, generated images, and models that scores look through."""
    settings = study.settings
    found = [
        Place(name, "datasets", (name,))
        for name, dataset in settings.datasets.items()
        if isinstance(dataset, Cifar10FilesSettings)
    ]
    paths: dict[str, list[str]] = {}
    for name, pool in settings.pools.items():
        if isinstance(pool.synthetic, NpzSyntheticSettings):
            paths.setdefault(pool.synthetic.path, []).append(name)
    found += [Place(Path(path).stem, "pools", tuple(pools)) for path, pools in paths.items()]
    found += [Place(name, "scores", (name,)) for name, score in settings.scores.items() if hasattr(score, "model")]
    return {place.name: place for place in found}


def with_file(raw: Mapping[str, Any], study: Study, place: Place, path: str) -> dict[str, Any]:
    """Return a study that takes a file from another path.

    A score that looks through a run looks through the file instead, as through a network of that run's architecture.

    Args:
        raw: the study, as its file spells it.
        study: the same, parsed.
        place: which file.
        path: where it lies.
    """
    group = dict(raw[place.group])
    for owner in place.owners:
        own = dict(group[owner])
        if place.group == "datasets":
            own["path"] = path
        elif place.group == "pools":
            own["synthetic"] = {**own["synthetic"], "path": path}
        else:
            own["model"] = _model_at(study, owner, path, own["model"])
        group[owner] = own
    return {**raw, place.group: group}


def _model_at(study: Study, score: str, path: str, spelled: Any) -> dict[str, Any]:
    run = _model_of(study, score).run
    if run is None:
        return {**spelled, "checkpoint": path}
    if _is_ours(path):
        return {"checkpoint": path}
    architecture = study.runs[run].architecture.model_dump(exclude_none=True)
    return {"checkpoint": path, "architecture": architecture}


def _model_of(study: Study, score: str) -> Any:
    """Return the model that a score looks through; scores without one have no place."""
    return getattr(study.settings.scores[score], "model", None)


def _is_ours(path: str) -> bool:
    """Say whether a file is a model of this library, which tells its own architecture."""
    if not path.endswith(".safetensors") or not Path(path).is_file():
        return False
    from pumalib.models.checkpoint import read_metadata

    try:
        return bool(read_metadata(path))
    except ArtifactError:
        return False


def look_at_files(study: Study, places: Mapping[str, Place], digests: Mapping[str, str]) -> list[UserFile]:
    """Look at every file of a study, whole where that takes seconds.

    Args:
        study: parsed; its files need not be there.
        places: from `places_of` the study before paths were changed.
        digests: SHA-256 that files should have, by name of their place.

    Returns:
        The files in the order of places.
    """
    looks = {"datasets": _look_at_dataset, "pools": _look_at_pools, "scores": _look_at_score}
    return [looks[place.group](study, place, digests.get(place.name)) for place in places.values()]


def _look_at_dataset(study: Study, place: Place, digest: str | None) -> UserFile:
    settings = study.settings.datasets[place.owners[0]]
    assert isinstance(settings, Cifar10FilesSettings)
    form = (*cifar10_files.FORM, *([cifar10_files.PUBLISHED_FORM] if settings.published else []))
    return UserFile(place.name, settings.path, form, tuple(cifar10_files.problems(settings)))


def _look_at_pools(study: Study, place: Place, digest: str | None) -> UserFile:
    pools = {pool: study.settings.pools[pool] for pool in place.owners}
    sets = [(pool, settings.dataset, settings.synthetic) for pool, settings in pools.items()]
    problems: list[str] = []
    path, most = "", 1
    for pool, dataset, synthetic in sets:
        assert isinstance(synthetic, NpzSyntheticSettings)
        path, most = synthetic.path, max(most, synthetic.count or 1)
        where = f"pools.{pool}.synthetic"
        problems += _told(partial(check_npz_pool, str(dataset), synthetic, IMAGES, where))
    height, width, channels = IMAGES.image_shape
    form = (
        f"an npz file with the keys image and label, N of each, at least {most:,}",
        f"image: uint8 [N, {height}, {width}, {channels}], 0 to 255",
        f"label: int64 [N], 0 to {(IMAGES.num_classes or 0) - 1}",
    )
    return UserFile(place.name, path, (*form, *_digest_form(digest)), (*problems, *_digest_problems(path, digest)))


def _look_at_score(study: Study, place: Place, digest: str | None) -> UserFile:
    model = _model_of(study, place.owners[0])
    if model.checkpoint is None:
        return UserFile(place.name, None, (f"the model of run {model.run}, which this study trains",))
    checkpoint = next(each for each in checkpoints_of(study) if each.where == f"scores.{place.name}.model")
    problems = _told(partial(check_checkpoint, checkpoint, IMAGES)) + _digest_problems(model.checkpoint, digest)
    form = (*_form_of_weights(model.architecture), _ONE_MODEL, *_digest_form(digest))
    return UserFile(place.name, model.checkpoint, form, tuple(problems))


def _form_of_weights(architecture: Any) -> tuple[str, ...]:
    if architecture is None:
        return ("a model.safetensors of this library",)
    from pumalib.models.build import outline

    bare, classes = architecture.model_copy(update={"mean": None, "std": None}), IMAGES.num_classes or 0
    tensors = {name: each for name, each in outline(bare, IMAGES.image_shape, classes).items() if each.ndim}
    names = list(tensors)
    some = [f"{name} {list(tensors[name].shape)}" for name in (names[0], names[-2], names[-1])]
    return (
        f"weights of {architecture.name} for {classes} classes: a state dict in a safetensors file, or in a torch file "
        "of tensors alone",
        f"{len(tensors)} tensors of floating-point numbers, by their names in this library or in a usual port: "
        f"{some[0]}, ..., {', '.join(some[1:])}",
    )


def _told(look: partial[None]) -> list[str]:
    """Return what a check refuses, as a list of no or one sentence."""
    try:
        look()
    except ConfigError as error:
        return [str(error)]
    return []


def _digest_form(digest: str | None) -> Iterator[str]:
    if digest is not None:
        yield f"SHA-256 {digest}"


def _digest_problems(path: str, digest: str | None) -> list[str]:
    if digest is None or not Path(path).is_file():
        return []
    found = file_fingerprint(path)
    return [] if found == digest else [f"expected SHA-256 {digest}, got {found} at {path}; download the file again"]


def is_sha256(text: str) -> bool:
    """Say whether a text is a SHA-256 digest, as `sha256sum` prints it."""
    return _SHA256.fullmatch(text) is not None

"""Datasets: any source, divided once, stored in one HDF5 form."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from pumalib.data.class_names import class_names_in
from pumalib.data.encoded_images import EncodedImages
from pumalib.data.image_groups import bytes_of, image_shape_of, read_images, write_images
from pumalib.data.images import (
    LabelledImages,
    check_every_class,
    check_images,
    concatenate,
    disjoint_rows,
    stratified_rows,
)
from pumalib.data.settings import CLASS_GROUPS_MODULE, DatasetSettings, class_tree_of, source_module
from pumalib.data.sources.image_places import PlacedFiles
from pumalib.data.sources.raw import RawDataset
from pumalib.errors import ArtifactError, DataError
from pumalib.files.artifacts import (
    content_fingerprint,
    create_artifact,
    expect_room,
    open_artifact,
)
from pumalib.files.origin import NOBODY, Input, Maker, user_role
from pumalib.randomness import numpy_generator

NOTHING_WATCHED: Mapping[str, str] = {}
SPLITS = ("train", "validation", "test", "held_out")


def prepare_dataset(
    settings: DatasetSettings,
    seed: int,
    data_dir: Path,
    output: Path,
    watched: Mapping[str, str] = NOTHING_WATCHED,
    maker: Maker = NOBODY,
) -> None:
    """Load a dataset, put its classes in groups where it asks for that, divide it and store it.

    Args:
        settings: the dataset's settings.
        seed: seed of the divisions; with `train_rows: disjoint` which of the disjoint train splits.
        data_dir: where downloaded data live.
        output: the HDF5 file to write.
        watched: content digests of the user's files, by path as the study names them.
        maker: the job.
    """
    raw = importlib.import_module(source_module(settings.source)).load(settings, data_dir)
    grouping = None if class_tree_of(settings) is None else importlib.import_module(CLASS_GROUPS_MODULE)
    whole, groups = (raw, None) if grouping is None else grouping.regroup(raw, settings)
    splits = divide(whole, settings, seed)
    inputs = {"source": Input(None, _source_fingerprint(whole.train))}
    inputs |= {user_role(path): Input(Path(path), digest) for path, digest in watched.items()}
    expect_room(output, sum(bytes_of(split.images) for split in splits.values()), "the images")
    with create_artifact(output, "dataset", maker.origin(settings.model_dump(), inputs)) as file:
        file.attrs["class_names"] = list(whole.class_names)
        file.attrs["split_seed"] = seed
        if grouping is not None:
            grouping.write_class_groups(file, groups)
        for name, split in splits.items():
            write_images(file.create_group(name), split)
        if raw.skipped:
            file.create_dataset("skipped", data=np.array(raw.skipped, object), dtype=h5py.string_dtype())


def _source_fingerprint(images: LabelledImages) -> str:
    """Return a hash of labels and images as the source gives them; of encoded ones of lengths and checksums of files.

    The files themselves are the user's own, of which the workflow has a digest.
    """
    if isinstance(images.images, EncodedImages):
        files = images.images.files
        assert isinstance(files, PlacedFiles)
        checksums = files.checksums(images.images.numbers).astype(np.int64)
        return content_fingerprint(images.labels, images.images.lengths, checksums)
    return content_fingerprint(images.labels, images.images)


def divide(raw: RawDataset, settings: DatasetSettings, seed: int) -> dict[str, LabelledImages]:
    """Divide a dataset into its splits, each stratified by class.

    Returns:
        `train` and `test`, and `validation` and `held_out` where they were asked for.

    Raises:
        DataError: images or labels not in the one form, or a class without train or test rows.
    """
    _check_raw(raw, settings.source)
    is_disjoint, own = settings.train_rows == "disjoint", seed
    seed = settings.split_seed if is_disjoint else seed
    train, test = _train_and_test(raw, settings, seed)
    splits = {"test": _limit(test, settings.test_count, seed, "test")}
    rest = np.arange(len(train), dtype=np.int64)
    for name, fraction in (("validation", settings.validation_fraction), ("held_out", settings.held_out_fraction)):
        if fraction > 0:
            drawn = stratified_rows(
                train.labels[rest], round(fraction * len(train)), numpy_generator(seed, "split", name)
            )
            if not len(drawn):
                raise DataError(
                    f"expected at least one {name} row, got none of {len(train)} with {name}_fraction {fraction:g}"
                )
            splits[name] = train.take(rest[drawn])
            rest = np.delete(rest, drawn)
    splits["train"] = _limit(train.take(rest), settings.train_count, seed, "train", own if is_disjoint else None)
    for name in ("train", "test"):
        check_every_class(splits[name].labels, raw.class_names, f"the {name} split of {settings.source}")
    return {name: splits[name] for name in SPLITS if name in splits}


def _check_raw(raw: RawDataset, source: str) -> None:
    check_images(raw.train.images, raw.train.labels, len(raw.class_names), f"the train rows of {source}")
    if raw.test is None:
        return
    check_images(raw.test.images, raw.test.labels, len(raw.class_names), f"the test rows of {source}")
    if raw.test.images.shape[1:] != raw.train.images.shape[1:]:
        raise DataError(
            f"expected test images of shape {raw.train.images.shape[1:]}, got {raw.test.images.shape[1:]} in {source}"
        )


def _train_and_test(raw: RawDataset, settings: DatasetSettings, seed: int) -> tuple[LabelledImages, LabelledImages]:
    if settings.split != "seeded":
        if raw.test is None:
            raise DataError(f"expected a test split in {settings.source}; use split: seeded with a test_fraction")
        return raw.train, raw.test
    whole = raw.train if raw.test is None else concatenate(raw.train, raw.test)
    count = round(settings.test_fraction * len(whole))
    rows = stratified_rows(whole.labels, count, numpy_generator(seed, "split", "test"))
    is_test = np.zeros(len(whole), bool)
    is_test[rows] = True
    return whole.take(np.flatnonzero(~is_test)), whole.take(rows)


def _limit(images: LabelledImages, count: int | None, seed: int, name: str, place: int | None = None) -> LabelledImages:
    """Return so many images; with a place, those that no other place gets."""
    if count is None:
        return images
    if count > len(images):
        raise DataError(f"expected {name}_count of at most {len(images)}, the rows there are, got {count}")
    generator = numpy_generator(seed, "limit", name)
    if place is None:
        return images.take(stratified_rows(images.labels, count, generator))
    return images.take(disjoint_rows(images.labels, count, place, generator))


def read_split(path: str | Path, split: str) -> LabelledImages:
    """Read one split of a dataset file. Its images are memory-mapped: they are read when they are asked for.

    Args:
        path: of the dataset: `datasets/<name>/seed<k>.h5` of a study.
        split: `train`, `validation`, `test` or `held_out`.

    Returns:
        N images and their labels.

    Raises:
        ArtifactError: not a dataset file, a split it does not have, or images that are not those that were written.

    Example:
        >>> test = read_split("results/digits/datasets/digits/seed0.h5", "test")
        >>> test.images[:3].shape, test.labels[:3].shape
        ((3, 8, 8, 1), (3,))
    """
    with open_artifact(path, "dataset") as file:
        if split not in file:
            has = ", ".join(name for name in SPLITS if name in file)
            raise ArtifactError(f"expected a {split} split in {path}, which has {has}; set {split}_fraction")
        return read_images(file[split])


def read_image_shape(path: str | Path, split: str = "train") -> tuple[int, int, int]:
    """Read (H, W, C) of the images of a split."""
    with open_artifact(path, "dataset") as file:
        return image_shape_of(file[split])


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Read the class names of a dataset file, in label order."""
    with open_artifact(path, "dataset") as file:
        return class_names_in(file)


def split_fingerprint(path: str | Path, split: str) -> str:
    """Read the content fingerprint of one split."""
    with open_artifact(path, "dataset") as file:
        return str(file[split].attrs["fingerprint"])


def has_split(path: str | Path, split: str) -> bool:
    """Say whether a dataset file has a split."""
    with open_artifact(path, "dataset") as file:
        return split in file

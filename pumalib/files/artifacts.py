"""Reading and writing of every file: whole or not at all, typed, versioned, and refused when it does not fit."""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pumalib.errors import ArtifactError, ResourceError
from pumalib.files.digests import HEAD_BYTES, is_whole, open_unlocked, seal
from pumalib.files.origin import NO_ORIGIN, Input, Origin, inputs_from, results_folder_of
from pumalib.files.provenance import library_versions
from pumalib.files.sizes import size_in_words

SCHEMA_VERSIONS = dict.fromkeys(
    ("dataset", "synthetic", "learned", "pool", "scores", "selection", "attack", "track", "model", "generator"), 2
)
"""Version of each kind of file as it is written. Version 1 recorded fingerprints of inputs without their paths."""
READABLE_VERSIONS = (1, 2)
WEIGHTS = ("model", "generator")
"""Kinds that are safetensors files; the others are HDF5."""
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``; move it into place on success, remove it on failure.

    Raises:
        ResourceError: the folder cannot be written, or the disk is full.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    _expect_writable(temporary, target)
    try:
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, target)
    except Exception as error:
        if not _is_for_want_of_room(error):
            raise
        raise ResourceError(
            f"expected room for {target}, got a full disk or quota; make room, and run the same command again"
        ) from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _expect_writable(temporary: Path, target: Path) -> None:
    """Make the folder, and try to write there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        clear_parts(target)
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise ResourceError(
            f"expected to write {target}, got: {error.strerror}; change the owner, permissions or mount of "
            f"{target.parent}, or make room there"
        ) from error


def clear_parts(target: Path) -> None:
    """Remove what a killed job left half-written on the way to a file."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        left.unlink(missing_ok=True)


def _is_for_want_of_room(error: BaseException | None) -> bool:
    """Look for a full disk behind an error: libraries pass it on in words of their own."""
    while error is not None:
        if getattr(error, "errno", None) in _NO_ROOM or any(os.strerror(number) in str(error) for number in _NO_ROOM):
            return True
        error = error.__cause__ or error.__context__
    return False


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def expect_room(path: str | os.PathLike[str], size: int, what: str) -> None:
    """Refuse to begin a file for which the disk has no room.

    Args:
        path: of the file to write.
        size: bytes of it, about.
        what: it is, for the message.

    Raises:
        ResourceError: the disk has less.
    """
    folder = next(each for each in (Path(path).absolute(), *Path(path).absolute().parents) if each.is_dir())
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ResourceError(
            f"expected {size_in_words(size)} of room for {what} at {path}, got {size_in_words(free)} free; "
            "make room there"
        )


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def create_artifact(
    path: str | os.PathLike[str], kind: str, origin: Origin = NO_ORIGIN, packages: Sequence[str] = ()
) -> Iterator[h5py.File]:
    """Create an HDF5 artifact that appears at ``path`` only once it is complete.

    Args:
        path: where the artifact goes.
        kind: one of `SCHEMA_VERSIONS`.
        origin: what made it.
        packages: optional ones that made it, whose versions are recorded too.
    """
    described = origin.described(path)
    with writing(path) as temporary:
        with (
            _PatientFile(temporary) as disk,
            h5py.File(disk, "w", libver="latest", userblock_size=HEAD_BYTES) as file,
        ):
            file.attrs["schema"] = f"puma.{kind}"
            file.attrs["schema_version"] = SCHEMA_VERSIONS[kind]
            for name in ("settings", "inputs", "code"):
                file.attrs[name] = to_json(described[name])
            for name in ("place", "precision"):
                if name in described:
                    file.attrs[name] = described[name]
            file.attrs["library_versions"] = to_json(library_versions(*packages))
            yield file
        seal(temporary)


class _PatientFile(FileIO):
    """A new file that takes everything, and raises the first error of the disk when it is closed.

    HDF5 crashes the process where a disk fails it as it writes what it held back.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._error: OSError | None = None

    def write(self, content: Any, /) -> int:
        """Write all of it, unless something before it could not be written."""
        left = memoryview(content).cast("B")
        size = len(left)
        try:
            while len(left) and self._error is None:
                left = left[super().write(left) :]
        except OSError as error:
            self._error = error
        return size

    def close(self) -> None:
        """Close the file.

        Raises:
            OSError: something could not be written; once.
        """
        super().close()
        error, self._error = self._error, None
        if error is not None:
            raise error


def expect_readable(path: str | os.PathLike[str]) -> None:
    """Refuse a file that is there and may not be read, which libraries call missing or damaged.

    Raises:
        ResourceError: no right to read it.
    """
    try:
        open(path, "rb").close()
    except PermissionError as error:
        raise ResourceError(
            f"expected to read {path}, got: {error.strerror}; change its owner or permissions"
        ) from None


_UNREADABLE = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)
"""What h5py, NumPy and JSON raise over content that nobody here wrote."""


@contextmanager
def open_artifact(path: str | os.PathLike[str], kind: str | None) -> Iterator[h5py.File]:
    """Open an artifact for reading; refuse a missing, damaged or foreign file.

    Args:
        path: of the file.
        kind: one of `SCHEMA_VERSIONS`; None: any.

    Raises:
        ArtifactError: not there, not HDF5, changed since it was written, another kind, or another schema version.
        ResourceError: no right to read it.
    """
    what = f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} file" if kind else "an HDF5 or safetensors file of a study"
    if not Path(path).is_file():
        raise ArtifactError(f"expected {what}, found nothing at {path}")
    expect_readable(path)
    try:
        if not is_whole(path):
            raise OSError("other bytes than were written")
        file = open_unlocked(path)
    except OSError as error:
        damage = "a truncated or damaged HDF5 file" if kind else "a damaged or foreign file"
        raise ArtifactError(f"expected {what}, got {damage} at {path} ({error}); delete it and run again") from None
    with file:
        try:
            _check_schema(file, path, kind)
            yield file
        except _UNREADABLE as error:
            raise ArtifactError(
                f"expected a readable {kind or 'HDF5'} file, reading {path} failed ({error}); delete it and run again"
            ) from error


def kind_of(file: h5py.File) -> str:
    """Return the kind that an artifact says it is, such as `scores`."""
    return str(file.attrs.get("schema", "none")).removeprefix("puma.")


def _check_schema(file: h5py.File, path: str | os.PathLike[str], wanted: str | None) -> None:
    kind, schema = kind_of(file), file.attrs.get("schema", "none")
    known_kinds = [name for name in SCHEMA_VERSIONS if name not in WEIGHTS]
    if wanted is None and kind not in known_kinds:
        known = ", ".join(f"puma.{name}" for name in known_kinds)
        raise ArtifactError(f"expected one of the schemas {known}, got {schema} at {path}; the file is from elsewhere")
    if wanted not in (None, kind):
        raise ArtifactError(f"expected schema puma.{wanted}, got {schema} at {path}; give the {wanted} file")
    expect_version(kind, file.attrs.get("schema_version", "none"), path)


def expect_version(kind: str, version: Any, path: str | os.PathLike[str]) -> None:
    """Refuse a file of a version that this library does not read.

    Raises:
        ArtifactError: it is one.
    """
    if version not in READABLE_VERSIONS:
        known = " or ".join(map(str, READABLE_VERSIONS))
        raise ArtifactError(
            f"expected version {known} of puma.{kind}, got {version} at {path}; "
            "make it again with this version of pumalib"
        )


def recorded_inputs(path: str | os.PathLike[str], kind: str) -> dict[str, Input]:
    """Read what an artifact says it was made from, with paths from here; of version 1, fingerprints alone.

    Raises:
        ArtifactError: as `open_artifact`.
    """
    with open_artifact(path, kind) as file:
        described = json.loads(file.attrs["inputs"])
        place = str(file.attrs.get("place", ""))
    return inputs_from(described, results_folder_of(Path(path), place))


def read_array(file: h5py.Group, name: str, dtype: Any, ndim: int = 1) -> NDArray[Any]:
    """Read a stored array after checking that it is there, of this dtype and dimensionality, as large as it says."""
    dataset = stored(file, name)
    if dataset.dtype != np.dtype(dtype) or dataset.ndim != ndim:
        raise ArtifactError(
            f"expected {name!r} as {np.dtype(dtype)} with {ndim} dimensions, got {dataset.dtype} {dataset.shape} "
            f"in {file.file.filename}"
        )
    return np.asarray(dataset[...])


_TEXT_BYTES = 16
"""Of the reference that stands for a text in a column of texts."""


def stored(file: h5py.Group, name: str) -> h5py.Dataset:
    """Return a dataset whose numbers all stand in this very file; nothing is read.

    Raises:
        ArtifactError: none, a group, a link to elsewhere, or one that declares more than the file holds.
    """
    if name not in file or not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ArtifactError(f"expected dataset {name!r}, not in {file.file.filename}{file.name}")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise ArtifactError(f"expected dataset {name!r}, got a group in {file.file.filename}{file.name}")
    is_text = h5py.check_string_dtype(dataset.dtype) is not None
    size = math.prod(dataset.shape or (0,)) * (_TEXT_BYTES if is_text else dataset.dtype.itemsize)
    if dataset.shape is None or dataset.is_virtual or dataset.external or dataset.id.get_storage_size() != size:
        raise ArtifactError(
            f"expected {name!r} stored whole, got {dataset.shape} of which {dataset.id.get_storage_size()} bytes are "
            f"in {file.file.filename}; make it again"
        )
    return dataset


def read_texts(file: h5py.Group, name: str, count: int) -> NDArray[np.object_] | None:
    """Read a stored column of text, one per row, after checking that it is one; None: it is not there."""
    if name not in file:
        return None
    column = stored(file, name)
    if h5py.check_string_dtype(column.dtype) is None or column.shape != (count,):
        raise ArtifactError(
            f"expected {name!r} as text, one for each of {count} rows, got {column.dtype} {column.shape} "
            f"in {file.file.filename}"
        )
    return np.asarray(column.asstr()[...], object)


def expect_fingerprint(found: str, expected: str, what: str, path: str | os.PathLike[str]) -> None:
    """Refuse a file that belongs to another pool, dataset or model.

    Raises:
        ArtifactError: when the two fingerprints differ.
    """
    if found != expected:
        raise ArtifactError(
            f"expected the {what} with fingerprint {expected[:12]}, got {found[:12]} at {path}; "
            f"it was made for another {what}: make it again"
        )


def content_fingerprint(*parts: NDArray[Any] | h5py.Dataset | str) -> str:
    """Hash arrays (dtype, shape and bytes) and strings, in order, to a hex digest; stored ones are read in blocks."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(f"text:{len(part)}:{part}".encode())
            continue
        digest.update(f"array:{part.dtype.str}:{part.shape}".encode())
        for block in _blocks(part):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


_BLOCK_BYTES = 1 << 20


def _blocks(array: NDArray[Any] | h5py.Dataset) -> Iterator[NDArray[Any]]:
    if array.ndim == 0 or array.size == 0:
        yield np.reshape(array, -1)
        return
    rows = max(1, _BLOCK_BYTES * len(array) // (array.size * array.dtype.itemsize))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def file_fingerprint(path: str | os.PathLike[str]) -> str:
    """Hash a file's bytes to a hex digest."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_json(value: Mapping[str, Any]) -> str:
    """Serialise settings with sorted keys, so that equal settings give equal bytes."""
    return json.dumps(value, sort_keys=True, default=str)

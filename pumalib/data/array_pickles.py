"""Pickles of arrays, read without running anything that stands in them.

An ordinary unpickler calls whatever a file names. This one knows the few names that arrays of numbers need, and puts
classes of its own in their place, so that not even numpy reads what is not looked at yet.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError

_LARGEST_BYTES = 1 << 28
"""Far above a file of CIFAR-10 (31 MB). A choice of ours."""


def read_pickle(path: Path) -> Mapping[Any, Any]:
    """Read a mapping of numbers, text, lists and arrays (`PickledArray`); Python 2's text becomes text.

    Raises:
        DataError: no such file, a damaged one, no mapping, or one that names anything else.
    """
    content = bytes_of(path)
    try:
        contents = _ArraysAlone(io.BytesIO(content), encoding="latin1").load()
    except DataError as error:
        raise DataError(f"{error} in {path}") from None
    except Exception as error:  # damaged bytes raise whatever the reader stumbles over
        told = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataError(
            f"expected a whole pickle at {path}, got {len(content):,} bytes that are damaged or foreign: {told}"
        ) from None
    if not isinstance(contents, dict):
        raise DataError(f"expected a mapping in {path}, got {type(contents).__name__}")
    return contents


def bytes_of(path: Path) -> bytes:
    """Read a file of bounded size.

    Raises:
        DataError: it cannot be read, or is larger.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise DataError(f"expected a file at {path}, got: {error.strerror}") from None
    if len(content) > _LARGEST_BYTES:
        raise DataError(f"expected a file of at most {_LARGEST_BYTES:,} bytes, got more at {path}")
    return content


class _Layout(NamedTuple):
    """What a pickled array says of itself."""

    version: int
    shape: tuple[int, ...]
    dtype: _Dtype
    is_fortran: bool
    data: str | bytes


class _Dtype:
    """A pickled dtype: its name alone. The order of bytes that follows is left out; single bytes have none."""

    def __init__(self, name: str, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        """Leave out what follows the name."""


class PickledArray:
    """A pickled array, held as it was written until `whole` looks at it."""

    def __setstate__(self, state: Any) -> None:
        """Take what was written."""
        self._layout = _Layout(*state)

    def whole(self, path: Path) -> NDArray[Any]:
        """Return the array; of numbers wider than a byte, dtype and shape alone can be trusted.

        Args:
            path: of its file, for messages.

        Raises:
            DataError: no array of plain numbers in C order, or fewer or more bytes than its shape needs.
        """
        try:
            return self._read()
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise DataError(f"expected a plain array in C order in {path}: {' '.join(str(error).split())}") from None

    def _read(self) -> NDArray[Any]:
        _, shape, named, is_fortran, data = self._layout
        dtype = np.dtype(named.name)
        written = data.encode("latin1") if isinstance(data, str) else data
        if is_fortran or dtype.hasobject:
            raise ValueError(f"got {'Fortran order' if is_fortran else dtype}")
        if len(written) != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"got {len(written):,} bytes for {dtype} {list(shape)}")
        return np.frombuffer(written, dtype).reshape(shape)


def _new_array(*_: Any) -> PickledArray:
    return PickledArray()


def _bytes(text: str, _: str) -> bytes:
    """Return the bytes that Python 3 writes as text for readers of protocol 2."""
    return text.encode("latin1")


_KNOWN: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _new_array,
    ("numpy._core.multiarray", "_reconstruct"): _new_array,
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _bytes,
}
"""All that a pickle of arrays names, and what stands in for it."""


class _ArraysAlone(pickle.Unpickler):
    """An unpickler that calls nothing but what stands in for `_KNOWN`."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands in for a name of numpy, and refuse every other name."""
        if (module, name) not in _KNOWN:
            raise DataError(f"expected numbers, text and arrays alone, got {module}.{name}")
        return _KNOWN[module, name]

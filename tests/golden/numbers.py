"""What a file of a study comes down to: a few numbers an array, and when two of them count as the same.

One processor gives the same bits each time, so there nothing may move beyond what a few digits in a file can say
(`SAME`). Another one sums in another order. That changes the last places of most numbers by a share of 1e-6, and now
and then the sign of a pixel's gradient, after which one training goes another way by some per cent. So `OTHER` is
loose, but for the studies that leave such a sign no time to matter: `STEADY`.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

Numbers = dict[str, dict[str, dict[str, float]]]
"""By file, by array in it, by name."""


@dataclass(frozen=True)
class Tolerance:
    """How far numbers may be off.

    Attributes:
        share: of an array's L2 norm, for floats and pixels; of the number itself, for whole numbers.
        images: how many images may be classified otherwise, where an array's numbers hang on single ones.
    """

    share: float
    images: int


Tolerances = Mapping[str, Tolerance]
"""By patterns of a file, of which the first counts."""

STEADY = "golden-steps*"
"""Rounding moves their numbers by 1e-5 at most; by 1e-4 a `robust_loss`, the small difference of two large sums."""
SAME: Tolerances = {"*": Tolerance(1e-7, 0)}
OTHER: Tolerances = {STEADY: Tolerance(3e-4, 0), "*": Tolerance(0.05, 3)}

ONE_IMAGE = {
    "history/resnet *_accuracy": 1 / 2,
    "history/preact *_accuracy": 1 / 2,
    "progress/* *_accuracy": 1 / 30,
    "*_accuracy": 1 / 40,
    "results value": 1 / 40,
    "*_right": 1,
    "*success": 1,
    "*converged": 1,
    "*prediction": 9,
    "*adversarial_class": 9,
    "track/*": 1,
    "score/*difficulty* score": 1 / 4,
    "score/forgetting score": 1,
    "history/* num_dropped": 1,
}
"""By how much one image can change the sum of an array, by patterns of file and array, of which the first counts."""

_DIGITS = 1e-12
_NOT_COMPARED = ("seconds_left",)


def condense(path: Path) -> dict[str, dict[str, float]]:
    """Condense each array of a file."""
    read = {".h5": _read_hdf5, ".safetensors": _read_weights, ".csv": _read_table}[path.suffix]
    return {name: _condense_array(np.asarray(array)) for name, array in read(path) if name not in _NOT_COMPARED}


def _read_hdf5(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield what a file of the library stores, and for attacks how many images are classified rightly."""
    arrays: dict[str, NDArray[Any]] = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
        if "mean_epsilon" in file.attrs:
            arrays["mean_epsilon"] = np.atleast_1d(file.attrs["mean_epsilon"])
            arrays["cuts"] = np.array([value for _, value in json.loads(file.attrs["cuts"])], np.float64)
    for kind in ("clean", "adversarial"):
        if f"{kind}_prediction" in arrays and "label" in arrays:
            arrays[f"{kind}_right"] = arrays[f"{kind}_prediction"] == arrays["label"]
    yield from arrays.items()


def _read_weights(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    yield from load_file(path).items()


def _read_table(path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    for name, column in pd.read_csv(path).select_dtypes("number").items():
        yield str(name), column.to_numpy()


def _condense_array(array: NDArray[Any]) -> dict[str, float]:
    """Return how many values there are, and three sums of them; of floats and pixels, of the finite ones alone."""
    values = array.ravel().astype(np.float64)
    if array.dtype.kind not in "f" and array.dtype != np.uint8:
        places = np.arange(1, len(values) + 1) / max(len(values), 1)
        return {"count": len(values), "sum": values.sum(), "placed": float(values @ places)}
    values = values[np.isfinite(values)]
    signs = np.where(np.sin(np.arange(len(values)) ** 2 + 1.0) < 0, -1.0, 1.0)
    root = np.sqrt(max(len(values), 1))
    return {
        "count": len(values),
        "mean": values.sum() / root**2,
        "norm": float(np.linalg.norm(values)),
        "projection": float(values @ signs) / root,
    }


def compare(found: Numbers, expected: Numbers, tolerances: Tolerances = SAME) -> list[str]:
    """Return a line for each number that moved, of the files that were found."""
    moved = []
    for file, arrays in found.items():
        known = expected.get(file, {})
        tolerance = next(tolerance for pattern, tolerance in tolerances.items() if fnmatch(file, pattern))
        for name in sorted(known.keys() | arrays.keys()):
            if name in known and name in arrays:
                moved += _compare_array(f"{file} {name}", known[name], arrays[name], tolerance)
            else:
                moved.append(f"{file} {name}: {'is new' if name in arrays else 'is missing'}")
    return moved


def _compare_array(
    where: str, expected: Mapping[str, float], found: Mapping[str, float], tolerance: Tolerance
) -> Iterator[str]:
    images = tolerance.images * _one_image(where)
    norm = expected.get("norm")
    for name, value in expected.items():
        size = abs(value) if norm is None or name == "count" else norm
        if name in ("mean", "projection"):
            size /= max(expected["count"], 1) ** 0.5
        allowed = tolerance.share * size + images + _DIGITS
        if not abs(found[name] - value) <= allowed:
            yield f"{where}, {name}: expected {value:.9g}, got {found[name]:.9g}, more than {allowed:.1e} off"


def _one_image(where: str) -> float:
    return next((change for pattern, change in ONE_IMAGE.items() if fnmatch(where.partition("/")[2], pattern)), 0.0)


def write_numbers(numbers: Numbers, path: Path) -> None:
    """Write numbers as JSON, an array a line, with the processor they come from."""
    files = [
        f"{json.dumps(file)}: {{\n"
        + ",\n".join(f"  {json.dumps(name)}: {json.dumps(_rounded(array))}" for name, array in arrays.items())
        + "\n}"
        for file, arrays in numbers.items()
    ]
    path.write_text(f'{{\n"processor": {json.dumps(processor())},\n"numbers": {{\n' + ",\n".join(files) + "\n}\n}\n")


def read_numbers(path: Path) -> tuple[Numbers, Tolerances]:
    """Return the numbers of a file, and how near to them this processor has to come."""
    stored = json.loads(path.read_text())
    return stored["numbers"], SAME if stored["processor"] == processor() else OTHER


def processor() -> str:
    """Say what rounding hangs on: the build of torch, the instructions it uses, and who made the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    vendor = next((line.partition(": ")[2] for line in lines if line.startswith("vendor_id")), platform.machine())
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {vendor}"


def _rounded(array: Mapping[str, float]) -> dict[str, float]:
    return {name: int(value) if name == "count" else float(f"{value:.9g}") for name, value in array.items()}

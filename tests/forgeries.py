"""Ways to forge every kind of file, digests and all, and the bounds within which a reader must answer."""

import json
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from pumalib.files.digests import seal

HDF5 = [
    "datasets/digits/seed0.h5",
    "synthetic/digits+20/seed0.h5",
    "learned/robustified/seed0.h5",
    "pools/digits+20/seed0.h5",
    "scores/margin/seed0.h5",
    "selections/puma/seed0.h5",
    "models/trades/seed0/track.h5",
    "attacks/puma/seed0/shortest.h5",
]
WEIGHTS = ["models/puma/seed0/model.safetensors", "generators/edm/seed0/model.safetensors"]
CSV = ["results.csv", "models/puma/seed0/history.csv"]
DEEP = "[" * 100_000
ATTRIBUTES: dict[str, Callable[[Any], Any]] = {
    "text that is no JSON": lambda value: "{",
    "empty": lambda value: "",
    "an array": lambda value: np.arange(5),
    "an array of text": lambda value: ["a", "b"],
    "a negative number": lambda value: -1,
    "a huge number": lambda value: 2**62,
    "not a number": lambda value: float("nan"),
    "JSON of another form": lambda value: json.dumps([1, {"a": None}]),
    "JSON that nests without end": lambda value: DEEP[:60_000],
    "null": lambda value: "null",
    "bytes": lambda value: np.void(b"\x00\xff\x1b"),
    "a command to a terminal": lambda value: "\x1b]0;x\x07",
    "nothing": lambda value: None,
}


def declare_too_much(group: h5py.Group, name: str) -> None:
    """Declare 10^12 rows of which none is stored."""
    old = group[name]
    dtype, shape = old.dtype, (10**12, *old.shape[1:])
    del group[name]
    group.create_dataset(name, shape, dtype, chunks=(1, *shape[1:]))


def link_elsewhere(group: h5py.Group, name: str) -> None:
    del group[name]
    group[name] = h5py.ExternalLink("/etc/passwd", "/x")


def link_softly(group: h5py.Group, name: str) -> None:
    del group[name]
    group[name] = h5py.SoftLink("/nowhere")


def replace(group: h5py.Group, name: str, values: Any) -> None:
    del group[name]
    group.create_dataset(name, data=values)


def pack(group: h5py.Group, name: str) -> None:
    """Fill with zeros that need no room."""
    shape, dtype = group[name].shape, group[name].dtype
    del group[name]
    group.create_dataset(name, shape, dtype, compression="gzip")


def shorten(group: h5py.Group, name: str) -> None:
    replace(group, name, group[name][:-1])


def out_of_range(group: h5py.Group, name: str) -> None:
    values = group[name][...]
    worst = {"f": np.nan, "i": -7, "u": 255, "b": True}.get(values.dtype.kind)
    replace(group, name, np.full_like(values, worst))


def make_group(group: h5py.Group, name: str) -> None:
    del group[name]
    group.create_group(name)


def remove(group: h5py.Group, name: str) -> None:
    del group[name]


DATASETS: dict[str, Callable[[h5py.Group, str], None]] = {
    "declares too much": declare_too_much,
    "links elsewhere": link_elsewhere,
    "links softly": link_softly,
    "is packed": pack,
    "is shorter": shorten,
    "holds what cannot be": out_of_range,
    "is a group": make_group,
    "is not there": remove,
    "is text": lambda group, name: replace(group, name, ["a"] * len(group[name])),
    "has another width": lambda group, name: replace(group, name, group[name][...].astype(np.float16)),
    "has another form": lambda group, name: replace(group, name, group[name][...].reshape(1, -1)),
    "is empty": lambda group, name: replace(group, name, group[name][:0]),
    "is one number": lambda group, name: replace(group, name, 3),
}
MUST_BE_NOTICED = {"declares too much", "links elsewhere", "links softly", "is packed", "is a group", "is not there",
                   "is shorter", "is text", "has another form", "is one number"}  # fmt: skip
MAY_BE_LACKING = {"columns", "row", "success", "correct", "loss", "visits", "true_labels"}
"""Of score tables, attack tables, tracks and synthetic sets: a file without them is whole, and says less."""

UNREAD = {"images", "labels"}
"""Of a pool: what stands there is for people, programs read its sources."""


def datasets_in(path: Path) -> list[str]:
    names: list[str] = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(names)


def attributes_in(path: Path) -> list[str]:
    with h5py.File(path, "r") as file:
        return sorted(file.attrs)


def forgeries_of(path: Path) -> list[tuple[str, str, str]]:
    """Return (what, name, how) of every forgery of an HDF5 file."""
    columns = [("dataset", name, how) for name in datasets_in(path) for how in DATASETS]
    return columns + [("attribute", name, how) for name in attributes_in(path) for how in ATTRIBUTES]


def forge(path: Path, what: str, name: str, how: str) -> None:
    with h5py.File(path, "r+") as file:
        if what == "dataset":
            folder, _, leaf = name.rpartition("/")
            DATASETS[how](file[folder] if folder else file, leaf)
        else:
            value = ATTRIBUTES[how](file.attrs[name])
            del file.attrs[name]
            if value is not None:
                file.attrs[name] = value
    seal(path)


@contextmanager
def bounded() -> Iterator[None]:
    """Fail after ten seconds of work or a minute of waiting, and where memory grows by more than 500 MB."""

    def late(number: int, frame: object) -> None:
        raise AssertionError("ten seconds have passed")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.signal(signal.SIGALRM, late)
    signal.signal(signal.SIGPROF, late)
    signal.alarm(60)
    signal.setitimer(signal.ITIMER_PROF, 10)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500 * 1024


METADATA: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "gone": lambda metadata, key: metadata.pop(key, None),
    "null": lambda metadata, key: metadata.update({key: None}),
    "text": lambda metadata, key: metadata.update({key: "x\x1b[31m"}),
    "a list": lambda metadata, key: metadata.update({key: [1, [2]]}),
    "a mapping": lambda metadata, key: metadata.update({key: {"name": "os:system"}}),
    "a huge number": lambda metadata, key: metadata.update({key: 10**18}),
    "negative": lambda metadata, key: metadata.update({key: -1}),
    "huge numbers": lambda metadata, key: metadata.update({key: [10**9, 10**9, 3]}),
}


def forge_weights(path: Path, key: str, how: str) -> None:
    with safe_open(path, framework="np") as file:
        metadata = json.loads(file.metadata()["pumalib"])
    metadata.pop("digest")
    METADATA[how](metadata, key)
    save_file(load_file(path), path, {"pumalib": json.dumps(metadata)})


def keys_of(path: Path) -> list[str]:
    with safe_open(path, framework="np") as file:
        return sorted(json.loads(file.metadata()["pumalib"]))


TABLES: dict[str, Callable[[bytes], bytes]] = {
    "a mark in front": lambda content: b"\xef\xbb\xbf" + content,
    "no names": lambda content: content.partition(b"\n")[2],
    "other names": lambda content: b"a,b\n" + content.partition(b"\n")[2],
    "one name twice": lambda content: content.replace(b"seed", b"run", 1),
    "an empty cell": lambda content: content.replace(b"0.", b"", 1).replace(b",0,", b",,", 1),
    "a word for a number": lambda content: content.replace(b"0.", b"x", 1),
    "a huge number": lambda content: content.replace(b"0.", b"9" * 400 + b".", 1),
    "infinity": lambda content: content.replace(b"0.", b"inf", 1),
    "zero bytes": lambda content: content.replace(b",", b"\x00", 3),
    "no UTF-8": lambda content: content + b"\xff\xfe\n",
    "a command to a terminal": lambda content: content.replace(b"puma", b"\x1b]0;x\x07"),
    "an open quote": lambda content: content.replace(b",", b',"', 1),
    "one line": lambda content: content.partition(b"\n")[0],
    "nothing": lambda content: b"",
    "lines of Windows": lambda content: content.replace(b"\n", b"\r\n"),
    "a very long line": lambda content: content + b"a," * 1_000_000,
    "half": lambda content: content[: len(content) // 2],
    "semicolons": lambda content: content.replace(b",", b";"),
    "minus": lambda content: content.replace(b"0.", b"-0.", 5),
    "formula": lambda content: content.replace(b"trades", b"=1+1"),
}

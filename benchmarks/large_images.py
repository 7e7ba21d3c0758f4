"""What images kept as the bytes of their files cost: decoding, making a dataset, opening a large pool, and growth.

    OMP_NUM_THREADS=1 python benchmarks/large_images.py [decode] [make] [open] [grow] [--rows N] [--folder F]
        [--figure FILE]

Photographs are drawn: smooth colours with a little noise, as JPEG of quality 92, 500 x 500 and 64 x 64. `decode`:
images per second out of a dataset in their own size, beside simplejpeg on bytes in memory, and resizing apart. `make`:
a dataset of 40,000 files, beside decoding and copying them. `open`: a pool of 5 million rows whose images are stubs.
`grow`: making and reading at growing numbers of rows, drawn with --figure. `make`, `open` and `grow` run in processes
of their own, so that the peak memory is theirs. The tables stand in docs/large-images.md.
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import simplejpeg
from nets import settle
from numpy.typing import NDArray
from PIL import Image
from rounds import clock, print_conditions, print_table, ratio

from pumalib.data.datasets import prepare_dataset, read_split
from pumalib.data.decoding import View, fit
from pumalib.data.encoded_images import EncodedImages, MappedBytes
from pumalib.data.pool import build_pool
from pumalib.data.settings import FolderSettings
from pumalib.files.artifacts import content_fingerprint, create_artifact
from pumalib.reporting.figures import COLUMN_WIDTH_INCHES, figure_style, new_figure, save_png

SIZES = {"64 x 64": (64, 64, 2000, 48), "500 x 500": (500, 500, 200, 224)}
ROUNDS = 5
NUM_FILES, NUM_CLASSES, STUB_ROWS = 40_000, 20, 5_000_000
GROWN = (1_250, 2_500, 5_000, 10_000, 20_000, 40_000)


def photograph(seed: int, width: int, height: int) -> bytes:
    """Return a JPEG."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((width, height))
    noisy = np.asarray(coarse).astype(np.int64) + rng.normal(0, 6, (height, width, 3)).astype(np.int64)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def stored(contents: list[bytes], folder: Path, view: View) -> EncodedImages:
    """Return images whose bytes stand in a file, memory-mapped."""
    path, count = folder / "bytes", len(contents)
    path.write_bytes(b"".join(contents))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum([len(content) for content in contents])])
    mapped = np.memmap(path, np.uint8, "r", 0, (int(offsets[-1]),))
    sizes = np.full((count, 2), view.image_size, np.int32)
    return EncodedImages(MappedBytes(mapped, offsets, sizes, str(path)), np.arange(count), view)


def time_decoding(folder: Path) -> None:
    """Print images per second of the bare decoder and of ours, and of resizing."""
    rows = [decoded_row(name, *size, folder) for name, size in SIZES.items()]
    header = ["images", "bare decoder, images/s", "ours, images/s", "ours / bare", "resizing alone, images/s"]
    print_table(header, rows)


def one_by_one(work: Callable[[Any], object], items: Iterable[Any]) -> None:
    """Do some work on each item, and keep nothing."""
    for item in items:
        work(item)


def decoded_row(name: str, width: int, height: int, count: int, smaller: int, folder: Path) -> list[str]:
    """Return the line of one size."""
    contents = [photograph(seed, width, height) for seed in range(count)]
    images = [simplejpeg.decode_jpeg(content, "RGB") for content in contents]
    ours = stored(contents, folder, View(min(width, height), 3))
    batches = np.array_split(np.arange(count), count // 50)
    methods: dict[str, Callable[[], object]] = {
        "bare": lambda: one_by_one(lambda content: simplejpeg.decode_jpeg(content, "RGB"), contents),
        "ours": lambda: one_by_one(ours.read, batches),
        "resize": lambda: one_by_one(lambda image: fit(image, View(smaller, 3), ""), images),
    }
    seconds = clock(methods, ROUNDS)
    a_second = {each: f"{count / min(found.process):,.0f}" for each, found in seconds.items()}
    both = ratio(seconds["bare"].process, seconds["ours"].process)
    return [name, a_second["bare"], a_second["ours"], both, f"{a_second['resize']} (to {smaller})"]


def write_files(folder: Path, count: int) -> None:
    """Write JPEGs of 64 x 64 in class folders: 500 that differ, again and again."""
    contents = [photograph(seed, 64, 64) for seed in range(500)]
    for number in range(count):
        path = folder / f"{number % NUM_CLASSES:02}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % len(contents)])


def settings_of(folder: Path) -> FolderSettings:
    """Return the settings of such a folder."""
    return FolderSettings(path=str(folder), image_size=64, split="seeded", test_fraction=0.05, storage="encoded")


def highest_memory() -> int:
    """Return the peak of this process in bytes; `getrusage` would tell that of its parent, were it higher."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))


def make(rows: int, folder: Path) -> dict[str, float]:
    """Make a dataset of so many files, and read it."""
    files = folder / "files"
    before, began, used = psutil.Process().memory_info().rss, time.perf_counter(), time.process_time()
    prepare_dataset(settings_of(files), 0, folder, folder / "dataset.h5")
    seconds, process = time.perf_counter() - began, time.process_time() - used
    peak = highest_memory() - before
    began, used = time.perf_counter(), time.process_time()
    for path in sorted(files.rglob("*.jpg")):
        simplejpeg.decode_jpeg(path.read_bytes(), "RGB")
        shutil.copyfile(path, folder / "copy")
    bare = time.process_time() - used
    began = time.process_time()
    images = read_split(folder / "dataset.h5", "train").images
    for some in np.array_split(np.arange(len(images)), max(1, len(images) // 250)):
        images[some]
    reading = time.process_time() - began
    return {"seconds": seconds, "process": process, "bare": bare, "peak MB": peak / 1e6, "reading": reading}


def open_stubs(rows: int, folder: Path) -> dict[str, float]:
    """Make a pool of rows of four bytes, and open it in this process."""
    path, labels = folder / "dataset.h5", np.arange(rows, dtype=np.int64) % NUM_CLASSES
    write_stubs(path, labels)
    build_pool(path, None, folder / "pool.h5", {})
    code = (
        "import json, psutil, time\n"
        "from pumalib.data.pool import open_pool\nimport h5py, numpy, simplejpeg\n"
        "before, began = psutil.Process().memory_info().rss, time.perf_counter()\n"
        f"pool = open_pool({str(folder / 'pool.h5')!r})\n"
        "seconds = time.perf_counter() - began\n"
        "peak = int(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM'))) * 1024\n"
        "print(json.dumps({'seconds': seconds, 'peak MB': (peak - before) / 1e6, 'rows': len(pool)}))\n"
    )
    found: dict[str, float] = json.loads(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    )
    return found


def write_stubs(path: Path, labels: NDArray[np.int64]) -> None:
    """Write a dataset whose images are four bytes each, with names."""
    count = len(labels)
    with create_artifact(path, "dataset") as file:
        file.attrs["class_names"] = [str(label) for label in range(NUM_CLASSES)]
        group = file.create_group("train")
        group.create_dataset("encoded", data=np.zeros(4 * count, np.uint8))
        group.create_dataset("offsets", data=np.arange(count + 1, dtype=np.int64) * 4)
        group.create_dataset("sizes", data=np.full((count, 2), 224, np.int32))
        group.create_dataset("labels", data=labels)
        names = group.create_dataset("files", (count,), h5py.string_dtype())
        for start in range(0, count, 100_000):
            some = range(start, min(start + 100_000, count))
            names[start : some.stop] = [f"{row % NUM_CLASSES}/{row:07}.jpg" for row in some]
        group.attrs["view"] = json.dumps({"image_size": 224, "channels": 3})
        parts = (group[name] for name in ("offsets", "encoded"))
        group.attrs["fingerprint"] = content_fingerprint(labels, *parts, str(group.attrs["view"]))


def in_own_process(part: str, rows: int, folder: Path) -> dict[str, float]:
    """Run a part alone."""
    command = [sys.executable, __file__, "--alone", part, "--rows", str(rows), "--folder", str(folder)]
    found: dict[str, float] = json.loads(
        subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1]
    )
    return found


def show_making(rows: int, folder: Path) -> None:
    """Print what making a dataset takes."""
    write_files(folder / "files", rows)
    found = in_own_process("make", rows, folder)
    print_table(
        ["files", "seconds", "processor seconds", "decoding and copying them", "ratio", "MB above imports"],
        [[f"{rows:,}", f"{found['seconds']:.1f}", f"{found['process']:.1f}", f"{found['bare']:.1f}",
          f"{found['bare'] / found['process']:.2f}", f"{found['peak MB']:.0f}"]],
    )  # fmt: skip


def show_opening(rows: int, folder: Path) -> None:
    """Print what opening a large pool takes."""
    found = in_own_process("open", rows, folder)
    line = [f"{rows:,}", f"{found['seconds']:.2f}", f"{found['peak MB']:.0f}"]
    print_table(["rows", "seconds to open", "MB above imports"], [line])


def show_growth(most: int, folder: Path, figure: Path | None) -> None:
    """Print, and draw, what making and reading take at growing numbers of rows."""
    sizes = [rows for rows in GROWN if rows <= most]
    found = []
    for rows in sizes:
        shutil.rmtree(folder / "files", ignore_errors=True)
        write_files(folder / "files", rows)
        found.append(in_own_process("make", rows, folder))
    lines = [[f"{rows:,}", f"{each['process']:.2f}", f"{1e6 * each['process'] / rows:.0f}", f"{each['reading']:.2f}",
              f"{each['peak MB']:.0f}"] for rows, each in zip(sizes, found, strict=True)]  # fmt: skip
    print_table(["files", "making, s", "µs a file", "reading all, s", "MB above imports"], lines)
    if figure is not None:
        draw_growth(sizes, found, figure)


def draw_growth(sizes: list[int], found: list[dict[str, float]], path: Path) -> None:
    """Draw seconds against rows."""
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 2.5)
        for name, label in (("process", "make the dataset"), ("reading", "decode all of it")):
            axes.plot(sizes, [each[name] for each in found], "o-", label=label)
        axes.set(xlabel="image files (64 x 64)", ylabel="processor seconds", xlim=(0, None), ylim=(0, None))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=5)
        axes.grid(True)
        axes.legend()
    save_png(figure, path)


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", help="decode, make, open, grow; none: all")
    parser.add_argument("--rows", type=int, help="files of make and grow, or rows of open")
    parser.add_argument("--folder", type=Path, default=None, help="where to write; removed afterwards")
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        gc.collect()
        print(json.dumps({"make": make, "open": open_stubs}[options.alone](options.rows, options.folder)))
        return
    settle(1)  # keeps the memory that is freed, as jobs do
    print_conditions("simplejpeg", "pillow")
    parts = options.parts or ["decode", "make", "open", "grow"]
    for part in parts:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            folder = Path(name)
            if part == "decode":
                time_decoding(folder)
            elif part == "make":
                show_making(options.rows or NUM_FILES, folder)
            elif part == "open":
                show_opening(options.rows or STUB_ROWS, folder)
            else:
                show_growth(options.rows or NUM_FILES, folder, options.figure)
        print(flush=True)


if __name__ == "__main__":
    main()

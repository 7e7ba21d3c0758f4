"""How cost grows with the size of a pool: selecting, joining margins, training from disk, and planning all studies.

    OMP_NUM_THREADS=1 python benchmarks/scale.py [select] [join] [pool] [plan] [--rows N] [--folder F] [--figure FILE]

Each size runs in a process of its own, so that its peak memory is its own. `select`: three cuts and PUMA's epsilons
over random scores. `join`: 1,000 shards of margins. `pool`: synthetic 32 x 32 x 3 rows in F (3 GB a million rows,
removed afterwards), batches drawn by the trainer's own reader from disk, beside batches out of memory. `plan`: dry
runs of studies, small files standing in for those that users bring. `--rows` is the largest size (default: 50 million
for `select` and `join`, 1 million for `pool`); smaller ones are tenths of it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml

from pumalib.data.pool import build_pool, open_pool
from pumalib.files.artifacts import content_fingerprint, create_artifact
from pumalib.models.inputs import to_model_input
from pumalib.reporting.figures import COLUMN_WIDTH_INCHES, figure_style, new_stack, plain_log_ticks, save_png
from pumalib.scores.table import ScoreTable, join_scores, read_scores, write_scores
from pumalib.selection.cuts import Cut
from pumalib.selection.epsilons import adaptive_epsilons
from pumalib.selection.select import select
from pumalib.study.file import read_study_file
from pumalib.training.images import Batch, SelectedImages
from pumalib.training.sampling import BatchPlan, draw_batches

ROOT = Path(__file__).parents[1]
SHARDS = 1000
BATCH, NUM_BATCHES = 512, 200
SHAPE = (32, 32, 3)
BLOCK = 10_000
STUDIES = (
    "paper-cifar10",
    "digits-paper",
    "fashion-controls",
    "easycore-digits",
    "easycore-fashion",
    "paper-perceptron",
)


def time_select(num_rows: int, _: Path) -> dict[str, float]:
    rng = np.random.default_rng(0)
    margin = rng.normal(0.05, 0.03, num_rows).astype(np.float32)
    difficulty = (rng.integers(0, 51, num_rows) / 50).astype(np.float32)
    labels = rng.integers(0, 10, num_rows)
    source = (np.arange(num_rows) >= num_rows // 100).astype(np.uint8)
    cuts = [
        Cut(margin, drop="easiest", fraction=0.2),
        Cut(difficulty, at_least=1.0, higher_is="harder"),
        Cut(None, fraction=0.1, scope="per_class"),
    ]
    start, of_system = time.perf_counter(), os.times().system
    selection = select(num_rows, cuts, adaptive_epsilons(margin, 8 / 255), labels=labels, source=source)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "system_s": os.times().system - of_system, "kept": len(selection.rows)}


def time_join(num_rows: int, folder: Path) -> dict[str, float]:
    rng = np.random.default_rng(0)
    shards = []
    for number, rows in enumerate(np.array_split(np.arange(num_rows), SHARDS)):
        count = len(rows)
        columns = {
            "prediction": np.zeros(count, np.int16),
            "adversarial_class": np.ones(count, np.int16),
            "iterations": np.full(count, 3, np.int16),
            "converged": np.ones(count, bool),
        }
        table = ScoreTable(
            score=rng.normal(size=count).astype(np.float32),
            valid=np.ones(count, bool),
            higher_is="easier",
            unit="pixel scale",
            method="deepfool",
            norm="linf",
            pool_fingerprint="pool",
            model_fingerprint="model",
            first_row=int(rows[0]),
            columns=columns,
        )
        shards.append(folder / f"shard{number}.h5")
        write_scores(table, shards[-1])
    start = time.perf_counter()
    write_scores(join_scores({path: read_scores(path, "pool") for path in shards}, num_rows), folder / "joined.h5")
    return {"seconds": time.perf_counter() - start, "shards": SHARDS}


def time_pool(num_rows: int, folder: Path) -> dict[str, float]:
    pool = open_pool(make_pool(num_rows, folder))
    start = time.perf_counter()
    plan = BatchPlan(BATCH, NUM_BATCHES, 1.0, seed=0)
    rows = np.arange(len(pool), dtype=np.int64)
    batches = list(draw_batches(plan, pool.source, rows, 0))
    drawing = time.perf_counter() - start
    device = torch.device("cpu")
    disk = SelectedImages(pool.images, rows, int(np.prod(SHAPE)), device, limit_gib=0.0)
    some = np.unique(np.concatenate(batches[: NUM_BATCHES // 4]))
    memory = SelectedImages(pool.images, some, int(np.prod(SHAPE)), device, limit_gib=64.0)
    rates = {
        "disk_images_per_s": rate(disk, rows, batches[NUM_BATCHES // 4 :]),  # rows that no one has read yet
        "memory_images_per_s": rate(memory, some, batches[: NUM_BATCHES // 4]),
    }
    return {"seconds": drawing, **rates, "gigabytes": num_rows * int(np.prod(SHAPE)) / 1e9}


def make_pool(num_rows: int, folder: Path) -> Path:
    """Write a pool of random images block by block; every row starts with its number."""
    rng = np.random.default_rng(0)
    labels = np.arange(num_rows, dtype=np.int64) % 10
    few = np.arange(100) % 10
    with create_artifact(folder / "dataset.h5", "dataset") as file:
        file.attrs["class_names"] = [str(name) for name in range(10)]
        store(
            file.create_group("train"),
            few,
            lambda _, count: rng.integers(256, size=(count, *SHAPE), dtype=np.uint8),
        )
    block = rng.integers(256, size=(BLOCK, *SHAPE), dtype=np.uint8)
    with create_artifact(folder / "synthetic.h5", "synthetic") as file:
        store(file, labels, lambda first, count: numbered(block[:count], first))
    build_pool(folder / "dataset.h5", folder / "synthetic.h5", folder / "pool.h5", {})
    drop_caches(folder / "synthetic.h5")
    return folder / "pool.h5"


def store(group: h5py.Group, labels: np.ndarray, images: Callable[[int, int], np.ndarray]) -> None:
    data = group.create_dataset("images", (len(labels), *SHAPE), np.uint8)
    for first in range(0, len(labels), BLOCK):
        count = min(BLOCK, len(labels) - first)
        data[first : first + count] = images(first, count)
    group.create_dataset("labels", data=labels.astype(np.int64))
    group.attrs["fingerprint"] = content_fingerprint(labels.astype(np.int64), data)


def numbered(images: np.ndarray, first: int) -> np.ndarray:
    numbers = np.arange(first, first + len(images), dtype="<u4")
    images.reshape(len(images), -1)[:, :4] = numbers.view(np.uint8).reshape(-1, 4)
    return images


def drop_caches(path: Path) -> None:
    """Ask the system to forget the pages of a file, so that it is read from disk."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def rate(images: SelectedImages, selected: np.ndarray, batches: list[np.ndarray]) -> float:
    start = time.perf_counter()
    for rows in batches:
        to_model_input(images.gather(Batch(rows), torch.from_numpy(np.searchsorted(selected, rows))))
    return len(batches) * BATCH / (time.perf_counter() - start)


WORK: dict[str, tuple[Callable[[int, Path], dict[str, float]], int]] = {
    "select": (time_select, 50_000_000),
    "join": (time_join, 50_000_000),
    "pool": (time_pool, 1_000_000),
}


def run_one(name: str, num_rows: int, folder: Path) -> None:
    """Do one size in this process and print what it took."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = WORK[name][0](num_rows, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**result, "rows": num_rows, "peak_mib": peak / 1024, "start_mib": before / 1024}))


def in_a_process(name: str, num_rows: int, parent: Path) -> dict[str, Any]:
    folder = Path(tempfile.mkdtemp(prefix="puma-scale-", dir=parent))
    try:
        command = [sys.executable, __file__, "--one", name, "--rows", str(num_rows), "--folder", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    finally:
        shutil.rmtree(folder)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(name: str, largest: int, parent: Path) -> list[dict[str, Any]]:
    results = [in_a_process(name, largest // share, parent) for share in (100, 10, 1)]
    first = results[0]
    for result in results:
        growth = (result["seconds"] / first["seconds"]) / (result["rows"] / first["rows"])
        own = result["peak_mib"] - result["start_mib"]
        extra = "".join(f", {key} {value:,.0f}" for key, value in result.items() if key.endswith("_per_s"))
        if "system_s" in result:  # mostly to hand out memory, the dearer the more was asked for
            extra += f", the system's part {result['system_s']:.2f} s"
        print(
            f"{name}: {result['rows']:>11,} rows  {result['seconds']:8.2f} s  ({growth:.2f} x linear)  "
            f"{own:8,.0f} MiB above {result['start_mib']:,.0f}{extra}",
            flush=True,
        )
    return results


def plan_studies() -> None:
    """Time a dry run of each study, one process each, and count its jobs."""
    total_seconds, total_jobs = 0.0, 0
    for name in STUDIES:
        with tempfile.TemporaryDirectory(prefix="puma-plan-") as folder:
            for item in ("Snakefile", "rules", "workflow_scripts", "profiles", "pumalib", "config.yaml"):
                (Path(folder) / item).symlink_to(ROOT / item)
            raw = read_study_file(str(ROOT / f"studies/{name}.yaml"))
            stand_in(raw, Path(folder))
            (Path(folder) / "study.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
            command = [str(Path(sys.executable).parent / "snakemake"), "--dry-run", "--quiet", "rules", "--cores", "1"]
            start = time.perf_counter()
            done = subprocess.run(
                [*command, "--configfile", "study.yaml"], cwd=folder, capture_output=True, text=True, check=True
            )
            seconds = time.perf_counter() - start
        jobs = next(int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("total"))
        total_seconds, total_jobs = total_seconds + seconds, total_jobs + jobs
        print(f"plan: {name:18} {jobs:6,} jobs {seconds:8.2f} s", flush=True)
    print(f"plan: {'all':18} {total_jobs:6,} jobs {total_seconds:8.2f} s")


def stand_in(raw: dict[str, Any], folder: Path) -> None:
    """Let small files stand in for those that a study's owner brings; the number of jobs does not depend on them."""
    for pool in raw.get("pools", {}).values():
        synthetic = pool.get("synthetic", {})
        if "path" in synthetic:
            synthetic["count"] = 100
            path = folder / synthetic["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, image=np.zeros((100, *SHAPE), np.uint8), label=np.arange(100) % 10)
    for score in raw.get("scores", {}).values():
        model = score.get("model")
        if isinstance(model, dict) and "checkpoint" in model:
            path = folder / model["checkpoint"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["select", "join", "pool", "plan"])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, options.rows, options.folder)
        return
    curves = {
        name: measure(name, options.rows or WORK[name][1], options.folder) for name in options.parts if name in WORK
    }
    if "plan" in options.parts:
        plan_studies()
    if options.figure and curves:
        draw(curves, options.figure)


NAMES = {"select": "select rows", "join": "join scores"}
"""Names in the figure."""


def draw(curves: dict[str, list[dict[str, Any]]], path: Path) -> None:
    with figure_style():
        figure, (seconds, memory) = new_stack(COLUMN_WIDTH_INCHES, 3.6)
        for name, results in curves.items():
            rows = [result["rows"] for result in results]
            seconds.plot(rows, [result["seconds"] for result in results], marker="o", label=NAMES.get(name, name))
            memory.plot(rows, [result["peak_mib"] - result["start_mib"] for result in results], marker="o")
        for axes, label in ((seconds, "seconds"), (memory, "peak memory (MiB)")):
            axes.set(xscale="log", yscale="log", ylabel=label)
            axes.grid(True)
            plain_log_ticks(axes.yaxis)
        plain_log_ticks(memory.xaxis)
        memory.set(xlabel="rows")
        seconds.legend()
    save_png(figure, path)


if __name__ == "__main__":
    main()

"""How near `puma plan` comes to what studies take: each is planned, and run right after.

    OMP_NUM_THREADS=1 python benchmarks/planned.py config.yaml studies/digits-gate.yaml [--cores 2] [--seeds 0 1]

A study runs under another name, from nothing, and its results are deleted afterwards. Processor seconds are of all of
its jobs and of Snakemake; elapsed ones are of a wall clock, and mean something only where nothing else runs. The table
stands in docs/command-line.md.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from rounds import print_conditions, print_table

NAME = "planned-{}"


def main() -> None:
    """Print the table, a row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="+", type=Path)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the study's own")
    options = parser.parse_args()
    print_conditions()
    rows = []
    for study in options.studies:
        rows.append(row_of(study, options.cores, options.seeds))
        print(*rows[-1], file=sys.stderr, flush=True)
    times = ["planned, s", "took, s", "ratio"]
    print_table(["study", "jobs", *times, "elapsed: " + times[0], *times[1:], "MB: planned", "took"], rows)


def row_of(study: Path, cores: int, seeds: list[int] | None) -> list[str]:
    """Plan a study and run it."""
    described = yaml.safe_load(study.read_text(encoding="utf-8"))
    described["study"] = NAME.format(described["study"])
    described["seeds"] = seeds or described["seeds"]
    results = Path("results") / described["study"]
    shutil.rmtree(results, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / study.name
        path.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
        plan = planned(path, cores)
        seconds, elapsed = run(path, cores)
    files = [file.stat() for file in results.rglob("*") if file.is_file()]
    megabytes = sum({file.st_ino: file.st_size for file in files}.values()) / 1e6  # kept results are links
    shutil.rmtree(results)
    jobs = sum(stage["jobs"] for stage in plan["stages"])
    for stage in plan["stages"]:
        print(f"  {stage['rule']}: {stage['jobs']} jobs, {stage['seconds']:.1f} s", file=sys.stderr)
    return [
        f"`{study}`, {len(described['seeds'])} seeds",
        str(jobs),
        *compared(plan["seconds"], seconds),
        *compared(plan["elapsed_seconds"], elapsed),
        f"{plan['disk_bytes'] / 1e6:.1f}",
        f"{megabytes:.1f}",
    ]


def compared(plan: float, took: float) -> tuple[str, str, str]:
    """Return both, and their ratio."""
    return f"{plan:.0f}", f"{took:.0f}", f"{plan / took:.2f}"


def planned(study: Path, cores: int) -> dict[str, Any]:
    """Return what `puma plan` says."""
    command = [sys.executable, "-m", "pumalib", "plan", str(study), "--cores", str(cores), "--json"]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def run(study: Path, cores: int) -> tuple[float, float]:
    """Run a study; return its processor seconds, and those that elapsed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--configfile", str(study), "--quiet", "all"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, time.perf_counter() - began


if __name__ == "__main__":
    main()

"""What it brings that jobs keep the memory they free: gradients of images with and without, in processes of their own.

    OMP_NUM_THREADS=1 python benchmarks/freed_memory.py

To set glibc's thresholds ends their own adjustment for the rest of a process, so that none can go back and forth; the
processes take turns. Networks in eval mode, random images; time does not depend on what they show. Minor page faults
are those of one round. The table stands in docs/performance.md, with the date and the machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from statistics import median
from typing import Any

import torch
from rounds import print_conditions, print_table

from pumalib import ArchitectureSettings, build_model
from pumalib.jobs.devices import keep_freed_memory

CASES = (("convnet", (32, 32, 3), 128), ("convnet", (32, 32, 3), 512), ("resnet-18", (32, 32, 3), 64))
"""Network, shape of an image, and images at once."""
ROUNDS = 3


def gradients_a_second(name: str, shape: tuple[int, int, int], batch: int) -> dict[str, float]:
    """Return images per second of the best round, and what it took of the system."""
    model = build_model(ArchitectureSettings(name=name), shape, 10).eval().requires_grad_(False)
    images = torch.rand(batch, shape[2], *shape[:2], requires_grad=True)
    seconds, faults = [], []
    for _ in range(ROUNDS + 1):
        before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        torch.autograd.grad(model(images).sum(), images)
        seconds.append(time.perf_counter() - start)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before.ru_minflt)
    return {"rate": batch / min(seconds[1:]), "faults": median(faults[1:])}


def in_a_process(number: int, keeps: bool) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", str(number), *["--keep"] * keeps]
    result: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def run_one(number: int, keeps: bool) -> None:
    """Do one case in this process and print what it took."""
    torch.set_num_threads(1)
    if keeps:
        keep_freed_memory()
    result = gradients_a_second(*CASES[number])
    print(json.dumps({**result, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--processes", type=int, default=3, help="of each kind")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        run_one(options.one, options.keep)
        return
    torch.set_num_threads(1)
    print_conditions()
    rows = []
    for number, (name, shape, batch) in enumerate(CASES):
        results = [[in_a_process(number, keeps) for keeps in (False, True)] for _ in range(options.processes)]
        ratios = [kept["rate"] / given_back["rate"] for given_back, kept in results]
        cells = [
            f"{median(pair[kind][key] for pair in results):,.0f}"
            for key in ("rate", "faults", "peak_mib")
            for kind in (0, 1)
        ]
        title = f"{name}, {shape[0]} x {shape[1]}, {batch} at once"
        rows.append([title, *cells, f"{median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"])
    header = [f"{what}, {how}" for what in ("images / s", "faults", "MiB") for how in ("given back", "kept")]
    print_table(["network", *header, "gain"], rows)


if __name__ == "__main__":
    main()

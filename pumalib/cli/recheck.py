"""Ask a model again at the points that an attack kept.

Takes an attack table of `keep_points: true`. Says in one line at how many images the model is right and wrong as the
table says, when clean and at the point, and whether every point lies in the ball and in the pixel range (status 1 where
something does not hold).
"""

from __future__ import annotations

import argparse

from pumalib.cli.output import add_json, print_json
from pumalib.cli.paths import existing
from pumalib.errors import ArtifactError
from pumalib.evaluation.recheck import recheck
from pumalib.jobs.devices import resolve_device, use_precision
from pumalib.lineage.headers import read_header
from pumalib.lineage.links import input_path

EXAMPLES = (
    "recheck results/digits/attacks/puma-20/seed0/cw.h5",
    "recheck results/digits/attacks/puma-20/seed0/cw.h5 --device cpu --json",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the table and the device."""
    parser.add_argument("table", help="attack table with points, at its place in the results folder")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute (auto)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what the model says; status 1 if it contradicts the table, or if a point lies where it must not."""
    header = read_header(existing(options.table))
    if header.kind != "attack":
        raise ArtifactError(f"expected an attack table, got {header.noun} at {header.path}")
    model, dataset = (input_path(header, role) for role in ("model", "dataset"))
    use_precision(tf32=header.attributes.get("precision") == "tf32")  # as the attack asked the model
    found = recheck(header.path, model=model, dataset=dataset, device=resolve_device(options.device))
    if options.json:
        told = {
            "images": len(found.row),
            "agree": int(found.agrees.sum()),
            "differ_by_rounding": int((~found.agrees & found.is_near).sum()),
            "farthest": float(found.distance.max()),
            "norm": found.norm,
            "epsilon": found.epsilon,
            "problems": found.problems,
        }
        print_json({"table": header.path, "model": model, "dataset": dataset, **told})
    else:
        print(f"{header.path}: {found}")
    return 1 if found.problems else 0

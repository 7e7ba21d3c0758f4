"""How optimistic C&W-PGD is: AutoAttack on the models of studies that have run, on the same images.

    OMP_NUM_THREADS=1 python benchmarks/optimism.py results/STUDY/attacks/RUN/seed0/cw.h5 ... [--count 1000]

Each table names a model, a dataset and an epsilon; images that it attacked, in proportion to the classes, are attacked
again by AutoAttack. ± one standard error over images. Needs pyautoattack. The table stands in docs/reproduction.md.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from nets import settle
from rounds import print_conditions, print_table

from pumalib import ThreatSettings, evaluate
from pumalib.attacks.settings import AutoattackSettings
from pumalib.data.datasets import read_split
from pumalib.data.images import subset_rows
from pumalib.evaluation.table import read_attack
from pumalib.files.artifacts import open_artifact
from pumalib.lineage.headers import read_header
from pumalib.lineage.links import input_path
from pumalib.models.inputs import to_model_input
from pumalib.models.trained import load_trained


def attacked_again(path: Path, count: int) -> list[str]:
    """Return a row of the table."""
    table, header = read_attack(path), read_header(path)
    with open_artifact(path, "attack") as file:
        settings = json.loads(file.attrs["settings"])
    said = ThreatSettings.model_validate(settings["threat"])
    threat = ThreatSettings(norm=settings.get("norm") or said.norm, epsilon=settings.get("epsilon") or said.epsilon)
    split = read_split(input_path(header, "dataset"), table.split)
    places = subset_rows(table.label, count, "autoattack")
    rows, labels = table.row[places], table.label[places]
    model = load_trained(input_path(header, "model"), "cpu").model
    images = to_model_input(torch.from_numpy(split.take(rows).images[:]))
    began = time.process_time()
    found = evaluate(model, images, labels, AutoattackSettings(), threat=threat)
    seconds = time.process_time() - began
    withstood, withstands = (
        (table.adversarial_prediction == table.label)[places],
        found.adversarial_prediction == labels,
    )
    lost, won = float((withstood & ~withstands).mean()), float((~withstood & withstands).mean())
    error = math.sqrt((lost + won - (lost - won) ** 2) / len(rows))
    return [
        "/".join(path.parts[-5:-1]).replace("/attacks", ""),
        f"{settings['method']}, {settings.get('steps')} steps",
        f"{threat.epsilon:.4f}",
        f"{len(rows):,}",
        f"{100 * found.clean_accuracy:.1f}",
        f"{100 * withstood.mean():.1f}",
        f"{100 * withstands.mean():.1f}",
        f"{100 * (lost - won):.1f} ± {100 * error:.1f}",
        f"{100 * won:.1f}",
        f"{seconds:.0f}",
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("tables", nargs="+", type=Path)
    arguments.add_argument("--count", type=int, default=1000, help="images, in proportion to the classes")
    chosen = arguments.parse_args()
    settle(1)
    print_conditions("pyautoattack")
    rows = []
    for table in chosen.tables:
        rows.append(attacked_again(table, chosen.count))
        print(*rows[-1], flush=True)
    header = ["model", "attack", "epsilon", "images", "clean (%)", "robust (%)", "AutoAttack (%)"]
    print_table([*header, "too high by (points)", "only AutoAttack withstood (%)", "CPU s"], rows)


if __name__ == "__main__":
    main()

"""Wrong labels found by margins, beside cleanlab on the predictions of the same model for the same rows.

    python benchmarks/label_errors.py results/label-noise/scores/m10/seed*.h5 [...]

Each table names a pool whose wrong labels were planted (`label_noise`), and the margin model. Suspects are the rows
with a negative margin, and what cleanlab's `find_label_issues` returns as it comes. Average precision is of the whole
ranking. cleanlab wants predictions of rows that its model was not trained on; here both see those of the margin model,
which was. Means over the tables of a score ± standard deviation. Needs cleanlab. The table stands in
docs/wrong-labels.md.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from nets import settle
from numpy.typing import NDArray
from rounds import print_conditions, print_table
from sklearn.metrics import average_precision_score

from pumalib.inspection.pools import pool_of
from pumalib.inspection.suspects import MARGIN, find_suspects
from pumalib.lineage.headers import Header, read_header
from pumalib.lineage.links import input_path
from pumalib.models.inputs import to_model_input
from pumalib.models.trained import load_trained

RANKS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
FLAGGED = "find_label_issues"
_BATCH = 1000

Numbers = dict[str, tuple[float, ...]]


def probabilities_of(header: Header) -> NDArray[np.float64]:
    """Return what the margin model gives each class for each row of the pool, [N, K]."""
    model, images = load_trained(input_path(header, "model"), "cpu").model, pool_of(header).images
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), _BATCH):
            batch = to_model_input(torch.from_numpy(images[start : start + _BATCH]))
            parts.append(model(batch).double().softmax(1))
    found: NDArray[np.float64] = torch.cat(parts).numpy()
    return found


def measure(path: Path) -> Numbers:
    """Return suspects, precision, recall (nan for a ranking alone) and average precision of each method."""
    header = read_header(path)
    suspects = find_suspects(header)
    if suspects.is_wrong is None or not suspects.is_wrong.any():
        raise SystemExit(f"expected a pool with planted wrong labels, got none behind {path}; set label_noise")
    rows, wrong = suspects.rows, suspects.is_wrong
    probabilities = probabilities_of(header)[rows.rows]
    flagged = {
        "negative margin": np.isin(np.arange(len(wrong)), suspects.positions),
        FLAGGED: find_label_issues(rows.labels, probabilities, n_jobs=1),
    }
    scores = {"negative margin": -rows.values[MARGIN].astype(np.float64)}
    scores |= {name: -get_label_quality_scores(rows.labels, probabilities, method=name) for name in RANKS}
    unknown = (np.nan,) * 3
    found: Numbers = {name: (*_numbers(each, wrong), np.nan) for name, each in flagged.items()}
    for name, score in scores.items():
        found[name] = (*found.get(name, unknown)[:3], float(average_precision_score(wrong, score)))
    return found


def _numbers(found: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> tuple[float, float, float]:
    both = float((found & wrong).sum())
    return float(found.sum()), both / max(1, found.sum()), both / wrong.sum()


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("tables", nargs="+", type=Path)
    chosen = arguments.parse_args()
    settle(1)
    print_conditions("cleanlab")
    found: dict[str, list[Numbers]] = defaultdict(list)
    for path in chosen.tables:
        found[path.parent.name].append(measure(path))
    rows = [
        [f"{score}, {method}", *(_cell([each[method][column] for each in of_seeds], column) for column in range(4))]
        for score, of_seeds in found.items()
        for method in of_seeds[0]
    ]
    print_table(["", "suspects", "precision (%)", "recall (%)", "average precision (%)"], rows)


def _cell(values: list[float], column: int) -> str:
    if np.isnan(values[0]):
        return "-"
    factor, digits = (1, 0) if column == 0 else (100, 1)
    spread = f" ± {factor * statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{factor * statistics.mean(values):,.{digits}f}{spread}"


if __name__ == "__main__":
    main()

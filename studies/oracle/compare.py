"""How far margins through trained models are from true ones: a table of the study `oracle`, which must have run.

    python studies/oracle/compare.py results/oracle

Means over seeds, of the rows of each pool. `carried across`: rows on the right side of the true boundary whose epsilon
reaches beyond it, so that the attack may make another class of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy import stats

from pumalib.scores.table import read_scores
from pumalib.selection.epsilons import adaptive_epsilons

STUDY = yaml.safe_load(Path(__file__).parents[1].joinpath("oracle.yaml").read_text(encoding="utf-8"))
EPSILON = float(STUDY["threat"]["epsilon"])
CUT = float(STUDY["runs"]["puma-40"]["prune"][0]["fraction"])
ESTIMATORS = {"DeepFool": "margin", "refined": "refined", "fast margin": "fast", "the true margin": "exact"}
HEADER = ["pool", "margins", "Spearman", "mean, of the true mean", "mean difference", "other sign", "cut shared"]


def compared(found: NDArray[np.float32], exact: NDArray[np.float32]) -> list[float]:
    """Return what stands in a row of the table, of one seed."""
    count = round(CUT * len(exact))
    cuts = [set(np.argsort(-margins, kind="stable")[:count].tolist()) for margins in (found, exact)]
    epsilons, inside = adaptive_epsilons(found, EPSILON), exact > 0
    return [
        float(stats.spearmanr(found, exact).statistic),
        float(found.mean() / exact.mean()),
        float(np.abs(found - exact).mean() / np.abs(exact).mean()),
        float(((found > 0) != (exact > 0)).mean()),
        len(cuts[0] & cuts[1]) / count,
        float((inside & (epsilons > exact)).mean()),
        float((inside & (exact < EPSILON)).mean()),
    ]


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("results", type=Path)
    scores = arguments.parse_args().results / "scores"
    print("| " + " | ".join([*HEADER, "carried across, by these epsilons", "by the threat's epsilon"]) + " |")
    print("|:--|:--|" + "--:|" * 7)
    for pool, prefix in (("small", ""), ("large", "large-")):
        seeds = sorted(path.name for path in (scores / f"{prefix}exact").glob("seed*.h5"))
        for name, score in ESTIMATORS.items():
            tables = [
                [read_scores(scores / (prefix + each) / seed).score for each in (score, "exact")] for seed in seeds
            ]
            agreement, size, *shares = np.mean([compared(*pair) for pair in tables], axis=0)
            cells = [pool, name, f"{agreement:.3f}", f"{size:.2f}", *(f"{100 * share:.1f} %" for share in shares)]
            print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()

"""Two studies that have run, made by hand: one of digits with a comparison, a gate and a contrast, one with none."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import MadeResults

from pumalib.reporting.files import write_csv, write_text

SEEDS = (0, 1, 2, 3, 4)
PLAIN = np.array([[1, 0, 1, 0, 1, 0, 0, 0, 0, 0]] * 5)
BETTER = np.array([[1, 1, 1, 0, 1, 0, 0, 0, 0, 0]] * 4 + [[1, 1, 1, 1, 1, 0, 0, 0, 0, 0]])
PRIMARY = {"run": "puma", "against": "trades", "metric": "robust_accuracy", "attack": "cw", "margin": 0.5}


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with `results/one` and `results/two`; return it."""
    monkeypatch.chdir(tmp_path)
    one = MadeResults(tmp_path / "results/one")
    one.attack("trades", SEEDS, PLAIN)
    one.attack("puma", SEEDS, BETTER)
    one.collect()
    reports = {"table": {"kind": "comparison", "baseline": "trades"}}
    one.tell_settings(reports=reports, primary=PRIMARY, gate={"run": "trades"})
    write_csv(one.folder / "reports/table.csv", compared_by_hand())
    write_text(one.folder / "reports/gate.md", "**Gate passed.** No smaller epsilon beats `trades`.\n\n| a |")
    write_text(one.folder / "reports/primary.md", "**Primary contrast: better.** `puma` against `trades`.\n\nmore")
    write_text(one.folder / "README.md", "# one\n")
    two = MadeResults(tmp_path / "results/two")
    two.attack("puma", SEEDS[:3], PLAIN[:3])
    two.collect()
    two.tell_settings()
    return tmp_path


def compared_by_hand() -> pd.DataFrame:
    """Return the table of a comparison with numbers of one's own, as the page must repeat them."""
    rows = []
    for run, clean, robust in (("trades", None, None), ("puma", 0.0, 0.1234)):
        row: dict[str, str | float | None] = {"run": run}
        for metric, value, p_value in (("clean_accuracy", clean, 1.0), ("robust_accuracy_cw", robust, 0.01)):
            prefix = f"{metric}_minus_baseline"
            ends = (None, None) if value is None else (value - 0.05, value + 0.05)
            row |= {prefix: value, f"{prefix}_low": ends[0], f"{prefix}_high": ends[1], f"{metric}_num_seeds": 5}
            row |= {f"{prefix}_p": None if value is None else p_value}
        rows.append(row)
    return pd.DataFrame(rows)

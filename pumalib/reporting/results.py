"""Reading the results of runs and picking values from them, refusing what is missing or ambiguous."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pumalib.errors import DataError
from pumalib.files.frames import read_frame
from pumalib.results.collect import RunTables
from pumalib.setting_errors import nearest

_TEXT_COLUMNS = ("study", "run", "pool", "attack", "metric")
_NUMBER_COLUMNS = ("seed", "num_kept", "pruned_fraction", "mean_epsilon", "value", "num_samples")
RESULT_COLUMNS = (
    "study",
    "run",
    "seed",
    "pool",
    "num_kept",
    "pruned_fraction",
    "mean_epsilon",
    "attack",
    "metric",
    "value",
    "num_samples",
)
"""Columns of `results.csv`: one row per run, seed and (attack, metric)."""


MANY_NEGATIVE = 0.1
"""Share of negative epsilons among the kept rows above which a report warns. A choice of ours."""


class Metric(NamedTuple):
    """A metric as `results.csv` keys it: its name and the attack it was measured under."""

    name: str
    attack: str

    @property
    def column(self) -> str:
        """Prefix of this metric's columns, e.g. `robust_accuracy_cw`."""
        return self.name if self.attack == "none" else f"{self.name}_{self.attack}"

    @property
    def title(self) -> str:
        """Words for a heading, e.g. `robust accuracy (cw)`."""
        words = self.name.replace("_", " ")
        return words if self.attack == "none" else f"{words} ({self.attack})"


CLEAN_ACCURACY = Metric("clean_accuracy", "none")


def robust_accuracy(attack: str) -> Metric:
    """Return the metric of one attack."""
    return Metric("robust_accuracy", attack)


def read_results(path: Path) -> pd.DataFrame:
    """Read `results.csv`; names such as `null` or `7` stay the text they are."""
    types = dict.fromkeys(_TEXT_COLUMNS, "str")
    missing = {column: ["", "nan", "NaN"] for column in _NUMBER_COLUMNS}
    results = read_frame(path, "results", dtype=types, keep_default_na=False, na_values=missing)
    check_results(results)
    return results


def check_results(results: pd.DataFrame) -> None:
    """Refuse missing columns, values outside [0, 1] and repeated rows.

    Raises:
        DataError: If the frame is not one study's tidy results.
    """
    absent = [column for column in RESULT_COLUMNS if column not in results]
    if absent:
        raise DataError(f"expected the columns {', '.join(RESULT_COLUMNS)}, but lacks {', '.join(absent)}")
    outside = results[~results["value"].between(0, 1)]
    if len(outside):
        raise DataError(f"expected values in [0, 1], got {outside['value'].iloc[0]} in {_place(outside)}")
    repeated = results[results.duplicated(["run", "seed", "attack", "metric"])]
    if len(repeated):
        raise DataError(f"expected one row per run, seed, attack and metric, got two for {_place(repeated)}")


def refuse_unequal_test_sets(results: pd.DataFrame, runs: Sequence[str]) -> None:
    """Refuse to compare runs that were measured on different numbers of images for one seed and metric."""
    chosen = results[results["run"].isin(list(runs))]
    num_sizes = chosen.groupby(["seed", "attack", "metric"])["num_samples"].transform("nunique")
    if (num_sizes > 1).any():
        place = _place(chosen[num_sizes > 1])
        raise DataError(f"expected the same num_samples for all compared runs, got several, one at {place}")


def _place(rows: pd.DataFrame) -> str:
    row = rows.iloc[0]
    return f'run "{row["run"]}", seed {row["seed"]}, attack "{row["attack"]}", metric "{row["metric"]}"'


def chosen_runs(results: pd.DataFrame, runs: Sequence[str] | None, *references: str | None) -> list[str]:
    """Return the runs of a report in its order (None: all, as in the file); check that references exist."""
    known = list(dict.fromkeys(results["run"]))
    wanted = known if runs is None else list(runs)
    _refuse_unknown("run", [*wanted, *(run for run in references if run is not None)], known)
    return wanted


def chosen_attacks(results: pd.DataFrame, attacks: Sequence[str] | None) -> list[str]:
    """Return the attacks of a report in its order (None: those that every run has, as in the file)."""
    runs_by_attack = results.groupby("attack", sort=False)["run"].nunique().drop("none", errors="ignore")
    if attacks is None:
        return [str(attack) for attack in runs_by_attack.index[runs_by_attack == results["run"].nunique()]]
    _refuse_unknown("attack", attacks, list(runs_by_attack.index))
    return list(attacks)


def _refuse_unknown(word: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise DataError(f'the results have no {word} "{name}"{nearest(name, known)}')


def rows_of(results: pd.DataFrame, run: str, metric: Metric) -> pd.DataFrame:
    """Return the rows of one run and metric, one per seed, in the order of seeds.

    Raises:
        DataError: If the run was not measured so.
    """
    is_wanted = (results["run"] == run) & (results["metric"] == metric.name) & (results["attack"] == metric.attack)
    if not is_wanted.any():
        raise DataError(f'the results have no {metric.title} of run "{run}"; evaluate this run first')
    return results[is_wanted].sort_values("seed")


def values_by_seed(results: pd.DataFrame, run: str, metric: Metric) -> dict[int, float]:
    """Return one value in [0, 1] per seed of a run."""
    rows = rows_of(results, run, metric)
    return {int(seed): float(value) for seed, value in zip(rows["seed"], rows["value"], strict=True)}


def imported_notes(tables: Sequence[RunTables]) -> list[str]:
    """Return what numbers of models trained elsewhere mean; none: there are no such models."""
    names = dict.fromkeys(found.entry.run for found in tables if found.selection is None)
    return imported_sentences(list(names))


def imported_sentences(runs: Sequence[str]) -> list[str]:
    """Return what the seeds of models trained elsewhere are; none: there are no such models."""
    if not runs:
        return []
    named = ", ".join(f"`{run}`" for run in runs)
    return [
        f"Trained elsewhere: {named}. Each is one model, whatever the seed. Its spread over seeds is that of the test "
        "images and of the attacks' random starts, not of trainings. A difference to it is a difference to this one "
        "model, not to the method that trained it. Nothing here tells whether it has seen the test images."
    ]


def negative_epsilon_warnings(tables: Sequence[RunTables]) -> list[str]:
    """Return a warning that names the runs, with the largest share over seeds; none: nothing to warn of."""
    shares: dict[str, float] = {}
    for found in tables:
        if found.selection is None:
            continue
        share = float((found.selection.epsilons < 0).mean())
        shares[found.entry.run] = max(shares.get(found.entry.run, 0.0), share)
    many = [f"`{run}` ({100 * share:.1f} %)" for run, share in shares.items() if share > MANY_NEGATIVE]
    if not many:
        return []
    return [
        f"**Warning:** more than {100 * MANY_NEGATIVE:g} % of the rows kept have a negative epsilon in "
        f"{', '.join(many)}: wrong labels, or a margin model that is often wrong. PUMA perturbs these rows toward "
        "their label, which cost robustness where labels were wrong: check the labels before trusting these runs."
    ]

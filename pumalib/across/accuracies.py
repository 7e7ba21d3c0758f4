"""The accuracies of a results file, and what the attack tables beside it know of the images behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pumalib.errors import ArtifactError, DataError
from pumalib.evaluation.table import read_attack
from pumalib.lineage.chain import chain_links
from pumalib.lineage.headers import Header, read_header
from pumalib.lineage.links import Link
from pumalib.lineage.results_line import table_of
from pumalib.reporting.estimates import Estimate
from pumalib.reporting.figures import NORM_NAMES
from pumalib.reporting.needs import overlap_of_fractions
from pumalib.reporting.outcomes import Answers, Outcomes
from pumalib.reporting.results import CLEAN_ACCURACY, Metric, read_results, rows_of

_NOT_THE_ATTACK = ("seed", "batch_size", "keep_points", "runs", "threat", "norm", "epsilon", "num_images", "split")
"""Settings in the header of an attack table that are no part of how strong it is, or that are told apart from it."""


class Threat(NamedTuple):
    """The ball that an attack stays in."""

    norm: str
    epsilon: float

    def __str__(self) -> str:
        """Spell it, such as `L-inf 0.1`."""
        return f"{NORM_NAMES.get(self.norm, self.norm)} {self.epsilon:.4g}"


@dataclass(frozen=True)
class AnsweredTable:
    """An attack table behind an accuracy.

    Attributes:
        answers: whether the model was right about each image.
        header: what the file says about itself.
        dataset: the file that the images are from, and the fingerprint of its split.
        model: the weights that were attacked; None: not known.
    """

    answers: Answers
    header: Header
    dataset: Link
    model: Path | None

    @property
    def split(self) -> str:
        """The split that was attacked."""
        return str(self.header.attributes["split"])

    @property
    def threat(self) -> Threat:
        """The ball that was searched."""
        settings = self.header.settings
        norm, epsilon = (settings.get(key) or settings["threat"][key] for key in ("norm", "epsilon"))
        return Threat(str(norm), float(epsilon))

    @property
    def attack(self) -> dict[str, Any]:
        """The settings that tell how strong the attack is."""
        return {key: value for key, value in self.header.settings.items() if key not in _NOT_THE_ATTACK}

    def is_of_same_images(self, other: AnsweredTable) -> bool:
        """Whether both are of the same rows of the same split, by its recorded content."""
        is_same_split = bool(self.dataset.recorded) and self.dataset.recorded == other.dataset.recorded
        return is_same_split and self.answers.is_of_same_images(other.answers)


@dataclass(frozen=True)
class Accuracy:
    """An accuracy of a run over its seeds.

    Attributes:
        run, metric: which.
        values: by seed, shares in [0, 1].
        tables: what is behind them, by seed; None: not every attack table is there.
        missing: what is not there; empty: nothing.
    """

    run: str
    metric: Metric
    values: Mapping[int, float]
    tables: Mapping[int, AnsweredTable] | None
    missing: str = ""

    @property
    def any_table(self) -> AnsweredTable | None:
        """The table of one seed."""
        return None if not self.tables else next(iter(self.tables.values()))

    @property
    def threat(self) -> Threat | None:
        """The ball that was searched; None: not known, or clean accuracy."""
        table = self.any_table
        return None if table is None or self.metric == CLEAN_ACCURACY else table.threat

    @property
    def split(self) -> str:
        """The split that was looked at; empty: not known."""
        return "" if self.any_table is None else self.any_table.split

    @property
    def is_of_one_test_set(self) -> bool:
        """Whether all seeds were measured on the same images."""
        tables = list((self.tables or {}).values())
        return all(tables[0].is_of_same_images(each) for each in tables)

    @cached_property
    def test_to_train(self) -> float | None:
        """Rows of the split over train rows where each seed has a split of its own; None: one test set for all.

        Raises:
            DataError: the dataset that would tell is not there.
        """
        table = self.any_table
        if table is None or self.is_of_one_test_set:
            return None
        path = table.dataset.path
        if path is None or not path.is_file():
            raise DataError(f"the dataset behind {table.header.path} is not there")
        settings = read_header(path).settings
        test, validation, held_out = (
            float(settings.get(f"{name}_fraction", 0)) for name in ("test", "validation", "held_out")
        )
        return overlap_of_fractions(test, validation, held_out, table.split)

    def answers(self) -> dict[int, Answers]:
        """Return the answers by seed."""
        return {seed: table.answers for seed, table in (self.tables or {}).items()}

    def mean(self) -> Estimate:
        """Estimate the accuracy by the project's own variance.

        Raises:
            DataError: the design of the seeds is not known.
        """
        outcomes = Outcomes({(self.run, self.metric): self.answers()}, self.test_to_train)
        return outcomes.mean(self.run, self.metric)


@dataclass(frozen=True)
class Side:
    """One of the two results that are compared.

    Attributes:
        path: of results.csv.
        results: its lines.
    """

    path: Path
    results: pd.DataFrame

    @property
    def runs(self) -> list[str]:
        """Its runs, in order."""
        return [str(run) for run in dict.fromkeys(self.results["run"])]

    def metrics_of(self, run: str) -> list[Metric]:
        """Return what a run was measured by, in order."""
        lines = self.results[self.results["run"] == run]
        pairs = zip(lines["metric"], lines["attack"], strict=True)
        return [Metric(str(metric), str(attack)) for metric, attack in dict.fromkeys(pairs)]

    def seeds_of(self, run: str) -> set[int]:
        """Return the seeds of a run."""
        return {int(seed) for seed in self.results.loc[self.results["run"] == run, "seed"]}

    def of_seeds(self, run: str, seeds: set[int]) -> Side:
        """Return the same results, of a run with some of its seeds alone."""
        is_left_out = (self.results["run"] == run) & ~self.results["seed"].isin(sorted(seeds))
        return Side(self.path, self.results[~is_left_out])

    def accuracy(self, run: str, metric: Metric) -> Accuracy:
        """Read an accuracy of a run and the attack tables behind it.

        Raises:
            ArtifactError: a table that is damaged, or that gives another number than results.csv has.
        """
        lines = rows_of(self.results, run, metric)
        values = {int(seed): float(value) for seed, value in zip(lines["seed"], lines["value"], strict=True)}
        tables: dict[int, AnsweredTable] = {}
        for seed, value in values.items():
            path = self._table_path(run, seed, metric)
            if path is None or not path.is_file():
                return Accuracy(run, metric, values, None, str(path or self.path.parent / f"attacks/{run}/seed{seed}"))
            tables[seed] = _read_table(path, metric)
            found = float(tables[seed].answers.correct.mean())
            if not np.isclose(found, value, rtol=1e-9, atol=0):
                raise ArtifactError(
                    f"expected {metric.title} {found:.6g} of {run}, seed {seed}, as {path} gives it, got {value:.6g} "
                    f"in {self.path}; run the study again"
                )
        return Accuracy(run, metric, values, tables)

    def _table_path(self, run: str, seed: int, metric: Metric) -> Path | None:
        line = {"run": run, "seed": str(seed), "attack": metric.attack}
        try:
            return table_of(self.path.parent, line)
        except ArtifactError:
            if (self.path.parent / "attacks" / run / f"seed{seed}").is_dir():
                raise
            return None


def read_side(path: Path) -> Side:
    """Read a results file.

    Raises:
        ArtifactError: missing, changed, or another table.
    """
    try:
        results = read_results(path)
    except DataError as error:
        raise ArtifactError(f"expected results.csv of a study at {path}: {error}") from None
    if results.empty:
        raise ArtifactError(f"expected results.csv of a study, got a table without a line at {path}")
    return Side(path, results)


def _read_table(path: Path, metric: Metric) -> AnsweredTable:
    table, header = read_attack(path), read_header(path)
    prediction = table.clean_prediction if metric == CLEAN_ACCURACY else table.adversarial_prediction
    clean = table.clean_prediction == table.label
    answers = Answers(table.row, table.label, prediction == table.label, clean)
    links = {link.role.split(" ")[0]: link for link in chain_links(header)}
    if "dataset" not in links:
        raise ArtifactError(f"expected a dataset among the inputs of {path}, found none; make it again")
    return AnsweredTable(answers, header, links["dataset"], links["model"].path if "model" in links else None)

"""Which test images each run had right, with each seed, and the estimates that follow.

Reports read the attack tables themselves: the variance of a difference needs every image of both runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.evaluation.table import StoredAttack
from pumalib.reporting.estimates import Estimate, crossed, resampled_mean
from pumalib.reporting.results import (
    CLEAN_ACCURACY,
    Metric,
    check_results,
    imported_notes,
    negative_epsilon_warnings,
    robust_accuracy,
)
from pumalib.results.collect import RunFiles, RunTables, read_tables, tidy_results


@dataclass(frozen=True)
class Answers:
    """Whether a model was right about each test image.

    Attributes:
        row: [I], numbers of the images in the split.
        label: [I].
        correct: [I] bool.
        clean: [I] bool, whether it was right about the clean image; the same as `correct` of clean accuracy.
    """

    row: NDArray[np.int64]
    label: NDArray[np.int64]
    correct: NDArray[np.bool_]
    clean: NDArray[np.bool_]

    def is_of_same_images(self, other: Answers) -> bool:
        """Whether both are of the same images, in the same order."""
        return np.array_equal(self.row, other.row) and np.array_equal(self.label, other.label)


@dataclass(frozen=True)
class Outcomes:
    """The answers of some runs of a study.

    Attributes:
        answers: by run and metric, then by seed.
        test_to_train: test rows over train rows where each seed has a split of its own; None: one test set for all.
    """

    answers: Mapping[tuple[str, Metric], Mapping[int, Answers]]
    test_to_train: float | None

    def mean(self, run: str, metric: Metric) -> Estimate:
        """Estimate an accuracy, a share in [0, 1].

        Raises:
            DataError: no such answers, or seeds with other images where they share a test set.
        """
        answers = self.of(run, metric)
        return self.estimate({seed: each.correct for seed, each in answers.items()}, f'run "{run}", {metric.title}', 0)

    def difference(self, run: str, reference: str, metric: Metric) -> Estimate:
        """Estimate by how much a run is more accurate than another, paired by seed and image.

        Raises:
            DataError: no such answers, a seed on one side only, or other images on one side.
        """
        where = f'run "{run}" against "{reference}", {metric.title}'
        one, other = self.of(run, metric), self.of(reference, metric)
        refuse_unpaired_seeds(one, other, where)
        for seed, answers in one.items():
            if not answers.is_of_same_images(other[seed]):
                raise DataError(f"expected the same test images on both sides of {where}, got others with seed {seed}")
        values = {seed: answers.correct - np.float64(other[seed].correct) for seed, answers in one.items()}
        return self.estimate(values, where, -1)

    def of(self, run: str, metric: Metric) -> Mapping[int, Answers]:
        """Return the answers of a run by seed.

        Raises:
            DataError: there are none, or seeds that share a test set have answers about other images.
        """
        if (run, metric) not in self.answers:
            raise DataError(f'the results have no {metric.title} of run "{run}"; evaluate this run first')
        answers = self.answers[run, metric]
        first = next(iter(answers.values()))
        if self.test_to_train is None and not all(first.is_of_same_images(each) for each in answers.values()):
            raise DataError(
                f'expected one test set for all seeds of run "{run}", {metric.title}, got others; '
                "make its attack tables again"
            )
        return answers

    def estimate(
        self, values: Mapping[int, NDArray[np.generic]], where: str, lowest: float, highest: float = 1
    ) -> Estimate:
        """Estimate the mean of a value of each image [I], by seed, as the seeds' test sets ask for."""
        if min(len(each) for each in values.values()) < 2:
            raise DataError(f"expected at least 2 test images for {where}, got fewer")
        columns = [np.asarray(each, np.float64) for each in values.values()]
        if self.test_to_train is None:
            if len({len(column) for column in columns}) > 1:
                raise DataError(f"expected as many images with every seed for {where}, got others; attack them again")
            return crossed(np.stack(columns), lowest, highest)
        smallest = min(len(column) for column in columns)
        means = [float(column.mean()) for column in columns]
        return resampled_mean(means, self.test_to_train, smallest, lowest, highest)


class Measured(NamedTuple):
    """What the files of a report's runs hold."""

    results: pd.DataFrame
    outcomes: Outcomes
    warnings: list[str]


def read_runs(study: str, files: Sequence[RunFiles], test_to_train: float | None) -> Measured:
    """Read the results of some runs, their answers, and warnings that a page over them needs."""
    tables = [read_tables(entry) for entry in files]
    results = tidy_results(study, tables)
    check_results(results)
    notes = [*imported_notes(tables), *negative_epsilon_warnings(tables)]
    return Measured(results, outcomes_of(tables, test_to_train), notes)


def outcomes_of(tables: Sequence[RunTables], test_to_train: float | None) -> Outcomes:
    """Return the answers in tables that were read, seeds ascending."""
    answers: dict[tuple[str, Metric], dict[int, Answers]] = {}
    for found in sorted(tables, key=lambda each: each.entry.seed):
        run, seed = found.entry.run, found.entry.seed
        clean = found.clean
        answers.setdefault((run, CLEAN_ACCURACY), {})[seed] = _answers(clean, clean.clean_prediction)
        for name, table in found.attacks.items():
            if table.method != "clean":
                answers.setdefault((run, robust_accuracy(name)), {})[seed] = _answers(
                    table, table.adversarial_prediction
                )
    return Outcomes(answers, test_to_train)


def _answers(table: StoredAttack, prediction: NDArray[np.int64]) -> Answers:
    return Answers(table.row, table.label, prediction == table.label, table.clean_prediction == table.label)


def refuse_unpaired_seeds(one: Mapping[int, object], other: Mapping[int, object], where: str) -> None:
    """Refuse a seed that only one side of a comparison has.

    Raises:
        DataError: with the seeds that lack.
    """
    for seeds, side in ((other.keys() - one.keys(), "run"), (one.keys() - other.keys(), "baseline")):
        if seeds:
            raise DataError(
                f"{where}: expected the same seeds on both sides, but the {side} lacks seed "
                f"{', '.join(map(str, sorted(seeds)))}; train and attack it with these seeds too"
            )

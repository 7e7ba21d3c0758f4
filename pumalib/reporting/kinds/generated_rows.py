"""What generated rows turned out to be: margins asked and got, labels denied, copies of train rows, and diversity.

All of it is measured by a second model, which had no part in making them: `reporting.checks` says which may.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pumalib.data.datasets import read_split
from pumalib.data.image_readers import read_all
from pumalib.data.images import stratified_rows
from pumalib.data.pool import REAL, SYNTHETIC, Pool, open_pool
from pumalib.files.artifacts import open_artifact, read_array
from pumalib.randomness import numpy_generator
from pumalib.reporting.kinds.generated_rows_figure import draw
from pumalib.reporting.kinds.generated_rows_measures import (
    RealImages,
    Scored,
    asked_columns,
    image_columns,
    margin_columns,
)
from pumalib.reporting.kinds.generated_rows_page import page
from pumalib.reporting.margin_counts import extrapolation_notes
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.generated_rows import GeneratedRowsSettings
from pumalib.scores.table import ScoreTable, read_scores
from pumalib.synthesis.asked import Band, band_of
from pumalib.synthesis.margins import read_margins, sorted_margins
from pumalib.synthesis.quality import nearest_distances


@dataclass(frozen=True)
class AskedFile:
    """The margins that a set was asked to have, and those that its generator learned."""

    above: float | None
    below: float | None
    score: Path


@dataclass(frozen=True)
class SetFiles:
    """What one set is measured from: its pool, scores of it by one or two models, and what was asked; None: nothing."""

    name: str
    pool: Path
    score: Path
    labels_by: Path | None
    asked: AskedFile | None


@dataclass(frozen=True)
class SeedFiles:
    """The dataset and every set of one seed."""

    seed: int
    dataset: Path
    sets: Sequence[SetFiles]


def make(settings: GeneratedRowsSettings, *, files: Sequence[SeedFiles], dataset: str) -> ReportParts:
    """Make the report.

    Args:
        settings: of the report.
        files: of each seed.
        dataset: name of the dataset of all sets.

    Raises:
        ArtifactError: a damaged file, or a score of another pool.
        DataError: a pool without scored rows of both sources, or too few train rows for the neighbours.
    """
    notes: dict[str, None] = {}
    table = pd.DataFrame([row for each in files for row in _rows_of_seed(each, settings, dataset, notes)])
    return generated_parts(table, settings, list(notes))


def generated_parts(table: pd.DataFrame, settings: GeneratedRowsSettings, notes: Sequence[str] = ()) -> ReportParts:
    """Return the numbers, the figure and the page; the table has a row per set and seed, the train rows first."""
    title = "Generated rows, measured by a second model"
    return ReportParts(table, draw(table), title, page(table, settings, notes))


@dataclass(frozen=True)
class _Seed:
    """What every set of one seed is held against: real images, train rows and the plain set; and how many of a set."""

    files: SeedFiles
    settings: GeneratedRowsSettings
    real: RealImages
    train: Scored
    plain: Scored | None
    count: int

    def row_of(self, each: SetFiles, pool: Pool, mine: Scored) -> dict[str, Any]:
        """Return all that is measured of one set."""
        asked, seed = each.asked, self.files.seed
        band = None if asked is None else self._band(asked)
        drawn = stratified_rows(mine.labels, self.count, numpy_generator(seed, "measured rows"))
        images = pool.images[np.flatnonzero(pool.source == SYNTHETIC)[drawn]]
        generator = numpy_generator(seed, "neighbours of a class")
        return {
            **{"set": each.name, "source": "synthetic", "seed": seed},
            **margin_columns(mine),
            **{"asked_above": _bound(asked, "above"), "asked_below": _bound(asked, "below")},
            **asked_columns(mine, band, self.plain),
            **image_columns(images, mine.labels[drawn], self.real, self.settings.neighbours, generator),
        }

    def _band(self, asked: AskedFile) -> Band:
        margins, _ = read_margins(asked.score, self.files.dataset)
        return band_of(asked.above, asked.below, sorted_margins(margins), self.train.known)


def _rows_of_seed(
    files: SeedFiles, settings: GeneratedRowsSettings, dataset: str, notes: dict[str, None]
) -> list[dict[str, Any]]:
    pools = [open_pool(each.pool) for each in files.sets]
    pairs = list(zip(files.sets, pools, strict=True))
    scored = [_scored(each, pool, SYNTHETIC, notes) for each, pool in pairs]
    train = _scored(files.sets[0], pools[0], REAL, notes)
    plain = None if settings.plain is None else scored[settings.scores.index(settings.plain)]
    count = min(settings.count, *(len(each.labels) for each in scored))
    seed = _Seed(files, settings, _real_images(files, settings), train, plain, count)
    first = {"set": dataset, "source": "real", "seed": files.seed, **margin_columns(train)}
    return [first, *(seed.row_of(each, pool, mine) for (each, pool), mine in zip(pairs, scored, strict=True))]


def _bound(asked: AskedFile | None, which: str) -> float:
    bound = None if asked is None else getattr(asked, which)
    return math.nan if bound is None else float(bound)


def _real_images(files: SeedFiles, settings: GeneratedRowsSettings) -> RealImages:
    train, test = (read_split(files.dataset, split) for split in ("train", "test"))
    drawn, tested = (
        stratified_rows(
            each.labels, min(settings.count, len(each.labels)), numpy_generator(files.seed, "real rows", name)
        )
        for name, each in (("train", train), ("test", test))
    )
    images = read_all(train.images)
    return RealImages(images, train.labels, drawn, nearest_distances(read_all(test.images)[tested], images))


def _scored(files: SetFiles, pool: Pool, source: int, notes: dict[str, None]) -> Scored:
    rows = np.flatnonzero(pool.source == source)
    table = read_scores(files.score, pool.fingerprint)
    notes |= dict.fromkeys(extrapolation_notes(files.name, table))
    margins = np.where(table.valid, table.score, np.float32(np.nan))[rows]
    other = None if files.labels_by is None else _denied(read_scores(files.labels_by, pool.fingerprint), pool.labels)
    is_asked = source == SYNTHETIC and files.asked is not None
    return Scored(
        pool.labels[rows],
        margins,
        _denied(table, pool.labels)[rows],
        None if other is None else other[rows],
        _asked_of_each(pool) if is_asked else None,
    )


def _denied(table: ScoreTable, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return 1 where the model gives a row another class than its label, else 0; nan where it was not scored."""
    predictions = table.columns.get("prediction")
    denied = table.score < 0 if predictions is None else predictions != labels
    return np.where(table.valid, denied, np.nan).astype(np.float32)


def _asked_of_each(pool: Pool) -> NDArray[np.float32]:
    (part,) = [each for each in pool.parts if each.kind == "synthetic"]
    with open_artifact(part.path, "synthetic") as file:
        return read_array(file, "asked_margin", np.float32)

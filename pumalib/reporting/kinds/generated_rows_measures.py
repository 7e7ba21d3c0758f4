"""What is measured of generated rows: their margins beside those asked, denied labels, copies and diversity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.reporting.statistics import rank_correlation
from pumalib.synthesis.asked import Band
from pumalib.synthesis.diversity import density_and_coverage, expected_coverage, neighbour_ratio
from pumalib.synthesis.quality import count_copies, nearest_distances

QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


@dataclass(frozen=True)
class Scored:
    """Rows and their margins by the second model.

    Attributes:
        labels: [M] int64.
        margins: [M] float32, pixel scale; nan where a row was not scored.
        denied: [M] float32, 1 where the second model gives a row another class than its label, else 0; nan where it was
            not scored.
        denied_by_other: [M] the same of another classifier; None: there is none.
        asked: [M] float32 margin that was asked of each row; None: none was.
    """

    labels: NDArray[np.int64]
    margins: NDArray[np.float32]
    denied: NDArray[np.float32]
    denied_by_other: NDArray[np.float32] | None = None
    asked: NDArray[np.float32] | None = None

    @property
    def known(self) -> NDArray[np.float32]:
        """The margins of the rows that were scored, [K]."""
        return self.margins[~np.isnan(self.margins)]


def margin_columns(rows: Scored) -> dict[str, float]:
    """Return how many rows there are, quantiles of their margins, and shares of labels that the models deny.

    Raises:
        DataError: no row was scored.
    """
    if not len(rows.known):
        raise DataError("expected margins of one or more rows of each source, got none; score the whole pool")
    quantiles = np.quantile(rows.known.astype(np.float64), QUANTILES)
    other = math.nan if rows.denied_by_other is None else float(np.nanmean(rows.denied_by_other))
    return {
        "num_rows": len(rows.labels),
        **{f"margin_{name:g}": float(value) for name, value in zip(QUANTILES, quantiles, strict=True)},
        "denied": float(np.nanmean(rows.denied)),
        "denied_by_other": other,
    }


def asked_columns(rows: Scored, band: Band | None, plain: Scored | None) -> dict[str, float]:
    """Return what was asked of some rows, and how far it came: nan for nothing.

    Args:
        rows: of the set.
        band: that was asked; None: nothing was.
        plain: rows of a set that was asked for nothing, to compare with; None: none.
    """
    keys = ("asked_from", "asked_to", "band_low", "band_high", "within", "plain_within", "asked_correlation")
    if band is None:
        return dict.fromkeys(keys, math.nan)
    others = math.nan if plain is None else band.share_of(plain.known)
    scored = ~np.isnan(rows.margins)
    correlation = math.nan if rows.asked is None else rank_correlation(rows.asked[scored], rows.margins[scored])
    return dict(zip(keys, (*band, band.share_of(rows.known), others, correlation), strict=True))


@dataclass(frozen=True)
class RealImages:
    """The real images of one seed that generated ones are held against.

    Attributes:
        train: [N, H, W, C] every train row.
        labels: [N].
        drawn: [R] those of them that balls are drawn around.
        test: [T] L2 distance of test rows to the nearest train row, pixel scale.
    """

    train: NDArray[np.uint8]
    labels: NDArray[np.int64]
    drawn: NDArray[np.int64]
    test: NDArray[np.float32]


def image_columns(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    real: RealImages,
    neighbours: int,
    generator: np.random.Generator,
) -> dict[str, float]:
    """Return copies and diversity of some generated images [M, H, W, C] and their labels [M]."""
    distances = nearest_distances(images, real.train)
    copies = count_copies(distances, real.test)
    drawn = real.train[real.drawn]
    found = density_and_coverage(drawn, images, neighbours)
    return {
        "num_measured": len(images),
        "num_copies": copies.num_copies,
        "nearer": copies.num_nearer / len(images),
        "median_distance": float(np.median(distances)),
        "test_median_distance": float(np.median(real.test)),
        "density": found.density,
        "coverage": found.coverage,
        "expected_coverage": expected_coverage(len(drawn), len(images), neighbours),
        "neighbour_ratio": neighbour_ratio(drawn, real.labels[real.drawn], images, labels, generator),
    }

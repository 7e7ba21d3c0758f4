"""How near synthetic images lie to train images, beside held-out images: does the generator copy?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pumalib.data.datasets import read_split
from pumalib.data.image_readers import read_all
from pumalib.data.pool import SYNTHETIC, open_pool
from pumalib.reporting.figures import COLUMN_WIDTH_INCHES, figure_style, new_figure
from pumalib.reporting.histograms import binned, draw_shares, shared_edges
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.nearest_neighbours import NearestNeighboursSettings
from pumalib.synthesis.quality import count_copies, nearest_distances

QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


def distance_quantiles(synthetic: NDArray[np.float32], held_out: NDArray[np.float32]) -> pd.DataFrame:
    """Return the columns quantile, synthetic, held_out."""
    groups = {"synthetic": synthetic, "held_out": held_out}
    values = {name: np.quantile(each.astype(np.float64), QUANTILES) for name, each in groups.items()}
    return pd.DataFrame({"quantile": QUANTILES, **values})


def draw_nearest_neighbours(synthetic: NDArray[np.float32], held_out: NDArray[np.float32]) -> Figure:
    """Draw both histograms of distances as shares, with a line at the 1 % quantile of held-out rows."""
    counts = count_copies(synthetic, held_out)
    groups = {"held_out": held_out, "synthetic": synthetic}
    table = binned(groups, shared_edges(groups.values(), [counts.near_distance]))
    names = {
        "held_out": f"{len(held_out)} test rows",
        "synthetic": f"{len(synthetic)} synthetic rows",
    }
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 2.5)
        draw_shares(axes, table, names)
        axes.axvline(
            counts.near_distance,
            color="#404040",
            linestyle=(0, (1, 1.5)),
            linewidth=0.9,
            label="1 % quantile of test rows",
        )
        axes.set_xlabel("L2 distance to the nearest train image (pixel scale)")
        axes.margins(x=0)
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def nearest_neighbours_caption(synthetic: NDArray[np.float32], held_out: NDArray[np.float32]) -> str:
    """Return the share of suspiciously near synthetic rows and the number of exact copies."""
    counts = count_copies(synthetic, held_out)
    share = 100 * counts.num_nearer / len(synthetic)
    return "\n\n".join(
        [
            f"L2 distance (pixel scale) to the nearest real train image, of {len(synthetic)} synthetic rows "
            f"and of {len(held_out)} test rows, which the generator never saw. The drawn range "
            "leaves out at most half a per cent of either at each end.",
            f"Synthetic rows nearer than the 1 % quantile of test rows "
            f"({counts.near_distance:.4g}): {counts.num_nearer} ({share:.2f} %). About 1 % is what a "
            "generator that samples as the data do would give; much more means that it repeats train "
            "images, or that its images are smoother than real ones.",
            f"Exact copies of a train image (distance 0): {counts.num_copies} synthetic rows, "
            f"{counts.num_held_out_copies} test rows.",
        ]
    )


def make(settings: NearestNeighboursSettings, *, pool: Path, dataset: Path) -> ReportParts:
    """Make the figure from a pool.

    Args:
        settings: of the report.
        pool: pool file.
        dataset: dataset file; its test rows, which no generator saw, are the comparison.
    """
    opened = open_pool(pool)
    train = read_all(read_split(dataset, "train").images)
    synthetic = nearest_distances(opened.images[np.flatnonzero(opened.source == SYNTHETIC)], train)
    held_out = nearest_distances(read_all(read_split(dataset, "test").images), train)
    return neighbours_parts(synthetic, held_out)


def neighbours_parts(synthetic: NDArray[np.float32], held_out: NDArray[np.float32]) -> ReportParts:
    """Return the figure of both, their quantiles and the caption; arguments as in `count_copies`."""
    return ReportParts(
        distance_quantiles(synthetic, held_out),
        draw_nearest_neighbours(synthetic, held_out),
        "Distances to the nearest train image",
        nearest_neighbours_caption(synthetic, held_out),
    )

"""The page of what generated rows turned out to be: what was measured, in tables, from the table of the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd

from pumalib.reporting.files import markdown_table
from pumalib.reporting.kinds.generated_rows_figure import Sets, sets_of
from pumalib.reporting.settings.generated_rows import GeneratedRowsSettings
from pumalib.reporting.statistics import FEW_SEEDS_WARNING, MIN_SEEDS_FOR_CLAIM, summarise


def page(table: pd.DataFrame, settings: GeneratedRowsSettings, notes: Sequence[str] = ()) -> str:
    """Return the numbers as tables, mean ± standard deviation over seeds, and what they are.

    Args:
        table: of the report.
        settings: of the report.
        notes: further sentences, of scores.
    """
    sets = sets_of(table)
    few = [FEW_SEEDS_WARNING] if table["seed"].nunique() < MIN_SEEDS_FOR_CLAIM else []
    return "\n\n".join(
        [*_margins(sets), *_asked(sets, settings), *_labels(sets, settings), *_images(sets, settings), *notes, *few]
    )


def _margins(sets: Sets) -> Iterator[str]:
    columns = [column for column in sets[0][2] if str(column).startswith("margin_")]
    header = ["rows of", "rows", *(f"{100 * float(str(column).removeprefix('margin_')):g} %" for column in columns)]
    cells = [
        [_code(name, source), _number(rows["num_rows"], "g"), *(_number(rows[column]) for column in columns)]
        for name, source, rows in sets
    ]
    yield "Quantiles of the margins by the second model (pixel scale); here and below, mean ± deviation over seeds:"
    yield markdown_table(header, cells)
    yield (
        "The second model was trained on the train rows. So their margins are larger than those of new images like "
        "them: a perfect generator would have smaller ones too. Compare sets with each other."
    )


def _asked(sets: Sets, settings: GeneratedRowsSettings) -> Iterator[str]:
    header = [
        "set",
        "asked: at least",
        "below",
        "of train rows (%)",
        "band",
        "in it (%)",
        "plain in it (%)",
        "correlation",
    ]
    cells = [_asked_cells(name, rows) for name, source, rows in sets if _is_asked(rows)]
    if not cells:
        yield "No set was asked for margins."
        return
    yield "Margins asked and got:"
    yield markdown_table(header, cells)
    plain = f" `plain` is the set of `{settings.plain}`." if settings.plain is not None else ""
    yield (
        "`at least` and `below` are the bounds in the study: margins by the model that conditioned the generator. The "
        "generator knows them as quantiles, the shares of the train rows with a smaller margin by that model. The band "
        "is between the margins by the second model at these quantiles of its own margins of the train rows. "
        f"`in it`: the share of the set whose margin by the second model is in the band.{plain} Correlation: "
        "Spearman's, of the margin asked of each row and the margin got."
    )


def _is_asked(rows: pd.DataFrame) -> bool:
    return "asked_from" in rows and bool(rows["asked_from"].notna().all())


def _asked_cells(name: str, rows: pd.DataFrame) -> list[str]:
    above, below = (rows[f"asked_{key}"].iloc[0] for key in ("above", "below"))
    quantiles = " to ".join(_number(100 * rows[f"asked_{key}"], ".1f") for key in ("from", "to"))
    band = " to ".join(_number(rows[f"band_{key}"]) for key in ("low", "high"))
    bounds = ["any" if math.isnan(each) else f"{each:g}" for each in (above, below)]
    shares = [_share(rows[key]) for key in ("within", "plain_within")]
    return [f"`{name}`", *bounds, quantiles, band, *shares, _number(rows["asked_correlation"], ".2f")]


def _labels(sets: Sets, settings: GeneratedRowsSettings) -> Iterator[str]:
    has_other = settings.labels_by is not None
    header = ["rows of", "labels denied (%)", *(["by the other classifier (%)"] if has_other else [])]
    cells = [
        [_code(name, source), _share(rows["denied"]), *([_share(rows["denied_by_other"])] if has_other else [])]
        for name, source, rows in sets
    ]
    yield "Labels that a classifier of real rows denies, because it gives the image another class:"
    yield markdown_table(header, cells)
    yield (
        "A denied label is wrong, or the image is hard for the classifier. Rows near the boundary are denied more "
        "often for both reasons. The classifier has learned the train rows, so it denies few of theirs."
    )


def _images(sets: Sets, settings: GeneratedRowsSettings) -> Iterator[str]:
    header = ["set", "images", "exact copies", "nearer (%)", "median distance", "of test rows"]
    header += ["density", "coverage (%)", "expected (%)", "neighbour ratio"]
    yield "Copies of train rows, and diversity, from distances of pixels (L2, pixel scale):"
    yield markdown_table(header, [_image_cells(name, rows) for name, source, rows in sets if source != "real"])
    yield (
        "Nearer: rows that lie nearer to a train row than 99 % of the test rows do. A generator that draws as the data "
        "do has about 1 % of them. Coverage: the share of real train images with a generated one within the distance "
        f"of their nearest {settings.neighbours} real neighbours. Expected: that of a generator that draws as the data "
        "do, with as many images. Density: how many such balls a generated image lies in, over the number expected; "
        "about 1 for such a generator (Naeem et al. 2020). Neighbour ratio: the mean distance to the nearest other "
        "image of the class, over that of as many real images; below 1 is less varied. A set that was asked for some "
        "margins alone should cover less than all train images."
    )


def _image_cells(name: str, rows: pd.DataFrame) -> list[str]:
    formats: list[tuple[str, Callable[[pd.Series[float]], str]]] = [
        ("num_measured", lambda values: _number(values, "g")),
        ("num_copies", lambda values: _number(values, "g")),
        ("nearer", lambda values: _share(values, 2)),
        ("median_distance", _number),
        ("test_median_distance", _number),
        ("density", _number),
        ("coverage", _share),
        ("expected_coverage", _share),
        ("neighbour_ratio", _number),
    ]
    return [f"`{name}`", *(told(rows[column]) for column, told in formats)]


def _code(name: str, source: str) -> str:
    return f"`{name}`, train rows" if source == "real" else f"`{name}`"


def _share(values: pd.Series[float], digits: int = 1) -> str:
    return _number(100 * values, f".{digits}f")


def _number(values: pd.Series[float], form: str = ".3f") -> str:
    """Return mean ± standard deviation over seeds; a dash for nan, one number where all are the same."""
    if values.isna().any():
        return "-"
    if np.isinf(values).any() or values.nunique() == 1:
        return "any" if np.isinf(values).any() else f"{values.iloc[0]:{form}}"
    found = summarise(values.tolist())
    spread = ".2g" if form == "g" else form
    return f"{found.mean:{form}} ± {found.standard_deviation:{spread}}"

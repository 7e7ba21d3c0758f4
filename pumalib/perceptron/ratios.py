"""How many times the error of another curve: ratios paired by seed. Imports no torch."""

from __future__ import annotations

import math

import numpy as np

from pumalib.perceptron.table import Line
from pumalib.reporting.statistics import NO_INTERVAL, PairedDifference, mean_with_interval


def error_ratios(line: Line, reference: Line) -> list[PairedDifference]:
    """Return the error of a line over that of another at each alpha.

    Args:
        line: with errors [S, A].
        reference: of the same seeds and alphas.

    Returns:
        A geometric mean over seeds with its 95 % t-interval (of the log ratio) for each alpha; nan where an error
        is 0 or nan.
    """
    return [_ratio(own, other) for own, other in zip(line.errors.T, reference.errors.T, strict=True)]


def _ratio(errors: np.ndarray, reference: np.ndarray) -> PairedDifference:
    if not ((errors > 0).all() and (reference > 0).all()):
        return PairedDifference(math.nan, math.nan, math.nan, len(errors))
    logs = mean_with_interval(np.log(errors / reference).tolist())
    return PairedDifference(math.exp(logs.mean), math.exp(logs.low), math.exp(logs.high), logs.num_seeds)


def ratio_cell(ratio: PairedDifference) -> str:
    """Return a ratio as a cell, with a star where its interval leaves out 1; a dash for none."""
    if math.isnan(ratio.mean):
        return "-"
    digits = f"{ratio.mean:.2f}" if ratio.mean >= 0.1 else f"{ratio.mean:.2g}"
    return f"{digits}{'*' if ratio.low > 1 or ratio.high < 1 else ''}"


def interval_cell(ratio: PairedDifference) -> str:
    """Return a ratio and its interval as a cell; a dash for none."""
    if math.isnan(ratio.mean):
        return "-"
    if math.isnan(ratio.low):
        return f"{ratio.mean:.3f} [{NO_INTERVAL}]"
    return f"{ratio.mean:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"

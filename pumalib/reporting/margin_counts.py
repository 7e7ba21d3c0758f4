"""The margins of one score: reading them, and counting the special ones by source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pumalib.data.pool import SOURCE_NAMES, PoolRows
from pumalib.errors import DataError
from pumalib.scores.table import ScoreTable, read_scores

_SOURCES = ("real", "synthetic")

Cuts = Sequence[tuple[str, float]]
"""Cuts to mark: a label and the margin at which the cut falls."""


class SourceCounts(NamedTuple):
    """Rows of one source, and how many of them are special."""

    source: str
    num_rows: int
    num_negative: int
    """Rows that the margin model misclassifies."""
    num_within_epsilon: int
    """Rows with |margin| < epsilon."""
    num_not_converged: int
    """Rows whose margin is a bound."""

    def share(self, count: int) -> str:
        """Return a count with its share of this source's rows, e.g. `12 (3.4 %)`."""
        return f"{count} ({100 * count / self.num_rows:.1f} %)"


def source_names(source: ArrayLike) -> NDArray[np.str_]:
    """Return "real" or "synthetic" per row, from these words (text or bytes) or from the codes 0 and 1.

    Raises:
        DataError: If there is any other value.
    """
    codes = np.asarray(source)
    if codes.dtype.kind in "iub":
        words = np.where(codes == 0, "real", np.where(codes == 1, "synthetic", codes.astype(np.str_)))
    else:
        words = np.array([word.decode() if isinstance(word, bytes) else str(word) for word in codes], np.str_)
    unknown = sorted(set(np.unique(words).tolist()) - set(_SOURCES))
    if unknown:
        raise DataError(f'expected the sources "real" (0) and "synthetic" (1), got {", ".join(unknown)}')
    return words


def count_margins(
    margin: NDArray[np.float32], source: ArrayLike, epsilon: float, converged: NDArray[np.bool_]
) -> list[SourceCounts]:
    """Count rows, negative margins, margins within epsilon and bounds, for each source that has rows.

    Raises:
        DataError: If lengths differ or a margin is not finite.
    """
    names = source_names(source)
    if not len(margin) == len(names) == len(converged) or len(margin) == 0:
        raise DataError(
            "expected margin, source and converged of one length above 0, "
            f"got {len(margin)}, {len(names)} and {len(converged)}"
        )
    if not np.isfinite(margin).all():
        raise DataError("expected finite margins; leave out the rows that were not scored (valid = False)")
    return [
        _count_source(name, margin[names == name], epsilon, converged[names == name])
        for name in _SOURCES
        if (names == name).any()
    ]


def _count_source(name: str, margin: NDArray[np.float32], epsilon: float, converged: NDArray[np.bool_]) -> SourceCounts:
    is_within = np.abs(margin) < epsilon
    return SourceCounts(name, len(margin), int((margin < 0).sum()), int(is_within.sum()), int((~converged).sum()))


@dataclass(frozen=True)
class Margins:
    """The margins of one score over the rows that it scored.

    Attributes:
        score: Name of the score.
        margin: Signed margins float32 [N], pixel scale, negative where misclassified.
        source: "real" or "synthetic" per row, or 0 and 1, [N].
        converged: False where the margin is only a bound, bool [N].
        norm: "linf" or "l2".
        cuts: Cuts to mark.
        rows: Their rows in the pool, ascending, int64 [N]; None: every row of the pool.
        notes: What a page over them has to say: that some are extrapolated.
    """

    score: str
    margin: NDArray[np.float32]
    source: ArrayLike
    converged: NDArray[np.bool_]
    norm: str
    cuts: Cuts = ()
    rows: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()

    def counts(self, epsilon: float) -> list[SourceCounts]:
        """Count by source; see `count_margins`."""
        return count_margins(self.margin, self.source, epsilon, self.converged)

    def groups(self) -> dict[str, NDArray[np.float32]]:
        """Return the margins of each source that has rows."""
        names = source_names(self.source)
        return {name: self.margin[names == name] for name in _SOURCES if (names == name).any()}


def read_margins(score: str, path: Path, pool: PoolRows, cuts: Cuts = ()) -> Margins:
    """Read the rows that a score scored.

    Args:
        score: its name.
        path: its file.
        pool: the pool that it must be of.
        cuts: cuts by it, to mark.

    Raises:
        ArtifactError: a damaged file, or a score of another pool.
    """
    table = read_scores(path, pool.fingerprint)
    converged = np.ones(len(table.score), bool) if table.converged is None else table.converged
    return Margins(
        score,
        table.score[table.valid],
        np.asarray(SOURCE_NAMES)[pool.source[table.valid]],
        converged[table.valid],
        table.norm,
        cuts,
        np.flatnonzero(table.valid),
        extrapolation_notes(score, table),
    )


def extrapolation_notes(score: str, table: ScoreTable) -> tuple[str, ...]:
    """Return what a page says of a score whose margins are extrapolated in part; nothing of another."""
    count, told = int((~table.measured).sum()), ""
    if not count:
        return ()
    if table.held_back_agreement is not None and table.held_back_error is not None:
        told = (
            f" On measured rows that were held back, the rank correlation was {table.held_back_agreement:.3f} and the "
            f"mean error {100 * table.held_back_error:.1f} % of the mean margin."
        )
    return (f"{count} of {len(table.score)} margins of `{score}` are extrapolated from the others.{told}",)


def shared_rows(first: Margins, second: Margins) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the margins of the rows that both scored."""
    if first.rows is None or second.rows is None:
        return first.margin, second.margin
    _, in_first, in_second = np.intersect1d(first.rows, second.rows, assume_unique=True, return_indices=True)
    return first.margin[in_first], second.margin[in_second]

"""Histograms in a terminal: bars of block characters, or of plain ASCII."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▏▎▍▌▋▊▉█"
"""A cell filled from the left, by eighths."""


def text_histogram(
    edges: Sequence[float], counts: Sequence[int], width: int = 40, is_unicode: bool = True
) -> list[str]:
    r"""Draw a histogram as text, a line for each bin: its range, a bar, its count.

    Args:
        edges: [B + 1] ascending, in the unit of what is counted.
        counts: [B] of at least 0.
        width: characters of the longest bar, above 0.
        is_unicode: whether bars end on eighths of a character; else they are whole `#`.

    Returns:
        B lines without line ends.

    Example:
        >>> print("\n".join(text_histogram([0, 0.5, 1], [3, 12], width=8, is_unicode=False)))
          0 .. 0.5 |##         3
        0.5 ..   1 |########  12
    """
    names = _names(edges)
    longest = max(len(name) for name in names)
    most = max(max(counts), 1)
    digits = len(str(most))
    return [
        f"{low.rjust(longest)} .. {high.rjust(longest)} "
        f"|{_bar(count / most, width, is_unicode).ljust(width)}  {count:>{digits}}"
        for low, high, count in zip(names, names[1:], counts, strict=False)
    ]


def _names(edges: Sequence[float]) -> list[str]:
    """Spell edges with as few digits as tell neighbours apart."""
    for digits in range(3, 17):
        names = [f"{edge:.{digits}g}" for edge in edges]
        if len(set(names)) == len(names):
            return names
    return [repr(float(edge)) for edge in edges]


def _bar(share: float, width: int, is_unicode: bool) -> str:
    """Return a bar; a share above 0 is never drawn as nothing."""
    if share == 0:
        return ""
    if not is_unicode:
        return "#" * max(round(share * width), 1)
    whole, rest = divmod(max(round(8 * share * width), 1), 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")

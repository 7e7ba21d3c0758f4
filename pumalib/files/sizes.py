"""Numbers of bytes in words."""

from __future__ import annotations


def size_in_words(count: float) -> str:
    """Spell a number of bytes in the unit that fits.

    Example:
        >>> size_in_words(14_000), size_in_words(3.1e9)
        ('14.0 kB', '3.1 GB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if count >= factor:
            return f"{count / factor:,.1f} {unit}"
    return f"{count / 1e3:.1f} kB"

"""Cuts are named by what they prune."""

import numpy as np
import pytest

from pumalib.data.selection import StoredSelection
from pumalib.inspection.kinds.selection import cut_names


def selection(*labels: str) -> StoredSelection:
    """Return a selection of one row by cuts with these labels."""
    cuts = tuple((label, 0.1) for label in labels)
    return StoredSelection(np.zeros(1, np.int64), np.zeros(1, np.float32), np.full(1, -1, np.int16), "f", 0.0, cuts)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("margin easiest 20 %", "pruned: easiest 20 % by margin"),
        ("el2n hardest 2.5 %, ties by loss", "pruned: hardest 2.5 % by el2n, ties by loss"),
        ("random 10 %", "pruned: random 10 %"),
        ("epsilon < 0", "pruned: epsilon < 0"),
    ],
)
def test_a_cut_is_named_in_words(label: str, name: str) -> None:
    assert cut_names(selection(label)) == [name]


def test_several_cuts_have_different_names_that_sort_as_they_were_made() -> None:
    names = cut_names(selection("random 10 %", "margin easiest 20 %", "random 10 %"))
    assert names == [
        "pruned (cut 1): random 10 %",
        "pruned (cut 2): easiest 20 % by margin",
        "pruned (cut 3): random 10 %",
    ]
    assert names == sorted(names)

import numpy as np
import pytest

from pumalib.selection.stage import nearly_emptied

LABELS = np.repeat([0, 1, 2], [80, 400, 320])


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        ({0: 48}, ["plane"]),  # 60 % of the planes, 6 % of all
        ({0: 48, 1: 240, 2: 192}, []),  # 60 % of each
        ({0: 40}, []),  # half is not most
        ({0: 79, 1: 399}, []),  # nearly all of two, 60 % of all: no class loses more than twice that
        ({}, []),
    ],
)
def test_a_class_that_loses_most_of_its_rows_alone_is_named(lost: dict[int, int], named: list[str]) -> None:
    keep = np.ones(len(LABELS), bool)
    for label, count in lost.items():
        keep[np.flatnonzero(label == LABELS)[:count]] = False
    told = nearly_emptied(LABELS, np.flatnonzero(keep), ("plane", "car", "cat"), could_go_by_class=True)
    assert [name for name in ("plane", "car", "cat") if any(f"class {name} " in each for each in told)] == named
    if named:
        start = "the cuts take 48 of 80 rows of class plane (60 %), but 6 % of all rows"
        assert told == [f"{start}; scope: per_class takes as much of each"]
        kept = np.flatnonzero(keep)
        assert nearly_emptied(LABELS, kept, ("plane", "car", "cat"), could_go_by_class=False) == [start]

"""Selections of whole sets of rows against what published code selects of the same numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pumalib.scores.class_center import distances_to_centers
from pumalib.scores.k_center import greedy_order
from pumalib.selection.cuts import Cut
from pumalib.selection.rule import Rule
from pumalib.selection.rules.ccs import keep
from pumalib.selection.select import select

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "published_selections.json").read_text())


def test_ccs_keeps_as_many_of_each_stratum_as_the_authors_code() -> None:
    case = PUBLISHED["ccs"]
    scores = np.array(case["scores"])
    num_rows, kept = len(scores), case["keep"]
    hardest = case["hardest"] / num_rows
    rule = Rule(keep, 1 - kept / num_rows, hardness={"aum": scores}, options={"hardest": hardest, "strata": 50})
    rows = select(num_rows, [rule], seed=1).rows
    assert len(rows) == kept
    assert not set(rows) & set(case["removed_first"])
    left = np.delete(scores, case["removed_first"])
    edges = np.linspace(left.min(), left.max(), 51)
    sizes = np.histogram(left, edges)[0]
    assert sorted(sizes) == sorted(case["strata_rows"])
    # Which of several strata with as many rows is asked first is nobody's choice: torch's sort there, NumPy's here.
    ours = sorted(zip(sizes, np.histogram(scores[rows], edges)[0], strict=True))
    assert ours == sorted(map(tuple, zip(case["strata_rows"], case["strata_kept"], strict=True)))


def test_k_center_takes_the_rows_that_deepcore_takes() -> None:
    case = PUBLISHED["k_center"]
    order = greedy_order(np.array(case["features"], np.float32), case["first"])
    assert sorted(order) == list(range(40))
    for count, kept in enumerate(case["kept"], 2):
        assert sorted(order[:count]) == kept


def test_moderate_keeps_the_rows_that_the_authors_code_keeps() -> None:
    case = PUBLISHED["moderate"]
    distances = distances_to_centers(np.array(case["features"]), np.array(case["labels"]))
    np.testing.assert_allclose(distances, case["distances"], atol=1e-8)
    cut = Cut(distances, drop="extremes", fraction=1 - case["rate"], higher_is="harder")
    removed = np.flatnonzero(select(len(distances), [cut]).reason == 0)
    assert removed.tolist() == case["pruned"]


@pytest.mark.parametrize("center", ["median", "mean"])
def test_distances_by_hand(center: str) -> None:
    """Class 0 lies at 0, 0 and 3 (median 0, mean 1), class 1 at 5 alone."""
    features = np.array([[0.0, 1], [0, 1], [3, 1], [5, 5]])
    expected = {"median": [0, 0, 3, 0], "mean": [1, 1, 2, 0]}[center]
    assert distances_to_centers(features, np.array([0, 0, 0, 1]), center).tolist() == expected


def test_order_by_hand() -> None:
    """From 0 the farthest of 0, 1, 4, 10 is 10; then 4, which is 4 from 0, and 6 from 10; then 1."""
    points = np.array([[0.0], [1], [4], [10]])
    assert greedy_order(points, 0).tolist() == [0, 3, 2, 1]
    assert greedy_order(points, 1).tolist() == [1, 3, 2, 0]
    assert greedy_order(points, 1, centers=2).tolist() == [1, 3, 2, 0]  # 4 is 3 from 1, and 0 is 1
    assert greedy_order(np.zeros((3, 2)), 1).tolist() == [1, 0, 2]

"""Root finding along segments: as narrow as halvings, seen from both sides, and in far fewer looks where it can be."""

import numpy as np
import pytest
import torch

from pumalib.attacks.bracket import close_bracket

FUNCTIONS = {
    "line": lambda share, root: share - root,
    "kink": lambda share, root: torch.where(share < root, 0.01 * (share - root), 5 * (share - root)),
    "cliff": lambda share, root: torch.where(share < root, -torch.ones_like(share), 1e-6),
    "flat": lambda share, root: (share - root) ** 7,
}


def enclosed(function, roots, halvings):
    """Return the last share seen on either side of each root, and how often each row was looked at."""
    low, high, looks = torch.zeros_like(roots), torch.ones_like(roots), torch.zeros_like(roots)

    def look(rows, shares):
        gaps = FUNCTIONS[function](shares, roots[rows])
        across = gaps >= 0
        low[rows[~across]], high[rows[across]] = shares[~across], shares[across]
        looks[rows] += 1
        return gaps, across

    ends = [FUNCTIONS[function](end, roots) for end in (low.clone(), high.clone())]
    close_bracket(look, *ends, halvings)
    return low, high, looks


@pytest.mark.parametrize("halvings", [1, 10, 20])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_crossing_is_enclosed_as_narrowly_as_by_halvings_with_one_more_look_at_most(function, halvings):
    roots = torch.linspace(1e-4, 1 - 1e-4, 301, dtype=torch.float64)
    low, high, looks = enclosed(function, roots, halvings)
    assert (low <= roots).all()
    assert (roots <= high).all()
    assert (high - low <= 2.0**-halvings * (1 + 1e-9)).all()
    assert looks.max() <= halvings + 1


def test_straight_and_nearly_straight_gaps_take_a_few_looks():
    roots = torch.linspace(0.9, 0.999, 100, dtype=torch.float64)
    assert enclosed("line", roots, 10)[2].mean() <= 4
    assert enclosed("line", roots, 20)[2].mean() <= 5


def test_no_halvings_ask_for_no_look():
    low, high, looks = enclosed("line", torch.full((3,), 0.3), 0)
    np.testing.assert_array_equal(looks, 0)
    assert (low == 0).all()
    assert (high == 1).all()

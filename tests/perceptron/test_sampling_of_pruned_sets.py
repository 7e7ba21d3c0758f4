"""Sets drawn directly against pools that are drawn whole and pruned by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pumalib.perceptron.sampling import (
    Curve,
    curves_of,
    draw_signed_inputs,
    kept_quantiles,
    mislabelled_share,
    pool_share,
)
from pumalib.perceptron.settings import PerceptronSettings
from pumalib.perceptron.teachers import dual_norm, teacher_direction, true_margins

FEATURES, ROWS = 6, 4000
CURVES = [
    Curve("none", 1.0, False, 0.1),
    Curve("pe", 0.2, False, 0.1),
    Curve("pd", 0.2, False, 0.1),
    Curve("none", 1.0, True, 0.1),
    Curve("pe", 0.2, True, 0.1),
    Curve("pd", 0.2, True, 0.1),
]


def prune_by_hand(curve: Curve, teacher: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a pool, label it, filter it, rank it by the L-inf margin, keep a share; return y x."""
    pool = rng.standard_normal((60_000, len(teacher)))
    if curve.is_filtered:
        pool = pool[true_margins(pool, teacher, "linf") > curve.epsilon]
    ranked = pool[np.argsort(true_margins(pool, teacher, "linf"))]
    count = round(curve.kept_fraction * len(ranked))
    kept = ranked[len(ranked) - count :] if curve.strategy == "pd" else ranked[:count]
    kept = kept[rng.permutation(len(kept))[:ROWS]]
    return kept * np.sign(kept @ teacher)[:, None]


@pytest.mark.parametrize("name", ["axis", "dense", "random"])
@pytest.mark.parametrize("place", range(len(CURVES)))
def test_drawn_sets_are_distributed_as_sets_pruned_by_hand(name, place):
    teacher = teacher_direction(name, FEATURES, 3)
    drawn = draw_signed_inputs(CURVES, teacher, ROWS, 5, torch.device("cpu")).rows(place).double().numpy()
    by_hand = prune_by_hand(CURVES[place], teacher, np.random.default_rng(7))
    assert stats.ks_2samp(drawn @ teacher, by_hand @ teacher).pvalue > 1e-3
    across = np.linalg.qr(np.c_[teacher, np.eye(FEATURES)[:, 1:]])[0][:, 1:]
    for column in across.T:
        assert stats.ks_2samp(drawn @ column, by_hand @ column).pvalue > 1e-3
    bound = 6 / np.sqrt(ROWS)
    assert np.abs(np.corrcoef(drawn @ np.c_[teacher, across], rowvar=False) - np.eye(FEATURES)).max() < bound


@given(
    strategy=st.sampled_from(["pe", "pd"]),
    fraction=st.floats(0.01, 1.0),
    epsilon=st.floats(0.001, 0.3),
    is_filtered=st.booleans(),
)
def test_kept_range_holds_the_share_asked_for_of_what_the_filter_leaves(strategy, fraction, epsilon, is_filtered):
    teacher = teacher_direction("dense", 9, 0)
    low, high = kept_quantiles(Curve(strategy, fraction, is_filtered, epsilon), teacher)
    removed = stats.chi(1).cdf(epsilon * dual_norm(teacher, "linf")) if is_filtered else 0.0
    assert removed - 1e-12 <= low < high <= 1 + 1e-12
    assert (high - low) / (1 - removed) == pytest.approx(fraction)
    assert strategy == "pd" or low == pytest.approx(removed)
    assert strategy == "pe" or high == 1


def test_rows_left_by_the_filter_have_margins_above_epsilon():
    teacher = teacher_direction("random", 50, 0)
    drawn = draw_signed_inputs([Curve("pe", 0.05, True, 0.1)], teacher, 500, 0, torch.device("cpu"))
    assert true_margins(drawn.rows(0).double().numpy(), teacher, "linf").min() > 0.1 - 1e-6


def test_smaller_sets_are_the_first_rows_of_larger_ones_and_curves_do_not_change_each_other():
    teacher = teacher_direction("dense", 8, 0)
    large = draw_signed_inputs(CURVES, teacher, 100, 1, torch.device("cpu"))
    small = draw_signed_inputs(CURVES[2:3], teacher, 30, 1, torch.device("cpu"))
    torch.testing.assert_close(large.first(30).rows(2), small.rows(0))


def test_seeds_draw_different_sets():
    teacher = teacher_direction("axis", 8, 0)
    first, second = (draw_signed_inputs(CURVES, teacher, 10, seed, torch.device("cpu")).rows(0) for seed in (0, 1))
    assert not torch.isclose(first, second).any()


def test_products_and_combinations_are_those_of_the_rows(draw):
    inputs = draw(CURVES, "random")
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(12, len(CURVES), generator=rng, dtype=torch.float64)
    coefficients = torch.randn(40, len(CURVES), generator=rng, dtype=torch.float64)
    for place in range(len(CURVES)):
        rows = inputs.rows(place)
        torch.testing.assert_close(inputs.products(weights)[:, place], rows @ weights[:, place])
        torch.testing.assert_close(inputs.combination(coefficients)[:, place], rows.T @ coefficients[:, place])


def test_curves_are_every_pruning_at_every_epsilon_with_the_filter_where_it_removes_something():
    grid = PerceptronSettings(
        students={"online": {}}, epsilons=(0.0, 0.1), strategies=("pe",), kept_fractions=(0.5, 0.1), alphas=(1.0,)
    )
    prunings = [("none", 1.0), ("pe", 0.5), ("pe", 0.1)]
    groups = [(False, 0.0), (False, 0.1), (True, 0.1)]
    assert curves_of(grid) == [Curve(*pruning, *group) for group in groups for pruning in prunings]


@pytest.mark.parametrize("name", ["axis", "dense"])
@pytest.mark.parametrize("place", range(len(CURVES)))
def test_shares_are_those_of_a_pool_pruned_by_hand(name, place):
    teacher, curve = teacher_direction(name, FEATURES, 0), CURVES[place]
    pool = np.random.default_rng(1).standard_normal((400_000, FEATURES))
    margins = true_margins(pool, teacher, "linf")
    left = np.sort(margins[margins > curve.epsilon] if curve.is_filtered else margins)
    count = round(curve.kept_fraction * len(left))
    kept = left[len(left) - count :] if curve.strategy == "pd" else left[:count]
    # Three deviations of a share of so many rows, and a little for the cut by rank.
    assert mislabelled_share(curve, teacher) == pytest.approx((kept <= curve.epsilon).mean(), abs=0.005)
    assert pool_share(curve, teacher) == pytest.approx(len(kept) / len(pool), abs=0.003)


def test_perturbation_carries_exactly_the_rows_within_epsilon_across_the_boundary():
    teacher = teacher_direction("dense", 6, 0)
    curve = Curve("pe", 0.2, False, 0.05)
    signed = draw_signed_inputs([curve], teacher, 20_000, 0, torch.device("cpu")).rows(0).numpy()
    attacked = signed - curve.epsilon * np.sign(teacher)  # FGSM of a student that knows the teacher
    assert (attacked @ teacher <= 0).mean() == pytest.approx(mislabelled_share(curve, teacher), abs=0.011)


def test_share_of_mislabelled_rows_at_the_kept_fractions_of_the_breakdown():
    teacher = teacher_direction("axis", 200, 0)
    within = stats.chi(1).cdf(0.01)
    assert within == pytest.approx(0.00798, abs=1e-5)
    shares = [mislabelled_share(Curve("pe", kept, False, 0.01), teacher) for kept in (0.05, 0.02, 0.01, 0.001)]
    assert shares == pytest.approx([within / 0.05, within / 0.02, within / 0.01, 1])
    assert mislabelled_share(Curve("pd", 0.5, False, 0.01), teacher) == 0


def test_rows_of_the_strongest_pruning_keep_their_side_of_the_boundary():
    teacher = teacher_direction("random", 200, 0)
    rows = draw_signed_inputs([Curve("pe", 1e-5, False, 0.0)], teacher, 3200, 0, torch.device("cpu")).rows(0)
    components = rows.numpy() @ teacher
    assert components.min() > 0
    assert stats.kstest(components / stats.norm.ppf(0.5 + 0.5e-5), "uniform").pvalue > 1e-3

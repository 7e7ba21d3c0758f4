from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumalib.errors import DataError
from pumalib.selection.drawn import draw_weights, mean_epsilon
from pumalib.selection.epsilons import adaptive_epsilons, shuffle_within

MARGINS = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


def equation_3(margin: float, epsilon: float, gap: float) -> float:
    """PUMA eq. 3 as printed; eq. 2 is its case of gap 0."""
    if margin <= -epsilon + gap:
        return -epsilon
    if margin >= epsilon + gap:
        return epsilon
    return margin - gap


@settings(deadline=None, max_examples=150)
@given(margins=MARGINS, epsilon=st.floats(0.001, 0.5), gap=st.one_of(st.just(0.0), st.floats(0, 0.3)))
def test_adaptive_epsilons_are_the_paper_s_piecewise_form(margins: list[float], epsilon: float, gap: float) -> None:
    expected = np.array([equation_3(margin, epsilon, gap) for margin in margins], np.float32)
    result = adaptive_epsilons(margins, epsilon, gap)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-9)


def test_adaptive_epsilons_at_the_edges_of_the_pieces() -> None:
    result = adaptive_epsilons([-0.25, -0.125, 0.0, 0.125, 0.25, 0.375, np.inf, -np.inf], epsilon=0.25, gap=0.125)
    assert result.tolist() == [-0.25, -0.25, -0.125, 0.0, 0.125, 0.25, 0.25, -0.25]


def test_nan_margins_are_refused() -> None:
    with pytest.raises(DataError, match="margins without NaN, got 2"):
        adaptive_epsilons([0.1, np.nan, np.nan], 0.1)


@pytest.mark.parametrize(("epsilon", "gap"), [(0.0, 0.0), (-0.1, 0.0), (float("nan"), 0.0), (0.1, -0.01)])
def test_impossible_caps_and_gaps_are_refused(epsilon: float, gap: float) -> None:
    with pytest.raises(ValueError, match="epsilon above 0 and gap of at least 0"):
        adaptive_epsilons([0.1], epsilon, gap)


@settings(deadline=None, max_examples=60)
@given(num_real=st.integers(1, 20), num_synthetic=st.integers(1, 20), share=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_rows_are_weighted_by_the_mix_of_a_batch(num_real: int, num_synthetic: int, share: float) -> None:
    source = np.repeat(np.array([0, 1], np.uint8), [num_real, num_synthetic])
    weights = draw_weights(source, share)
    assert weights.sum() == pytest.approx(1)
    assert weights[source == 1].sum() == pytest.approx(share)
    assert len(set(weights[source == 0])) == len(set(weights[source == 1])) == 1


@pytest.mark.parametrize("code", [0, 1])
def test_rows_of_one_source_weigh_alike(code: int) -> None:
    assert draw_weights(np.full(4, code, np.uint8), 0.7).tolist() == [0.25] * 4


def test_mean_epsilon_is_exact_on_a_hand_computed_case() -> None:
    epsilons, source = np.array([0.25, 0.5, -0.5, 0.125, 0.25], np.float32), np.array([0, 0, 1, 1, 1], np.uint8)
    real, synthetic = Fraction(3, 8), Fraction(-1, 24)
    assert mean_epsilon(epsilons, source, 0.75) == pytest.approx(float(real / 4 + synthetic * 3 / 4))


@settings(deadline=None, max_examples=80)
@given(data=st.data(), count=st.integers(1, 40), seed=st.integers(0, 20))
def test_shuffling_permutes_within_each_class_and_source(data: st.DataObject, count: int, seed: int) -> None:
    column = st.lists(st.integers(0, 2), min_size=count, max_size=count)
    labels = np.array(data.draw(column), np.int64)
    source = (np.array(data.draw(column)) > 1).astype(np.uint8)
    epsilons = np.arange(count, dtype=np.float32)
    before = epsilons.copy()
    shuffled = shuffle_within(epsilons, labels, source, seed)
    assert epsilons.tolist() == before.tolist()
    for label in range(3):
        for code in range(2):
            group = (labels == label) & (source == code)
            assert Counter(shuffled[group].tolist()) == Counter(epsilons[group].tolist())
    assert shuffle_within(epsilons, labels, source, seed).tolist() == shuffled.tolist()


def test_shuffling_moves_rows_and_depends_on_the_seed() -> None:
    epsilons, labels, source = np.arange(50, dtype=np.float32), np.zeros(50, np.int64), np.zeros(50, np.uint8)
    first, other = (shuffle_within(epsilons, labels, source, seed).tolist() for seed in (0, 1))
    assert first != epsilons.tolist()
    assert first != other

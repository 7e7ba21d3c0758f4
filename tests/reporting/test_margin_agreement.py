import math

import numpy as np
import pytest

from pumalib.errors import DataError
from pumalib.reporting.margin_agreement import margin_agreement


def test_agreement_equals_that_done_by_hand() -> None:
    first = np.float32([-0.3, 0.1, 0.2, 0.4])
    second = np.float32([-0.1, -0.1, 0.3, 0.2])
    agreement = margin_agreement(first, second, 0.25)
    assert agreement.num_rows == 4
    # ranks 1 2 3 4 against 1.5 1.5 4 3: covariance 3.5, variances 5 and 4.5
    assert agreement.rank_correlation == pytest.approx(3.5 / math.sqrt(5 * 4.5))
    assert agreement.mean_absolute_difference == pytest.approx(0.7 / 4, rel=1e-6)
    assert agreement.same_sign == 0.75
    assert agreement.within_epsilon == 0.25


def test_a_constant_estimate_has_no_rank_correlation() -> None:
    assert math.isnan(margin_agreement(np.float32([0.1, 0.1]), np.float32([0.1, 0.2]), 0.1).rank_correlation)


def test_margins_of_other_rows_or_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="expected two margins of each row, got 2 and 1"):
        margin_agreement(np.float32([1, 2]), np.float32([1]), 0.1)
    with pytest.raises(DataError, match="expected finite margins"):
        margin_agreement(np.float32([1, 2]), np.float32([1, math.nan]), 0.1)

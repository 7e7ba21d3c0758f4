import numpy as np
import pytest

from pumalib.errors import DataError
from pumalib.synthesis.asked import Band, band_of

CONDITIONING = np.linspace(0.9, 0.0, 10, dtype=np.float32)
"""0.0 to 0.9, in no order that matters."""
OTHERS = np.linspace(-1.0, 1.0, 11, dtype=np.float32)
"""The q quantile is 2 q - 1."""


def test_what_is_asked_carries_over_by_the_quantile() -> None:
    band = band_of(0.15, 0.5, CONDITIONING, OTHERS)  # 0.0 and 0.1 lie below 0.15, five margins below 0.5
    assert (band.first, band.last) == (0.2, 0.5)
    assert (band.low, band.high) == pytest.approx((-0.6, 0.0), abs=1e-7)


def test_a_side_without_a_bound_and_one_beyond_all_train_rows_are_open() -> None:
    assert band_of(None, 0.5, CONDITIONING, OTHERS)[0::2] == (0.0, -np.inf)
    assert band_of(-3, 0.5, CONDITIONING, OTHERS).low == -np.inf
    assert band_of(0.5, None, CONDITIONING, OTHERS)[1::2] == (1.0, np.inf)
    assert band_of(0.5, 7, CONDITIONING, OTHERS).high == np.inf


def test_the_train_rows_of_the_other_model_fill_the_band_by_the_share_between_its_quantiles() -> None:
    generator = np.random.default_rng(0)
    conditioning, others = generator.normal(size=(2, 2000)).astype(np.float32)
    band = band_of(-0.3, 0.8, conditioning, others)
    assert band.share_of(others) == pytest.approx(band.last - band.first, abs=1e-3)


def test_the_lower_end_is_in_the_band_and_the_upper_is_not() -> None:
    margins = np.array([0.0, 0.25, 0.5, 0.75], np.float32)
    assert Band(0.1, 0.2, 0.25, 0.75).share_of(margins) == 0.5


def test_no_margins_of_train_rows_are_refused() -> None:
    with pytest.raises(DataError, match="expected margins of train rows by both models, got 10 and 0"):
        band_of(None, 0.5, CONDITIONING, OTHERS[:0])

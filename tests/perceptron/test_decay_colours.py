import pytest

from pumalib.perceptron.decay import epsilon_colours


@pytest.mark.parametrize("count", [1, 6, 7, 40])
def test_every_epsilon_has_a_colour_of_its_own(count: int) -> None:
    assert len(set(epsilon_colours(count))) == count

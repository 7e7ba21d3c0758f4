"""Bytes by formula: a network by hand, and the files of a study that ran."""

from pumalib.models.settings import ArchitectureSettings
from pumalib.planning.images import Images
from pumalib.planning.storage import network_size


def test_a_perceptron_has_the_weights_and_layers_that_it_is_drawn_with() -> None:
    size = network_size(ArchitectureSettings(name="mlp", width=10), Images((4, 4, 1), 3))
    assert size.weights == 4 * (16 * 10 + 10 + 10 * 10 + 10 + 10 * 3 + 3)
    assert size.activations == 4 * (16 + 10 + 10)  # what goes into each of the layers

"""What learning costs: by hand, and by counting the images that really go through the networks."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from pumalib.learning.methods import robust_features, tri_level
from pumalib.learning.passes import learning_passes
from pumalib.learning.settings import RobustFeaturesSettings
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import save_trained

MLP = ArchitectureSettings(name="mlp", width=6)


@pytest.fixture
def forwards() -> Iterator[list[int]]:
    """Yield how many images went forward through a whole network, a number per call."""
    counts: list[int] = []
    network = type(build_model(MLP, (4, 4, 1), 2))

    def count(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        if isinstance(module, network):
            counts.append(len(arguments[0]))

    handle = register_module_forward_pre_hook(count)
    yield counts
    handle.remove()


@pytest.mark.parametrize(("recompute", "expected"), [(False, (4032, 5568)), (True, (5568, 6336))])
def test_steps_of_the_pixels_cost_what_goes_through_the_networks(settings, inputs, forwards, recompute, expected):
    """By hand: 24 steps of 2 x 16 unrolled rows and 32 x (3 + 1) attacked ones, after 0 + 4 + 8 steps of 16 rows."""
    settings = settings.model_copy(update={"recompute_steps": recompute, "probe_every": 1000})
    assert learning_passes(settings, len(inputs.images)) == expected
    at_step = {}
    tri_level.learn(settings, inputs, lambda step: at_step.update({step: sum(forwards)}))
    start = 16 * (4 + 8)
    assert (at_step[23] - at_step[1]) / 22 == (expected[0] - start) / 24  # the last step measures progress


def test_robustified_rows_cost_what_goes_through_the_network(inputs, forwards, tmp_path):
    save_trained(build_model(MLP, (4, 4, 1), 2, seed=3), tmp_path / "model.safetensors", MLP, (4, 4, 1), ("a", "b"))
    settings = RobustFeaturesSettings(pool="real", model="trades", steps=7, batch_size=16)
    robust_features.learn(settings, replace(inputs, model_path=tmp_path / "model.safetensors"))
    tried = 2  # one image, to see that the last layer is linear
    assert learning_passes(settings, 40) == (sum(forwards) - tried, 40 * 7) == (40 * 10, 280)

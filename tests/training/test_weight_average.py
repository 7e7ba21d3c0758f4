import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from pumalib.errors import DataError
from pumalib.training.averaging import WeightAverage

Maker = Callable[..., nn.Module]


def shake(model: nn.Module, seed: int) -> None:
    """Stand in for a training step: other weights, other buffers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    model[2].running_mean.fill_(float(seed))  # type: ignore[index]
    model[2].num_batches_tracked.fill_(seed)  # type: ignore[index]


@pytest.mark.parametrize(("tau", "warmup"), [(0.995, 3), (0.3, 0), (0.3, 2), (0.0, 0), (0.995, 100)])
def test_average_is_the_recursion_worked_out_in_numpy(small_net: Maker, tau: float, warmup: int) -> None:
    model = small_net()
    average = WeightAverage(model, tau, warmup)
    expected = [parameter.detach().double().numpy().copy() for parameter in model.parameters()]
    for step in range(12):
        shake(model, step + 1)
        average.update(model, step)
        since = step - warmup
        decay = 0.0 if since < 0 else min(tau, (1 + since) / (10 + since))
        for index, parameter in enumerate(model.parameters()):
            expected[index] = decay * expected[index] + (1 - decay) * parameter.detach().double().numpy()
    for parameter, value in zip(average.model.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter, value, rtol=1e-5, atol=1e-6)


def test_decay_starts_at_a_tenth_and_ends_at_tau(small_net: Maker) -> None:
    average = WeightAverage(small_net(), 0.995, 10)
    assert [average.decay(step) for step in (0, 9, 10, 11)] == [0.0, 0.0, 0.1, 2 / 11]
    assert average.decay(10_000) == 0.995


def test_average_is_the_model_itself_before_the_warm_up_ends(small_net: Maker) -> None:
    model = small_net()
    average = WeightAverage(model, 0.995, 5)
    shake(model, 1)
    average.update(model, 4)
    for kept, parameter in zip(average.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(kept, parameter)


def test_buffers_are_copies_of_the_latest(small_net: Maker) -> None:
    model = small_net()
    average = WeightAverage(model, 0.995, 0)
    for step in range(3):
        shake(model, step + 1)
        average.update(model, step)
    kept = dict(average.model.named_buffers())
    assert {name: buffer.tolist() for name, buffer in kept.items()} == {
        name: buffer.tolist() for name, buffer in model.named_buffers()
    }
    shake(model, 9)
    assert kept["2.running_mean"].tolist() == [3.0] * 8
    assert int(kept["2.num_batches_tracked"]) == 3


def test_average_shares_no_memory_with_the_model(small_net: Maker) -> None:
    model = small_net()
    average = WeightAverage(model, 0.5, 0)
    average.update(model, 0)
    own = {tensor.data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    assert not own & {tensor.data_ptr() for tensor in [*average.model.parameters(), *average.model.buffers()]}


def test_average_is_in_eval_mode_and_the_model_stays_in_training(small_net: Maker) -> None:
    model = small_net()
    average = WeightAverage(model, 0.5, 0)
    average.update(model, 0)
    assert not any(module.training for module in average.model.modules())
    assert all(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_network_that_cannot_be_copied_is_told(small_net: Maker) -> None:
    model = small_net()
    model.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(DataError, match=r"a network that copy\.deepcopy copies, .* it raised TypeError: cannot pickle"):
        WeightAverage(model, 0.9, 0)

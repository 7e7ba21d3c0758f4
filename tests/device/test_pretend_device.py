"""The pretended device refuses what CUDA refuses, and counts what is asked of it."""

import numpy as np
import pytest
import torch
from torch import nn

from tests.pretend_device import OtherDeviceError, is_on, pretend_device, to_tf32


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: there + here,
        lambda here, there: here * there.sum(),
        lambda here, there: torch.stack([there, here]),
        lambda here, there: torch.where(here > 0, there, there),
        lambda here, there: there.masked_fill(here > 0, 0),
        lambda here, there: here[there > 0],
        lambda here, there: nn.Linear(3, 2)(there),
    ],
)
def test_tensors_of_two_devices_do_not_mix(mix):
    with pretend_device(), pytest.raises(OtherDeviceError, match="two devices, cuda:0 and cpu"):
        mix(torch.ones(3), torch.ones(3, device="cuda"))


def test_numbers_and_row_numbers_on_the_cpu_may_take_part():
    with pretend_device() as device:
        there = torch.arange(3.0, device="cuda")
        assert (there * torch.tensor(2.0)).device.type == "cuda"
        assert there[torch.tensor([2, 0])].tolist() == [2, 0]
        assert device.bytes_copied("h2d") == 16


def test_numpy_and_generators_keep_to_their_device():
    with pretend_device():
        there = torch.ones(3, device="cuda")
        for ask in (there.numpy, lambda: np.asarray(there)):
            with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
                ask()
        with pytest.raises(OtherDeviceError, match="'cuda' device type for generator but found 'cpu'"):
            torch.rand(3, device="cuda", generator=torch.Generator())
        own = torch.rand(3, device="cuda", generator=torch.Generator("cuda").manual_seed(1))
    assert torch.equal(own, torch.rand(3, generator=torch.Generator().manual_seed(1)))


def test_a_model_moves_trains_and_comes_back():
    with pretend_device():
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)).to("cuda")
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        model(torch.rand(2, 3, 4, 4, device="cuda")).sum().backward()
        optimizer.step()
        state = [*model.parameters(), *model.buffers(), optimizer.state[model[0].weight]["momentum_buffer"]]
        assert {tensor.device.type for tensor in state} == {"cuda"}
        assert {tensor.device.type for tensor in model.cpu().state_dict().values()} == {"cpu"}
    assert not is_on(next(model.parameters()))


def test_waits_and_copies_are_counted_by_hand():
    with pretend_device() as device:
        there = torch.ones(4).to("cuda")
        float(there.sum()), there.tolist(), there[there > 0], there.cpu()
        torch.ones(4).pin_memory().to("cuda", non_blocking=True)
        reasons = [reason for (reason, _), count in device.syncs.items() for _ in range(count)]
        assert sorted(reasons) == ["copy d2h", "copy h2d", "index by booleans", "item", "tolist"]
        assert (device.bytes_copied("h2d"), device.bytes_copied("d2h")) == (32, 36)


def test_launches_flops_and_bytes_of_a_convolution_by_hand():
    with pretend_device() as device:
        layer, images = nn.Conv2d(3, 8, 3, bias=False).to("cuda"), torch.rand(2, 3, 6, 6, device="cuda")
        device.clear()
        layer(images)
        assert device.work.launches == 1
        assert device.work.total_flops == 2 * (2 * 8 * 4 * 4) * (3 * 3 * 3)
        assert device.work.bytes == 4 * (2 * 3 * 36 + 8 * 3 * 9 + 2 * 8 * 16)


def test_each_device_has_random_numbers_of_its_own():
    with pretend_device(count=2):
        torch.cuda.manual_seed_all(3)
        first = torch.rand(2, device="cuda")
        torch.cuda.set_device(1)
        assert torch.equal(torch.rand(2, device="cuda"), first)
        with pytest.raises(IndexError):
            torch.cuda.set_rng_state(torch.cuda.get_rng_state(), 2)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(1.0, 1.0), (1 + 2**-11, 1.0), (1 + 3 * 2**-11, 1 + 2**-9), (1 + 2**-10, 1 + 2**-10), (-1 - 2**-23, -1.0)],
)
def test_tf32_keeps_ten_bits_and_rounds_ties_to_even(value, rounded):
    assert to_tf32(torch.tensor([value])).item() == rounded


def test_flags_of_torch_say_what_convolutions_and_products_read():
    image, weight = torch.full((1, 1, 1, 1), 1 + 2**-12), torch.ones(1, 1, 1, 1)
    found = {}
    for tf32 in (False, True):
        with pretend_device(tf32=tf32):
            there = image.to("cuda"), weight.to("cuda")
            product = there[0].reshape(1, 1) @ there[1].reshape(1, 1)
            found[tf32] = nn.functional.conv2d(*there).item(), product.item()
    assert found == {False: (1 + 2**-12, 1 + 2**-12), True: (1.0, 1.0)}

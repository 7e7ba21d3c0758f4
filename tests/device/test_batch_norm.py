"""BatchNorm over several devices: torch's SyncBatchNorm, and what it costs beside BatchNorm."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.testing._internal.distributed.fake_pg import FakeStore

from pumalib.ranks import Ranks
from pumalib.training.batch_norm import SharedBatchNorm, share_statistics
from tests.pretend_device import Device, pretend_device
from tests.pretend_kernels import (
    batch_norm_backward_elemt,
    batch_norm_backward_reduce,
    batch_norm_elemt,
    batch_norm_gather_stats_with_counts,
    batch_norm_stats,
)

CUDA = torch.device("cuda")


@contextmanager
def one_of_two() -> Iterator[None]:
    """Be one of two ranks, of which the other has the same rows."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        with ExitStack() as stack:
            for name in ("all_gather_single", "all_gather_into_tensor"):  # by the version of torch
                if hasattr(dist, name):
                    stack.enter_context(mock.patch.object(dist, name, gather))
            yield
    finally:
        dist.destroy_process_group()


def gather(everyone: Tensor, own: Tensor, *_: object, **__: object) -> None:
    everyone.view(-1, own.numel()).copy_(own)


def forward_and_backward(layer: nn.Module, device: Device) -> tuple[float, int]:
    """Return how often the activations are read or written, and the launches."""
    images = torch.rand(8, 64, 32, 32, device="cuda", requires_grad=True)
    gradient = torch.rand(8, 64, 32, 32, device="cuda")
    device.clear()
    layer(images).backward(gradient)
    return device.work.bytes / (images.numel() * 4), device.work.launches


def test_statistics_of_several_devices_take_hardly_more_passes_than_those_of_one():
    with pretend_device(count=2) as device, one_of_two():
        alone = nn.BatchNorm2d(64)
        model = nn.Sequential(nn.BatchNorm2d(64))
        share_statistics(model, Ranks(0, 2), CUDA)
        assert type(model[0]) is nn.SyncBatchNorm
        one, _ = forward_and_backward(alone.to("cuda"), device)
        several, launches = forward_and_backward(model.to("cuda"), device)
        assert several <= 1.5 * one
        assert launches <= 30
        assert not device.no_kernel


def test_the_layer_keeps_its_weights_statistics_and_settings():
    layer = nn.BatchNorm2d(3, eps=0.1, momentum=0.3)
    layer(torch.rand(4, 3, 2, 2))
    nn.init.uniform_(layer.weight)
    model = nn.Sequential(layer.eval())
    share_statistics(model, Ranks(0, 2), CUDA)
    made = model[0]
    assert (made.eps, made.momentum, made.training) == (0.1, 0.3, False)
    for name, values in layer.state_dict().items():
        assert torch.equal(made.state_dict()[name], values)


def test_a_layer_that_stands_in_two_places_stays_one():
    layer = nn.BatchNorm2d(3)
    model = nn.ModuleList([layer, layer])
    share_statistics(model, Ranks(0, 2), CUDA)
    assert model[0] is model[1]


def test_on_a_cpu_the_arithmetic_is_our_own():
    model = nn.Sequential(nn.BatchNorm2d(3))
    share_statistics(model, Ranks(0, 2), torch.device("cpu"))
    assert type(model[0]) is SharedBatchNorm


def test_kernels_of_two_shares_are_batch_norm_of_the_whole_batch():
    torch.manual_seed(0)
    layer, whole = nn.BatchNorm2d(5).double(), torch.randn(7, 5, 3, 2, dtype=torch.double, requires_grad=True)
    nn.init.uniform_(layer.weight)
    gradient = torch.randn(7, 5, 3, 2, dtype=torch.double)
    expected = layer(whole)
    expected.backward(gradient)

    def of_shares(images: Tensor) -> tuple[Tensor, Tensor]:
        return images[:3].float(), images[3:].float()

    shares, weight, bias = of_shares(whole.detach()), layer.weight.float().detach(), layer.bias.float().detach()
    means, inverse = map(torch.stack, zip(*[batch_norm_stats(share, layer.eps) for share in shares], strict=True))
    counts = torch.tensor([share.numel() / 5 for share in shares])
    running = torch.zeros(5), torch.ones(5)
    mean, deviation = batch_norm_gather_stats_with_counts(whole, means, inverse, *running, 0.1, layer.eps, counts)
    found = torch.cat([batch_norm_elemt(share, weight, bias, mean, deviation, layer.eps) for share in shares])
    torch.testing.assert_close(found, expected.float())
    for kept, right in zip(running, (layer.running_mean, layer.running_var), strict=True):
        torch.testing.assert_close(kept, right.float())
    pairs = list(zip(of_shares(gradient), shares, strict=True))
    parts = [batch_norm_backward_reduce(*pair, mean, deviation, weight, True, True, True) for pair in pairs]
    total, products, of_weight, of_bias = (sum(column) for column in zip(*parts, strict=True))
    torch.testing.assert_close(of_weight, layer.weight.grad.float())
    torch.testing.assert_close(of_bias, layer.bias.grad.float())
    back = [batch_norm_backward_elemt(*pair, mean, deviation, weight, total, products, counts) for pair in pairs]
    torch.testing.assert_close(torch.cat(back), whole.grad.float())


@pytest.mark.parametrize("is_recorded", [True, False])
def test_what_the_inner_attack_looks_at_is_shared_but_not_recorded(is_recorded):
    with pretend_device(count=2), one_of_two():
        layer = nn.SyncBatchNorm(3).to("cuda")
        layer.track_running_stats = is_recorded
        assert layer.running_mean is not None
        before = layer.running_mean.clone()
        layer(torch.rand(4, 3, 2, 2, device="cuda"))
        assert torch.equal(layer.running_mean, before) != is_recorded

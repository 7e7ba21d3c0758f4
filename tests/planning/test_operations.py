"""What operations ask of a device, by hand."""

import pytest
import torch
from torch import nn

from pumalib.planning.operations import counted_work

FLOAT = 4


def test_a_linear_layer_multiplies_and_adds_once_for_each_weight_and_row() -> None:
    layer, inputs = nn.Linear(3, 4), torch.zeros(5, 3)
    with counted_work() as work, torch.no_grad():
        layer(inputs)
    assert work.flops == {torch.float32: 2 * 5 * 3 * 4}
    assert work.bytes == work.product_bytes == FLOAT * (4 + 5 * 3 + 3 * 4 + 5 * 4)  # bias, inputs, weights, outputs
    assert work.launches == 1  # the transposed weight is a view


@pytest.mark.parametrize(("of_images", "products"), [(False, 1), (True, 2)])
def test_a_convolution_costs_as_much_again_for_each_gradient(of_images: bool, products: int) -> None:
    layer = nn.Conv2d(3, 16, 3, padding=1)
    images = torch.zeros(2, 3, 8, 8, requires_grad=of_images)
    forward = 2 * (2 * 16 * 8 * 8) * (3 * 3 * 3)  # outputs times the inputs that each looks at
    with counted_work() as work:
        outputs = layer(images)
    assert work.total_flops == forward
    assert work.bytes == FLOAT * (2 * 3 * 64 + 16 * 27 + 16 + 2 * 16 * 64)
    with counted_work() as work:
        outputs.backward(torch.ones_like(outputs))
    assert work.total_flops == products * forward
    assert work.by_name["convolution_backward"] == products + 1  # and the gradient of the bias


def test_statistics_of_a_batch_take_a_second_look_at_it() -> None:
    layer, images = nn.BatchNorm2d(4), torch.zeros(2, 4, 8, 8)
    with counted_work() as training, torch.no_grad():
        layer(images)
    layer.eval()
    with counted_work() as evaluating, torch.no_grad():
        layer(images)
    vectors = 4 * 4 + 2 * 4  # weight, bias and both running statistics; the two that are found
    in_training = FLOAT * (3 * images.numel() + vectors)
    assert training.bytes - in_training == 2 * 8  # the count of batches is read and written
    assert evaluating.bytes == FLOAT * (2 * images.numel() + 4 * 4)


def test_rows_that_are_one_in_memory_are_read_once() -> None:
    row, rows = torch.zeros(1, 4), torch.zeros(1000, 4)
    with counted_work() as work:
        torch.add(rows, row.expand(1000, 4))
    assert work.bytes == FLOAT * (4000 + 4 + 4000)
    assert work.flops == {}


def test_an_operation_that_only_writes_reads_nothing() -> None:
    with counted_work() as work:
        torch.zeros_like(torch.empty(10))
    assert work.bytes <= FLOAT * 10


def test_a_mask_is_turned_into_row_numbers_first() -> None:
    values = torch.arange(6.0)
    with counted_work() as work:
        values[values > 2]
    assert work.by_name["index"] == 4
    assert work.launches == 5  # and the comparison


def test_views_cost_nothing() -> None:
    with counted_work() as work:
        torch.zeros(2, 3)[0].view(3, 1).expand(3, 4).permute(1, 0)
    assert work.launches == work.by_name["zeros"] + work.by_name["zero_"] + work.by_name["fill_"]

"""What a step and a batch may ask of a device at most. A change that adds a wait to a hot loop fails here.

The counts are those of ResNet-18 at 32 x 32, as `python -m tests.device.counts` prints them.
"""

import pytest

from tests.device.units import cw_batch, deepfool_batch, edm_step, trades_step

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("settings", "launches"),
    [
        ({}, 2_050),
        ({"attack_precision": "bfloat16", "channels_last": True}, 2_350),
        ({"attack_statistics": "running"}, 2_150),
    ],
)
def test_a_trades_step_waits_twice_at_most(settings, launches):
    device = trades_step(**settings)
    assert device.num_syncs <= 2
    assert device.work.launches <= launches
    assert not device.no_kernel
    assert device.bytes_copied("h2d") <= 8 * 4  # a row number each


@pytest.mark.parametrize(("network", "launches"), [("mlp", 130), ("unet", 600)])
def test_a_step_of_a_generator_does_not_wait(network, launches):
    device = edm_step(network)
    assert device.num_syncs == 0
    assert device.work.launches <= launches


@pytest.mark.parametrize(("label", "launches"), [(0, 2_900), (1, 3_700)])
def test_a_deepfool_batch_of_two_iterations(label, launches):
    device = deepfool_batch(label)
    assert device.work.launches <= launches
    assert device.num_syncs <= 70
    assert not device.no_kernel
    assert {layout for _, layout in device.layouts} == {"NHWC"}


def test_a_batch_of_cw_pgd_40():
    device = cw_batch()
    assert device.num_syncs <= 30
    assert device.work.launches <= 5_850
    assert {layout for _, layout in device.layouts} == {"NHWC"}

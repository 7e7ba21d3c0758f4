import numpy as np
import pytest
import torch

from pumalib.data.settings import AskedMarginSettings
from pumalib.errors import ConfigError, DataError
from pumalib.synthesis.edm import build_denoiser, denoising_loss, train_generator
from pumalib.synthesis.margins import draw_margins, quantiles_of, sorted_margins
from pumalib.synthesis.sampling import balanced_labels, sample_images
from pumalib.synthesis.settings import EdmSettings, GeneratorMarginSettings

PLAIN = EdmSettings(
    method="edm",
    dataset="toy",
    network="mlp",
    width=32,
    num_blocks=1,
    steps=300,
    batch_size=64,
    learning_rate=1e-2,
    averaging=0.9,
    sampling_steps=8,
    sampling_batch_size=16,
)
SETTINGS = PLAIN.model_copy(update={"margin": GeneratorMarginSettings(score="margin", drop=0.2)})
NAN = float("nan")


def shades(count=64):
    """Grey images of two classes, the brighter the larger the margin."""
    labels = balanced_labels(count, 2)
    margins = np.linspace(-0.1, 0.3, count, dtype=np.float32)[np.random.default_rng(0).permutation(count)]
    images = np.repeat((40 + 500 * (margins + 0.1))[:, None], 16, axis=1).astype(np.uint8).reshape(count, 4, 4, 1)
    return images, labels, margins


def train(settings, margins="shades", seed=1):
    images, labels, own = shades()
    return train_generator(images, labels, 2, settings, seed, margins=own if isinstance(margins, str) else margins)


@pytest.fixture(scope="module")
def conditioned():
    return train(SETTINGS)


def sample(denoiser, quantile=None, weight=1.0, settings=SETTINGS, count=16):
    quantiles = None if quantile is None else np.full(count, quantile, np.float32)
    return sample_images(denoiser, balanced_labels(count, 2), settings, 3, quantiles=quantiles, weight=weight)


def test_quantile_is_the_share_of_smaller_margins_and_half_of_equal_ones():
    margins = np.array([0.3, 0.1, 0.1, NAN, -0.2], np.float32)
    table = sorted_margins(margins)
    assert table.tolist() == np.array([-0.2, 0.1, 0.1, 0.3], np.float32).tolist()
    np.testing.assert_allclose(quantiles_of(margins, table), [3.5 / 4, 2 / 4, 2 / 4, NAN, 0.5 / 4])
    assert quantiles_of(np.array([-1, 1], np.float32), table).tolist() == [0, 1]


def test_margins_that_are_drawn_are_those_of_train_rows_in_the_range_and_all_of_them_alike():
    table = np.arange(10, dtype=np.float32) / 10
    indices = np.arange(4000)
    drawn = draw_margins(AskedMarginSettings(above=0.2, below=0.6), table, 0, indices)
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == table[2:6].tolist()  # 0.6 itself is not below 0.6
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(4000 * 0.25 * 0.75)
    assert set(draw_margins(AskedMarginSettings(above=0.8), table, 0, indices)) == set(table[8:])
    assert set(draw_margins(AskedMarginSettings(below=0.1), table, 0, indices)) == {0.0}


def test_margin_of_a_sample_depends_on_its_index_and_the_seed_alone():
    table, asked = np.linspace(0, 1, 100, dtype=np.float32), AskedMarginSettings(below=0.9)
    whole = draw_margins(asked, table, 5, np.arange(20))
    np.testing.assert_array_equal(draw_margins(asked, table, 5, np.arange(7, 11)), whole[7:11])
    assert (draw_margins(asked, table, 6, np.arange(20)) != whole).any()


def test_range_without_a_train_row_is_refused_with_the_range_that_there_is():
    message = "which go from 0 to 0.9, got at least 0.95; ask for another range"
    with pytest.raises(DataError, match=message):
        draw_margins(AskedMarginSettings(above=0.95), np.arange(10, dtype=np.float32) / 10, 0, np.arange(3))
    with pytest.raises(DataError, match=r"got at least 0\.41 and below 0\.45"):
        draw_margins(AskedMarginSettings(above=0.41, below=0.45), np.arange(10) / np.float32(10), 0, np.arange(3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"above": 0.2, "below": 0.1}, r"expected above to be less than below \(0.1\), got 0.2"),
        ({"above": "8/255", "below": "8/255"}, "expected above to be less than below"),
        ({"weight": -1}, "expected weight to be greater than or equal to 0, got -1"),
    ],
)
def test_impossible_range_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        AskedMarginSettings(**values)


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_fresh_network_that_takes_a_margin_is_the_one_that_takes_none_with_a_layer_more(network):
    update = {"network": network, "width": 8}
    plain, other = (build_denoiser(each.model_copy(update=update), (8, 8, 1), 2, 0) for each in (PLAIN, SETTINGS))
    weights, more = plain.state_dict(), other.state_dict()
    assert all(torch.equal(weights[name], more[name]) for name in weights)
    added = {name: tensor for name, tensor in more.items() if name not in weights}
    assert set(added) == {f"network.conditioning.margin.linear.{name}" for name in ("weight", "bias")}
    assert not any(tensor.any() for tensor in added.values())


def test_margin_that_is_not_told_is_no_margin_at_all(conditioned):
    torch.manual_seed(0)
    noisy, sigma, labels = torch.randn(4, 1, 4, 4), torch.full((4,), 0.5), torch.tensor([0, 1, 0, 1])
    untold = conditioned(noisy, sigma, labels)
    some = conditioned(noisy, sigma, labels, torch.tensor([NAN, 0.1, NAN, 0.9]))
    assert torch.equal(some[[0, 2]], untold[[0, 2]])
    assert not torch.isclose(some[[1, 3]], untold[[1, 3]]).all()


def test_samples_are_the_brighter_the_larger_the_margin_asked_for(conditioned):
    means = [sample(conditioned, quantile).mean() for quantile in (0.05, 0.35, 0.65, 0.95)]
    assert np.diff(means).min() > 20  # of 200 levels between the darkest and the brightest row
    assert means[0] - 40 == pytest.approx(0, abs=40)


def test_weight_0_is_the_generator_without_a_margin_to_the_bit_and_1_the_one_with(conditioned):
    np.testing.assert_array_equal(sample(conditioned, 0.1, weight=0.0), sample(conditioned))
    near_1 = sample(conditioned, 0.1, weight=1 - 1e-9).astype(int)
    assert np.abs(near_1 - sample(conditioned, 0.1)).max() <= 1
    assert (sample(conditioned, 0.1, weight=0.0) != sample(conditioned, 0.1)).any()


def test_weight_above_1_exaggerates_the_margin(conditioned):
    dark, darker, untold = sample(conditioned, 0.2), sample(conditioned, 0.2, weight=1.5), sample(conditioned)
    assert darker.mean() < dark.mean() < untold.mean()


def test_margins_that_are_always_left_out_change_nothing():
    dropped = train(SETTINGS.model_copy(update={"margin": GeneratorMarginSettings(score="m", drop=1), "steps": 20}))
    images = sample(dropped, 0.1)
    np.testing.assert_array_equal(images, sample(dropped, 0.9))
    np.testing.assert_array_equal(images, sample(dropped))


def test_samples_with_margins_do_not_depend_on_count_or_beyond_rounding_on_batch_size(conditioned):
    quantiles, labels = np.linspace(0, 1, 21, dtype=np.float32), balanced_labels(21, 2)
    whole = sample_images(conditioned, labels, SETTINGS, 3, quantiles=quantiles, weight=2.0)
    few = sample_images(conditioned, labels[:5], SETTINGS, 3, quantiles=quantiles[:5], weight=2.0)
    np.testing.assert_array_equal(few, whole[:5])
    other = SETTINGS.model_copy(update={"sampling_batch_size": 7})
    again = sample_images(conditioned, labels, other, 3, quantiles=quantiles, weight=2.0)
    assert np.abs(again.astype(int) - whole).max() <= 1


def test_generator_keeps_the_margins_of_its_rows_in_order(conditioned):
    assert conditioned.margins.tolist() == np.sort(shades()[2]).tolist()


def test_rows_whose_margin_is_not_known_are_trained_without_one():
    margins = shades()[2]
    margins[:60] = NAN
    few = SETTINGS.model_copy(update={"steps": 5})
    assert train(few, margins).margins.tolist() == np.sort(margins[60:]).tolist()


def test_loss_tells_the_denoiser_the_quantiles():
    told = []

    def denoiser(noisy, sigma, labels, quantiles):
        told.append(quantiles)
        return noisy

    quantiles = torch.tensor([0.2, NAN])
    clean, labels = torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64)
    for each in (quantiles, None):
        denoising_loss(denoiser, clean, labels, SETTINGS, torch.Generator().manual_seed(0), each)
    assert told == [quantiles, None]


@pytest.mark.parametrize(
    ("settings", "margins", "message"),
    [
        (SETTINGS, None, "here one for each image, got none"),
        (PLAIN, shades()[2], "here none, got some"),
        (SETTINGS, np.zeros(3, np.float32), r"expected margins \[64\] of which some are known, got \[3\]"),
        (SETTINGS, np.full(64, NAN, np.float32), "with 0 known ones"),
    ],
)
def test_margins_that_do_not_fit_are_refused(settings, margins, message):
    with pytest.raises(DataError, match=message):
        train(settings, margins)

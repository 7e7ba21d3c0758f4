import numpy as np
import pytest
import torch
from torch import nn

from pumalib.errors import DataError
from pumalib.jobs.states import StateFile, StatePlace
from pumalib.models.checkpoint import load_weights, save_weights
from pumalib.synthesis.edm import build_denoiser, denoising_loss, precondition, rate_factor, train_generator
from pumalib.synthesis.sampling import balanced_labels, heun_sampler, noise_levels, sample_images
from pumalib.synthesis.settings import EdmSettings

SETTINGS = EdmSettings(
    method="edm",
    dataset="toy",
    network="mlp",
    width=32,
    num_blocks=1,
    steps=150,
    batch_size=64,
    learning_rate=5e-3,
    averaging=0.9,
    sampling_steps=8,
    sampling_batch_size=16,
)


def change(**values):
    return SETTINGS.model_copy(update=values)


def toy_set(count=64):
    """Class 0: the left half is bright; class 1: the right half is."""
    labels = balanced_labels(count, 2)
    images = np.random.default_rng(0).integers(0, 40, (count, 8, 8, 1), dtype=np.uint8)
    images[labels == 0, :, :4] += 200
    images[labels == 1, :, 4:] += 200
    return images, labels


@pytest.fixture(scope="module")
def trained():
    losses = []
    denoiser = train_generator(*toy_set(), 2, SETTINGS, seed=1, on_step=lambda _, loss: losses.append(loss))
    return denoiser, losses


@pytest.mark.parametrize("sigma_data", [0.5, 0.75])
@pytest.mark.parametrize("sigma", [0.002, 0.3, 1.0, 80.0])
def test_preconditioning_gives_network_input_and_target_unit_variance(sigma, sigma_data):
    c_skip, c_out, c_in, c_noise = (
        value.item() for value in precondition(torch.tensor([sigma], dtype=torch.float64), sigma_data)
    )

    def target_variance(skip):
        return ((1 - skip) ** 2 * sigma_data**2 + skip**2 * sigma**2) / c_out**2

    assert c_in**2 * (sigma**2 + sigma_data**2) == pytest.approx(1)
    assert target_variance(c_skip) == pytest.approx(1)
    assert target_variance(c_skip + 1e-2) > 1  # c_skip is the choice that amplifies errors least
    assert target_variance(c_skip - 1e-2) > 1
    assert np.exp(4 * c_noise) == pytest.approx(sigma)


def test_loss_of_untrained_denoiser_is_one_on_standardised_data():
    denoiser = build_denoiser(SETTINGS, (8, 8, 1), 2, seed=0)
    generator = torch.Generator().manual_seed(0)
    clean = SETTINGS.sigma_data * torch.randn((4096, 1, 8, 8), generator=generator)
    loss = denoising_loss(denoiser, clean, torch.zeros(4096, dtype=torch.int64), SETTINGS, generator)
    assert loss.item() == pytest.approx(1, abs=0.02)


def test_noise_levels_are_the_published_ones():
    levels = noise_levels(change(sampling_steps=3))
    middle = ((80 ** (1 / 7) + 0.002 ** (1 / 7)) / 2) ** 7
    assert levels == pytest.approx([80, middle, 0.002, 0])


def gaussian_denoiser(mean, std):
    """Return the exact denoiser of data N(mean, std^2): the posterior mean."""
    return lambda noisy, sigma: (std**2 * noisy + sigma**2 * mean) / (std**2 + sigma**2)


def test_sampler_gives_mean_and_variance_of_gaussian_data():
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal(20_000))
    samples = heun_sampler(gaussian_denoiser(0.3, 0.5), noise, noise_levels(change(sampling_steps=64)))
    assert samples.mean().item() == pytest.approx(0.3, abs=0.01)
    assert samples.std().item() == pytest.approx(0.5, abs=0.01)


def test_sampler_converges_second_order_to_the_exact_solution():
    mean, std = 0.3, 0.5
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)
    # (x - mean) / sqrt(std^2 + sigma^2) is constant along the ODE of Gaussian data.
    exact = mean + (80 * noise - mean) * std / np.hypot(std, 80)

    def error(num_steps):
        levels = noise_levels(change(sampling_steps=num_steps))
        return (heun_sampler(gaussian_denoiser(mean, std), noise, levels) - exact).abs().max().item()

    assert error(32) / error(64) == pytest.approx(4, rel=0.15)
    assert error(64) / error(128) == pytest.approx(4, rel=0.15)


class PointDenoiser(nn.Module):
    """The exact denoiser of a data set that holds one image."""

    def __init__(self, image):
        super().__init__()
        self.image_shape = image.shape
        self.point = torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1

    def forward(self, noisy, sigma, labels, quantiles=None):
        return self.point.expand_as(noisy)


def test_samples_of_a_single_image_set_are_that_image():
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    samples = sample_images(PointDenoiser(image), balanced_labels(5, 2), SETTINGS, seed=0)
    np.testing.assert_array_equal(samples, np.stack([image] * 5))


def test_samples_do_not_depend_on_count_or_on_being_drawn_in_parts(trained):
    whole = sample_images(trained[0], balanced_labels(40, 2), SETTINGS, seed=3)
    few = sample_images(trained[0], balanced_labels(21, 2), SETTINGS, seed=3)
    part = sample_images(trained[0], balanced_labels(8, 2), SETTINGS, seed=3, first_index=32)
    np.testing.assert_array_equal(few, whole[:21])
    np.testing.assert_array_equal(part, whole[32:])


def test_samples_do_not_depend_on_batch_size_beyond_rounding(trained):
    labels = balanced_labels(40, 2)
    expected = sample_images(trained[0], labels, SETTINGS, seed=3).astype(int)
    for size in (1, 7, 64):
        images = sample_images(trained[0], labels, change(sampling_batch_size=size), seed=3).astype(int)
        difference = np.abs(images - expected)
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01


def test_samples_differ_by_index_and_by_seed(trained):
    labels = np.zeros(2, np.int64)
    first = sample_images(trained[0], labels, SETTINGS, seed=3)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, sample_images(trained[0], labels, SETTINGS, seed=4))


def test_samples_show_the_class_asked_for(trained):
    labels = balanced_labels(20, 2)
    images = sample_images(trained[0], labels, SETTINGS, seed=3).astype(float)
    left_is_brighter = images[:, :, :4].mean((1, 2, 3)) > images[:, :, 4:].mean((1, 2, 3)) + 100
    np.testing.assert_array_equal(left_is_brighter, labels == 0)


def test_on_batch_hears_how_many_images_are_done(trained):
    done = []
    sample_images(trained[0], balanced_labels(40, 2), SETTINGS, seed=3, on_batch=done.append)
    assert done == [16, 32, 40]


def test_training_loss_falls(trained):
    losses = trained[1]
    assert len(losses) == SETTINGS.steps
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_same_seed_gives_bit_equal_weights_and_another_seed_does_not(network):
    settings = change(network=network, width=8, steps=4)
    first, again, other = (train_generator(*toy_set(), 2, settings, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("weight"))


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_training_moves_every_parameter(network):
    settings = change(network=network, width=8, steps=8)
    before = build_denoiser(settings, (8, 8, 1), 2, seed=0).state_dict()
    after = train_generator(*toy_set(), 2, settings, seed=0).state_dict()
    unmoved = [name for name in before if torch.equal(before[name], after[name])]
    assert unmoved == []


def test_generator_is_a_frozen_average_in_evaluation_mode(trained):
    assert not trained[0].training
    assert not any(parameter.requires_grad for parameter in trained[0].parameters())


def test_averaging_changes_the_weights_but_not_the_training():
    losses = {}
    weights = {}
    for averaging in (0.0, 0.99):
        losses[averaging] = []
        denoiser = train_generator(
            *toy_set(),
            2,
            change(averaging=averaging, steps=20),
            seed=0,
            on_step=lambda _, loss, key=averaging: losses[key].append(loss),
        )
        weights[averaging] = denoiser.network.output.weight
    assert losses[0.0] == losses[0.99]
    assert not torch.equal(weights[0.0], weights[0.99])


@pytest.mark.parametrize("network", ["mlp", "unet"])
def test_samples_are_the_same_from_a_weight_file(network, tmp_path):
    settings = change(network=network, width=8, steps=8)
    denoiser = train_generator(*toy_set(), 2, settings, seed=0)
    save_weights(denoiser, tmp_path / "denoiser.safetensors", {})
    loaded = build_denoiser(settings, (8, 8, 1), 2, seed=5).eval()
    load_weights(loaded, tmp_path / "denoiser.safetensors")
    labels = balanced_labels(4, 2)
    expected = sample_images(denoiser, labels, settings, seed=0)
    np.testing.assert_array_equal(sample_images(loaded, labels, settings, seed=0), expected)


def test_global_random_state_is_left_alone():
    state = torch.random.get_rng_state()
    denoiser = train_generator(*toy_set(), 2, change(steps=2), seed=0)
    sample_images(denoiser, balanced_labels(4, 2), SETTINGS, seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_learning_rate_rises_linearly_then_falls_to_zero():
    factors = np.array([rate_factor(step, 1000) for step in range(1001)])
    assert factors[0] == pytest.approx(1 / 50)
    assert factors.argmax() == 49
    assert factors[50:].tolist() == sorted(factors[50:], reverse=True)
    assert factors[1000] == pytest.approx(0)


def test_balanced_labels_count_classes_round():
    labels = balanced_labels(7, 3)
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((4, 8, 8), np.uint8), np.zeros(4, np.int64), "expected images uint8"),
        (np.zeros((4, 8, 8, 1), np.float32), np.zeros(4, np.int64), "got float32"),
        (np.zeros((4, 8, 8, 1), np.uint8), np.zeros(3, np.int64), r"expected labels int64 \[4\]"),
        (np.zeros((4, 8, 8, 1), np.uint8), np.full(4, 2), r"labels in \[0, 2\)"),
        (np.zeros((0, 8, 8, 1), np.uint8), np.zeros(0, np.int64), "one or more"),
    ],
)
def test_training_set_that_does_not_fit_is_refused(images, labels, message):
    with pytest.raises(DataError, match=message):
        train_generator(images, labels, 2, SETTINGS, seed=0)


class DiedError(Exception):
    """Raised where a test lets a training die."""


@pytest.mark.parametrize("last", [1, 7, 19])
def test_training_that_died_goes_on_to_the_same_bits(tmp_path, last):
    settings = change(steps=20)

    def die(step, _):
        if step == last:
            raise DiedError

    place = StatePlace(tmp_path / "state", 0)
    whole = train_generator(*toy_set(), 2, settings, seed=1)
    with pytest.raises(DiedError):
        train_generator(*toy_set(), 2, settings, seed=1, on_step=die, state_file=StateFile(place, "key"))
    steps = []
    resumed = train_generator(
        *toy_set(), 2, settings, seed=1, on_step=lambda step, _: steps.append(step), state_file=StateFile(place, "key")
    )
    assert steps == list(range(last, 21))  # the state is saved before a step, so the last one is taken again
    for first, second in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(first, second)


def test_loss_that_is_not_finite_names_its_step():
    with pytest.raises(
        DataError, match=r"expected a finite loss, got (nan|inf) at step \d+ of 20; lower learning_rate"
    ):
        train_generator(*toy_set(), 2, change(steps=20, learning_rate=1e30), seed=1)


@pytest.mark.parametrize("steps", [1, 20])
def test_weights_that_are_not_finite_are_no_result_and_no_state(tmp_path, steps):
    """The loss of the step that breaks the weights is finite still; with one step, there is no other."""
    place = StatePlace(tmp_path / "state", 0)
    settings = change(steps=steps, learning_rate=1e39)
    with pytest.raises(DataError, match=rf"expected finite weights, got others after step 1 of {steps}; lower learn"):
        train_generator(*toy_set(), 2, settings, seed=1, state_file=StateFile(place, "key"))
    state = StateFile(place, "key").load()
    assert state["step"] == 0
    assert all(weight.isfinite().all() for weight in state["denoiser"].values())

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.images import LabelledImages
from pumalib.errors import DataError
from pumalib.models.checks import check_finite_weights
from pumalib.training.history import EpochRecord, to_frame
from pumalib.training.recipe import Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.sampling import BatchPlan, draw_batches
from pumalib.training.settings import RecipeSettings, read_training
from pumalib.training.train import TrainingResult, TrainOptions, train, train_on_rows

THREAT = ThreatSettings(epsilon=0.1)
METHODS = ["natural", "pgd_at", "trades"]


def blobs(count: int = 60, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return 4x4 images of three classes told apart by brightness, with noise."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = 30 + 80 * labels[:, None, None, None] + generator.integers(30, size=(count, 4, 4, 1))
    return images.astype(np.uint8), labels


def a_net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def recipe(**changes: Any) -> RecipeSettings:
    values: dict[str, Any] = {"epochs": 2, "samples_per_epoch": 48, "batch_size": 16, "crop_padding": 1, **changes}
    return read_training(values)


def weights(result: TrainingResult) -> list[Tensor]:
    return list(result.model.state_dict().values())


def are_equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def fit(
    settings: RecipeSettings,
    seed: int = 0,
    data: tuple[NDArray[Any], NDArray[Any]] | None = None,
    epsilons: ArrayLike | None = None,
    threat: ThreatSettings = THREAT,
    **options: Any,
) -> TrainingResult:
    images, labels = data or blobs()
    chosen = TrainOptions(seed=seed, **options)
    return train(a_net(), images, labels, epsilons, settings=settings, threat=threat, options=chosen)


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_gives_the_same_bits_and_another_seed_does_not(method: str) -> None:
    first, again, other = (fit(recipe(method=method), seed) for seed in (0, 0, 1))
    assert are_equal(weights(first), weights(again))
    assert first.history.equals(again.history)
    assert not are_equal(weights(first), weights(other))


def test_images_on_the_device_and_memory_mapped_train_the_same_bits() -> None:
    rows = np.arange(0, 60, 2)
    resident, mapped = (
        fit(recipe(device_images_gib=limit), rows=rows, epsilons=np.linspace(-0.1, 0.1, 30)) for limit in (4.0, 0.0)
    )
    assert are_equal(weights(resident), weights(mapped))
    assert resident.history.equals(mapped.history)


@pytest.mark.parametrize("limit", [4.0, 0.0])
def test_pruned_rows_have_no_influence_at_all(limit: float) -> None:
    images, labels = blobs()
    rows = np.flatnonzero(np.arange(60) % 5 != 0)
    blanked, relabelled = images.copy(), labels.copy()
    blanked[::5], relabelled[::5] = 0, 2
    results = [
        fit(recipe(device_images_gib=limit), rows=rows, data=data) for data in ((images, labels), (blanked, relabelled))
    ]
    assert are_equal(weights(results[0]), weights(results[1]))


def test_training_data_are_left_as_they_were() -> None:
    images, labels = blobs()
    before = images.copy(), labels.copy()
    fit(recipe(), data=(images, labels))
    assert np.array_equal(images, before[0])
    assert np.array_equal(labels, before[1])


def test_one_step_is_nesterov_descent_at_each_row_s_own_perturbation() -> None:
    """A linear two-class model on all rows at once; PGD ends in the corner that the sign of epsilon says."""
    generator = np.random.default_rng(0)
    images = generator.integers(100, 150, (6, 1, 2, 1)).astype(np.uint8)
    labels = np.array([0, 1, 0, 1, 1, 0])
    rows, epsilons = np.array([0, 2, 3, 5]), np.array([0.1, -0.2, 0.3, 0.0])
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    model[1].weight.data, model[1].bias.data = torch.tensor([[0.5, -1.0], [-0.25, 2.0]]), torch.tensor([0.1, -0.1])
    weight, bias = (parameter.detach().double().numpy().copy() for parameter in model.parameters())
    settings = recipe(
        method="pgd_at", epochs=1, samples_per_epoch=4, batch_size=4, schedule="constant", learning_rate=0.3,
        momentum=0.9, weight_decay=0.01, label_smoothing=0.1, crop_padding=0, horizontal_flip=False, averaging=0.0,
    )  # fmt: skip
    result = train(model, images, labels, epsilons, settings=settings, threat=THREAT, options=TrainOptions(rows=rows))

    kept = labels[rows]
    toward_other = weight[1 - kept] - weight[kept]
    perturbed = images[rows].reshape(4, 2) / 255 + epsilons[:, None] * np.sign(toward_other)
    logits = perturbed @ weight.T + bias
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = 0.9 * np.eye(2)[kept] + 0.05
    slope = (probabilities - targets) / 4
    assert result.history.loss[0] == pytest.approx(float(-(targets * np.log(probabilities)).sum(1).mean()), rel=1e-5)
    for parameter, before, gradient in zip(
        result.model.parameters(), (weight, bias), (slope.T @ perturbed, slope.sum(0)), strict=True
    ):
        expected = before - 0.3 * (1 + 0.9) * (gradient + 0.01 * before)
        np.testing.assert_allclose(parameter, expected, rtol=1e-4, atol=1e-6)


def test_running_statistics_are_overwritten_at_the_first_step_and_moved_by_one_per_cent_after() -> None:
    images, labels = blobs()
    settings = recipe(method="natural", epochs=1, learning_rate=1e-12, crop_padding=0, horizontal_flip=False)
    model = a_net()
    weight, bias = (parameter.detach().double().numpy() for parameter in (model[1].weight, model[1].bias))  # type: ignore[index]
    model[2].running_mean.fill_(1000.0)  # type: ignore[index]
    result = train(model, images, labels, settings=settings, threat=THREAT)
    batches = draw_batches(BatchPlan(16, 3, 0.7, 0), np.zeros(60, np.uint8), np.arange(60), 0)
    values = [(images[rows].reshape(16, 16) / 255) @ weight.T + bias for rows in batches]
    mean, variance = values[0].mean(0), values[0].var(0, ddof=1)
    for batch in values[1:]:
        mean, variance = 0.99 * mean + 0.01 * batch.mean(0), 0.99 * variance + 0.01 * batch.var(0, ddof=1)
    np.testing.assert_allclose(result.model[2].running_mean, mean, rtol=1e-4, atol=1e-5)  # type: ignore[index]
    np.testing.assert_allclose(result.model[2].running_var, variance, rtol=1e-4, atol=1e-5)  # type: ignore[index]


def test_running_statistics_of_a_model_that_goes_on_are_moved_by_one_per_cent_from_the_first_step() -> None:
    net, (images, labels) = a_net(), blobs()
    net[2].running_mean.fill_(5.0)
    start = torch.from_numpy(images).float().flatten(1) / 255
    settings = recipe(
        method="natural",
        epochs=1,
        samples_per_epoch=60,
        batch_size=60,
        crop_padding=0,
        averaging=0.0,
        learning_rate=1e-12,
    )
    with torch.no_grad():
        batch = net[1](start).mean(0)  # one batch of every row, in whatever order
    data = TrainingRows(images, labels, np.zeros(60, np.uint8), np.arange(60), np.full(60, 0.1, np.float32), (4, 4, 1))
    result = train_on_rows(net, data, Recipe(settings, THREAT, goes_on=True))
    torch.testing.assert_close(result.model[2].running_mean, 0.99 * 5.0 + 0.01 * batch)


def test_weights_are_averaged_from_the_end_of_the_warm_up_on() -> None:
    """Two steps, one of warm-up: the average is the first step's weights, then a tenth of them and the second's."""
    images, labels = blobs()
    common = {"method": "natural", "epochs": 1, "schedule": "constant", "learning_rate": 0.1}
    once, twice = a_net(), a_net()
    train(once, images, labels, settings=recipe(samples_per_epoch=16, averaging=0.0, **common), threat=THREAT)
    settings = recipe(samples_per_epoch=32, averaging=0.995, averaging_warmup=0.5, **common)
    result = train(twice, images, labels, settings=settings, threat=THREAT)
    for average, first, second in zip(result.model.parameters(), once.parameters(), twice.parameters(), strict=True):
        assert not torch.equal(first, second)
        torch.testing.assert_close(average, (0.1 * first + 0.9 * second).detach())


def test_a_model_in_eval_mode_is_put_in_train_mode() -> None:
    images, labels = blobs()
    results = [train(model, images, labels, settings=recipe(), threat=THREAT) for model in (a_net(), a_net().eval())]
    assert are_equal(weights(results[0]), weights(results[1]))


class Watcher(nn.Module):
    """Keeps the batches it was trained on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 3)
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.seen.append(images.clone())
        logits: Tensor = self.layer(images.flatten(1))
        return logits


def test_each_step_augments_anew() -> None:
    images, labels = blobs(16)
    images[:] = images[:1]
    model = Watcher()
    train(model, images, labels, settings=recipe(method="natural"), threat=THREAT)
    assert len(model.seen) == 6
    assert len({tuple(batch.flatten().tolist()) for batch in model.seen}) == 6


def test_history_has_one_line_an_epoch_with_its_columns() -> None:
    history = fit(recipe(epochs=3)).history
    assert list(history.columns) == [field.name for field in fields(EpochRecord)]
    assert history.epoch.tolist() == [1, 2, 3]
    assert history.images_seen.tolist() == [48, 96, 144]
    assert np.isfinite(history.drop(columns="split").to_numpy(float)).all()
    np.testing.assert_allclose(history.loss, history.natural_loss + 5 * history.robust_loss, rtol=1e-5)


def test_samples_an_epoch_are_rounded_up_to_whole_batches() -> None:
    assert fit(recipe(samples_per_epoch=33)).history.images_seen.tolist() == [48, 96]


def test_history_without_lines_still_has_its_columns() -> None:
    assert list(to_frame([]).columns) == [field.name for field in fields(EpochRecord)]


@pytest.mark.parametrize(("method", "missing"), [("natural", []), ("pgd_at", ["natural_loss"]), ("trades", [])])
def test_only_a_loss_that_a_method_never_sees_is_missing_from_the_history(method: str, missing: list[str]) -> None:
    history = fit(recipe(method=method)).history
    assert [name for name in history.columns if history[name].isna().any()] == missing
    if method == "natural":
        assert history.robust_loss.tolist() == [0.0, 0.0]
        assert history.loss.equals(history.natural_loss)


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_history_gives_the_learning_rate_of_each_epoch_s_last_step(unit: str) -> None:
    settings = recipe(epochs=6, schedule_unit=unit, learning_rate=0.1)
    total = 6 if unit == "epoch" else 18
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=total, pct_start=2 / total)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = rates if unit == "epoch" else rates[2::3]
    np.testing.assert_allclose(fit(settings).history.learning_rate, expected)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
def test_the_shortest_trainings_run_without_a_warning(epochs: int) -> None:
    history = fit(recipe(epochs=epochs, learning_rate=0.05)).history
    assert history.learning_rate.max() == pytest.approx(0.05)


def test_accuracies_are_measured_every_so_many_epochs_and_at_the_end() -> None:
    history = fit(recipe(epochs=5, history_every=2)).history
    assert history.clean_accuracy.isna().tolist() == [True, False, True, False, False]
    assert history.robust_accuracy.isna().tolist() == [True, False, True, False, False]


def test_accuracies_are_those_of_the_model_that_is_returned() -> None:
    images, labels = blobs()
    result = fit(recipe(epochs=4, history_images=1000))
    with torch.no_grad():
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        accuracy = float((result.model(pixels).argmax(1).numpy() == labels).mean())
    last = result.history.iloc[-1]
    assert last.clean_accuracy == pytest.approx(accuracy)
    assert last.robust_accuracy <= last.clean_accuracy
    assert not any(module.training for module in result.model.modules())


def test_history_says_which_split_it_measured() -> None:
    images, labels = blobs(9, seed=1)
    with_validation = fit(recipe(), validation=LabelledImages(images, 2 - labels))
    assert set(fit(recipe()).history.split) == {"train"}
    assert set(with_validation.history.split) == {"validation"}


def test_validation_images_change_the_history_and_nothing_else() -> None:
    images, labels = blobs(9, seed=1)
    alone, watched = fit(recipe()), fit(recipe(), validation=LabelledImages(images, labels))
    assert are_equal(weights(alone), weights(watched))


def test_easy_classes_are_learned_robustly() -> None:
    settings = recipe(epochs=30, learning_rate=0.1, crop_padding=0)
    last = fit(settings, threat=ThreatSettings(epsilon=0.02)).history.iloc[-1]
    assert (last.clean_accuracy, last.robust_accuracy) == (1.0, 1.0)


def test_zero_and_constant_epsilons_train_differently() -> None:
    assert not are_equal(weights(fit(recipe(), epsilons=np.zeros(60))), weights(fit(recipe())))


def test_omitted_epsilons_are_the_threat_s() -> None:
    assert are_equal(weights(fit(recipe())), weights(fit(recipe(), epsilons=np.full(60, 0.1))))


def test_synthetic_rows_fill_their_share() -> None:
    """With real rows only in class 0 and 1, and synthetic only in class 2, the share shows in the class prior."""
    images, labels = blobs()
    source = (labels == 2).astype(np.uint8)
    settings = recipe(method="natural", epochs=1, synthetic_fraction=0.75, learning_rate=1e-9, label_smoothing=0.0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    model[1].weight.data.zero_()
    model[1].bias.data = torch.log(torch.tensor([0.1, 0.1, 0.8]))
    options = TrainOptions(source=source)
    history = train(model, images, labels, settings=settings, threat=THREAT, options=options).history
    assert history.loss[0] == pytest.approx(-(0.25 * np.log(0.1) + 0.75 * np.log(0.8)), rel=1e-5)


@pytest.mark.parametrize("epsilons", [np.zeros(60), np.linspace(-0.1, 0.1, 60)])
def test_natural_training_refuses_epsilons_of_its_own(epsilons: NDArray[np.float64]) -> None:
    with pytest.raises(DataError, match="default epsilon with natural training"):
        fit(recipe(method="natural"), epsilons=epsilons)


class FailingNet(nn.Module):
    """Gives NaN at one of its forwards in train mode."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.layer, self.at, self.count = nn.Linear(16, 3), at, 0

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1))
        self.count += self.training
        return logits * torch.nan if self.training and self.count == self.at else logits


@pytest.mark.parametrize(("at", "epoch", "step"), [(1, 1, 1), (3, 1, 3), (4, 2, 1), (5, 2, 2)])
def test_a_loss_that_is_not_finite_stops_and_is_placed(at: int, epoch: int, step: int) -> None:
    images, labels = blobs()
    settings = recipe(method="natural", epochs=3)
    with pytest.raises(DataError, match=rf"got nan in epoch {epoch} at its step {step} of 3; lower learning_rate"):
        train(FailingNet(at), images, labels, settings=settings, threat=THREAT)


class SteepNet(FailingNet):
    """A network with large gradients."""

    def forward(self, images: Tensor) -> Tensor:
        return 1000 * super().forward(images)


def test_weights_broken_by_the_last_step_are_no_result() -> None:
    """The loss of that step is finite still."""
    images, labels = blobs()
    settings = recipe(method="natural", epochs=1, samples_per_epoch=16, learning_rate=1e38)
    with pytest.raises(DataError, match=r"expected finite weights, got others in epoch 1 after its step 1 of 1; lower"):
        train(SteepNet(at=0), images, labels, settings=settings, threat=THREAT)


def test_a_buffer_of_infinities_is_no_weight() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    check_finite_weights(model, "at the end")
    norm = nn.BatchNorm1d(2)
    norm.running_var.fill_(torch.nan)  # type: ignore[union-attr]
    with pytest.raises(DataError, match="expected finite weights, got others at the end"):
        check_finite_weights(nn.Sequential(model, norm), "at the end")


def test_a_diverging_training_stops() -> None:
    with pytest.raises(DataError, match="expected a finite loss"):
        fit(recipe(epochs=4, learning_rate=1e30))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": [0, 2, 1]}, "ascending order"),
        ({"rows": [0, 1, 1]}, "ascending order"),
        ({"rows": []}, "at least one selected row"),
        ({"rows": [0, 60]}, r"selected rows in \[0, 60\), got 0..60"),
        ({"rows": [-1, 5]}, r"selected rows in \[0, 60\), got -1..5"),
        ({"epsilons": [0.1]}, "one epsilon for each of 60 rows"),
        ({"epsilons": np.full((60, 1), 0.1)}, "one epsilon for each of 60 rows"),
        ({"epsilons": np.full(60, np.nan)}, "finite epsilons"),
        ({"source": [0, 1]}, r"one of the sources for each of 60 images, got \[2\]"),
    ],
)
def test_rows_and_epsilons_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit(recipe(), **options)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            np.full((60, 4, 4, 1), 0.1234, np.float32),
            np.zeros(60, int),
            "multiples of 1/255, got floats",
        ),
        (np.full((60, 4, 4, 1), 3.0, np.float32), np.zeros(60, int), r"floats in \[0, 1\], got float32 in 3..3"),
        (np.zeros((60, 4, 4, 1), np.int64), np.zeros(60, int), "images as uint8, or as floats"),
        (np.zeros((60, 4, 4), np.uint8), np.zeros(60, int), r"\[N, H, W, C\], got uint8 \[60, 4, 4\]"),
        (np.zeros((60, 4, 4, 2), np.uint8), np.zeros(60, int), "with 1 or 3 channels"),
        (np.zeros((60, 4, 4, 1), np.uint8), np.zeros(59, int), r"labels for each of 60 images, got \[59\]"),
        (np.zeros((60, 4, 4, 1), np.uint8), np.zeros(60) + 0.9, "integer labels, got float64"),
        (np.zeros((60, 4, 4, 1), np.uint8), np.eye(60, 3, dtype=int), "looks one-hot"),
        (
            np.zeros((60, 4, 4, 1), np.uint8),
            np.full(60, -100),
            r"the classes of the network, got -100",
        ),
        (
            np.zeros((60, 4, 4, 1), np.uint8),
            np.full(60, 99),
            r"the classes of the network, got 99",
        ),
    ],
)
def test_images_and_labels_of_another_form_are_refused(
    images: NDArray[Any], labels: NDArray[Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        fit(recipe(), data=(images, labels))


@pytest.mark.parametrize(
    "change",
    [
        lambda images: images.transpose(0, 3, 1, 2),
        lambda images: images.astype(np.float32) / 255,
        lambda images: torch.from_numpy(images).permute(0, 3, 1, 2) / 255,
    ],
)
def test_both_layouts_and_both_scales_of_images_train_the_same(change: Any) -> None:
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 1), np.uint8)
    labels = np.arange(60) % 3
    expected, found = (fit(recipe(), data=(each, labels)) for each in (images, change(images)))
    for one, other in zip(expected.model.parameters(), found.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model: model.half(), "expected parameters of float32 to train, got torch.float16"),
        (lambda model: model.requires_grad_(False), "expected parameters of float32 to train, got none"),
    ],
)
def test_networks_that_cannot_be_trained_are_refused(change: Any, message: str) -> None:
    images, labels = np.zeros((60, 4, 4, 1), np.uint8), np.arange(60) % 3
    model = change(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)))
    with pytest.raises(DataError, match=message):
        train(model, images, labels, settings=recipe(epochs=1), threat=ThreatSettings(epsilon=0.1))

"""What a training gathers on the way, and that it trains the same bits with and without."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.attacks.objectives import cross_entropy, divergence
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import DataError
from pumalib.randomness import derive_seed
from pumalib.tracks.file import Track
from pumalib.tracks.passes import PASSES, epochs_of
from pumalib.tracks.settings import PassSettings, TrackSettings
from pumalib.training.inner_attack import InnerAttack
from pumalib.training.recipe import Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.sampling import BatchPlan, draw_batches
from pumalib.training.settings import NaturalSettings, PgdAtSettings, TradesSettings, read_training
from pumalib.training.tracker import Tracker
from pumalib.training.train import TrainingResult, TrainOptions, train

THREAT = ThreatSettings(epsilon=0.1)
EVERYTHING: dict[str, Any] = {**{name: {} for name in PASSES}, "visits": {}, "batch_size": 17}


def stripes(count: int = 60) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return noisy 4x4 images of three classes that are not quite told apart by brightness."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = 60 + 40 * labels[:, None, None, None] + generator.integers(90, size=(count, 4, 4, 1))
    return images.astype(np.uint8), labels


def a_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def fit(track: dict[str, Any], model: nn.Module | None = None, **options: Any) -> TrainingResult:
    recipe: dict[str, Any] = {
        "epochs": 3,
        "samples_per_epoch": 48,
        "batch_size": 16,
        "crop_padding": 1,
        "attack_steps": 2,
    }
    rows = options.pop("rows", None)
    source = options.pop("source", None)
    images, labels = stripes()
    settings = read_training({key: value for key, value in {**recipe, **options}.items() if value is not None})
    chosen = TrainOptions(source, rows, track=TrackSettings.model_validate(track))
    return train(model or a_model(), images, labels, settings=settings, threat=THREAT, options=chosen)


def logits_of(model: nn.Module) -> Tensor:
    images, _ = stripes()
    with torch.no_grad():
        logits: Tensor = model.eval()(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    return logits


@pytest.mark.parametrize("method", ["natural", "pgd_at", "trades"])
def test_tracking_changes_no_bit_of_the_training(method: str) -> None:
    inputs = "clean" if method == "natural" else "attacked"
    options: dict[str, Any] = {"method": method} | ({"attack_steps": None} if method == "natural" else {})
    everything = {**EVERYTHING, **{name: {"inputs": inputs, "weights": "averaged"} for name in ("correct", "aign")}}
    everything |= {"loss": {"augmented": True}, "aign": {**everything["aign"], "augmented": True, "norm": "l1"}}
    plain, tracked = a_model(), a_model()
    alone, watched = fit({}, plain, **options), fit(everything, tracked, **options)
    for first, second in ((alone.model, watched.model), (plain, tracked)):
        for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
            assert torch.equal(a, b)
    assert alone.history.equals(watched.history)
    assert alone.track.names == ()
    assert watched.track.names == tuple(sorted((*PASSES, "visits")))


def test_tracked_values_are_those_of_the_model_after_the_epoch_in_pool_order() -> None:
    """The last epoch's values come again from the trained weights, current and averaged."""
    model, labels = a_model(), torch.from_numpy(stripes()[1])
    result = fit({"loss": {}, "el2n": {"weights": "averaged"}, "correct": {"inputs": "clean"}, "batch_size": 7}, model)
    logits, averaged = logits_of(model), logits_of(result.model)
    found = result.track.quantities
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    np.testing.assert_allclose(found["loss"].values[-1], loss, rtol=1e-5)
    error = averaged.softmax(1) - torch.nn.functional.one_hot(labels, 3)
    np.testing.assert_allclose(found["el2n"].values[-1], error.norm(dim=1), rtol=1e-5)
    assert found["correct"].values[-1].tolist() == (logits.argmax(1) == labels).tolist()
    assert not torch.equal(logits, averaged)


@pytest.mark.parametrize("method", ["pgd_at", "trades"])
def test_attacked_inputs_are_those_of_the_methods_own_attack(method: str) -> None:
    """PGD-AT attacks the label, TRADES the clean prediction: on a kept model the losses come again from either."""
    settings = read_training({"method": method, "epochs": 1, "attack_steps": 3})
    images, labels = stripes()
    model = a_model().eval()
    watch = TrackSettings.model_validate({"loss": {"inputs": "attacked"}, "batch_size": len(labels)})
    epsilons = np.full(len(labels), THREAT.epsilon, np.float32)
    data = TrainingRows(images, labels, np.zeros(len(labels), np.uint8), np.arange(len(labels)), epsilons, (4, 4, 1))
    tracker = Tracker(data, Recipe(settings, THREAT, watch, seed=5), torch.device("cpu"))
    tracker.end_epoch(1, model, model)
    inputs, targets = torch.from_numpy(images).permute(0, 3, 1, 2) / 255, torch.from_numpy(labels)
    objectives: dict[str, Callable[[Tensor], Tensor]] = {
        "pgd_at": partial(cross_entropy, labels=targets),
        "trades": partial(divergence, clean_logits=model(inputs).detach()),
    }
    losses = {}
    for kind, objective in objectives.items():
        generator = torch.Generator().manual_seed(derive_seed(5, "track", 1, 0))
        attack = InnerAttack(THREAT.norm, 3, None)
        attacked = attack.perturb(model, inputs, targets, torch.from_numpy(epsilons), objective, generator)
        losses[kind] = nn.functional.cross_entropy(model(attacked), targets, reduction="none").detach().numpy()
    (values,) = tracker.track().quantities["loss"].values
    other = next(kind for kind in losses if kind != method)
    np.testing.assert_allclose(values, losses[method], rtol=1e-4)
    assert not np.allclose(values, losses[other], rtol=1e-2)


def test_rows_left_out_of_training_are_looked_at_too() -> None:
    result = fit({"loss": {}, "visits": {}}, rows=np.arange(0, 60, 2))
    assert result.track.quantities["loss"].values.shape == (3, 60)
    assert result.track.visits is not None
    assert not result.track.visits.count[1::2].any()


def test_quantities_have_the_types_and_epochs_that_were_asked_for() -> None:
    track = {"correct": {"first_epoch": 2, "every": 3}, "el2n": {"last_epoch": 4}, "loss": {"last_epoch": 99}}
    found = fit(track, epochs=6).track.quantities
    assert {name: quantity.epochs.tolist() for name, quantity in found.items()} == {
        "correct": [2, 5], "el2n": [1, 2, 3, 4], "loss": [1, 2, 3, 4, 5, 6],
    }  # fmt: skip
    assert found["correct"].values.dtype == bool
    assert found["el2n"].values.dtype == np.float32
    assert found["loss"].values.shape == (6, 60)


@given(first=st.integers(1, 9), length=st.none() | st.integers(0, 9), every=st.integers(1, 4), total=st.integers(1, 12))
def test_tracked_epochs_are_every_so_many_of_a_window_of_the_training(
    first: int, length: int | None, every: int, total: int
) -> None:
    last = None if length is None else first + length
    wanted = PassSettings(first_epoch=first, last_epoch=last, every=every)
    expected = [
        epoch for epoch in range(1, total + 1)
        if epoch >= first and (last is None or epoch <= last) and (epoch - first) % every == 0
    ]  # fmt: skip
    assert list(epochs_of(wanted, total)) == expected


def test_visits_count_what_the_batches_held() -> None:
    """With two sources the synthetic rows are drawn with replacement, so a batch can hold a row twice."""
    source = (np.arange(60) >= 50).astype(np.uint8)
    rows = np.flatnonzero(np.arange(60) % 7 != 0)
    visits = fit({"visits": {}}, source=source, rows=rows).track.visits
    expected = np.zeros(60, int)
    repeats = 0
    for epoch in range(3):
        for batch in draw_batches(BatchPlan(16, 3, 0.7, 0), source, rows, epoch):
            expected += np.bincount(batch, minlength=60)
            repeats += len(batch) - len(set(batch.tolist()))
    assert visits is not None
    assert repeats > 0
    assert visits.count.tolist() == expected.tolist()
    assert visits.count.dtype == visits.wrong.dtype == np.int32
    assert (visits.wrong <= visits.count).all()


def test_wrong_visits_are_those_misclassified_at_the_perturbed_image() -> None:
    """A frozen two-class model of one pixel: its attack moves the pixel by epsilon towards 0.5 and past it."""
    images = np.array([40, 115, 125, 200], np.uint8).reshape(4, 1, 1, 1)
    labels = np.array([0, 0, 1, 1])
    for epsilon, expected in ((0.1, [0, 3, 3, 0]), (0.01, [0, 0, 3, 0]), (0.4, [3, 3, 3, 3])):
        model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
        model[1].weight.data, model[1].bias.data = torch.tensor([[-9.0], [9.0]]), torch.tensor([4.5, -4.5])
        recipe = PgdAtSettings(epochs=3, samples_per_epoch=4, batch_size=4, learning_rate=1e-12, crop_padding=0)
        options = TrainOptions(track=TrackSettings.model_validate({"visits": {}, "correct": {}}))
        threat = ThreatSettings(epsilon=epsilon)
        result = train(model, images, labels, settings=recipe, threat=threat, options=options)
        assert result.track.visits is not None
        assert result.track.visits.wrong.tolist() == expected
        correct = result.track.quantities["correct"].values
        assert (3 - correct.sum(0)).tolist() == expected


def test_attacked_inputs_are_harder_than_clean_ones_and_come_again() -> None:
    """Under pgd_at the attack ascends the very loss that is tracked."""
    wanted = [{"loss": {"inputs": inputs}} for inputs in ("attacked", "attacked", "clean")]
    attacked, again, clean = (fit(track, method="pgd_at").track.quantities["loss"].values for track in wanted)
    assert np.array_equal(attacked, again)
    assert (attacked.mean(1) > clean.mean(1)).all()


def shifted_and_flipped(image: NDArray[np.uint8], padding: int) -> list[NDArray[np.uint8]]:
    """Return all that a random crop and flip can make of an image [H, W, C]."""
    height, width, _ = image.shape
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    crops = [
        padded[down : down + height, right : right + width]
        for down in range(2 * padding + 1)
        for right in range(2 * padding + 1)
    ]
    return [*crops, *(crop[:, ::-1] for crop in crops)]


def test_augmented_images_are_crops_and_flips_drawn_anew_after_each_epoch() -> None:
    """On a linear model kept as it is, a row's value is that of one of its 18 crops and flips, in closed form."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
    weight, bias = (parameter.detach().double().numpy() for parameter in model.parameters())
    images, labels = stripes()
    recipe = NaturalSettings(epochs=3, crop_padding=1, horizontal_flip=True)
    data = TrainingRows(images, labels, np.zeros(60, np.uint8), np.arange(60), np.full(60, 0.1, np.float32), (4, 4, 1))
    watch = TrackSettings.model_validate({"aign": {"augmented": True}, "el2n": {}})
    tracker = Tracker(data, Recipe(recipe, THREAT, watch, seed=3), torch.device("cpu"))
    for epoch in (1, 2, 3):
        tracker.end_epoch(epoch, model, model)
    found = tracker.track().quantities
    drawn = np.empty((3, 60), int)
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        flat = np.stack(shifted_and_flipped(image, 1)).reshape(18, 16) / 255
        exponentials = np.exp(flat @ weight.T + bias)
        errors = exponentials / exponentials.sum(1, keepdims=True) - np.eye(3)[label]
        distances = np.abs(found["aign"].values[:, row, None] - np.linalg.norm(errors @ weight, axis=1))
        assert distances.min(1).max() < 1e-6
        drawn[:, row] = distances.argmin(1)
        np.testing.assert_allclose(found["el2n"].values[:, row], np.linalg.norm(errors[4]), rtol=1e-5)
    assert len(np.unique(drawn)) == 18
    assert len({tuple(epoch) for epoch in drawn.tolist()}) == 3


def test_attacked_augmented_inputs_are_perturbed_crops() -> None:
    """Under an epsilon of nearly 0 they are the augmented ones, under a larger one their loss is higher."""
    images, labels = stripes()
    model = a_model().eval()
    recipe = PgdAtSettings(epochs=1, crop_padding=1, attack_steps=3)
    data = TrainingRows(images, labels, np.zeros(60, np.uint8), np.arange(60), np.full(60, 0.1, np.float32), (4, 4, 1))

    def losses(inputs: str, epsilon: float) -> NDArray[np.float32]:
        watch = TrackSettings.model_validate({"loss": {"augmented": True, "inputs": inputs}})
        how = Recipe(recipe, ThreatSettings(epsilon=epsilon), watch, seed=3)
        tracker = Tracker(data, how, torch.device("cpu"))
        tracker.end_epoch(1, model, model)
        values: NDArray[np.float32] = tracker.track().quantities["loss"].values[0]
        return values

    clean = losses("clean", 0.1)
    np.testing.assert_allclose(losses("attacked", 1e-6), clean, rtol=1e-3)
    assert (losses("attacked", 0.1) > clean).mean() > 0.95


def test_the_norm_of_a_gradient_is_kept_with_its_values() -> None:
    found = fit({"aign": {"norm": "linf"}, "loss": {}}).track.quantities
    assert (found["aign"].norm, found["loss"].norm) == ("linf", "")
    by_norm = [fit({"aign": {"norm": norm}}).track.quantities["aign"].values for norm in ("linf", "l2", "l1")]
    assert np.array_equal(found["aign"].values, by_norm[0])
    assert (by_norm[0] < by_norm[1]).all()
    assert (by_norm[1] < by_norm[2]).all()
    assert (by_norm[2] <= 16 * by_norm[0] * (1 + 1e-6)).all()


def test_batch_size_leaves_clean_quantities_alone() -> None:
    small, large = (fit({"el2n": {}, "grand": {}, "batch_size": size}).track.quantities for size in (7, 500))
    for name in small:
        np.testing.assert_allclose(small[name].values, large[name].values, rtol=1e-4)


def test_a_tracker_goes_on_from_a_track_as_if_it_had_not_been_interrupted() -> None:
    images, labels = stripes()
    data = TrainingRows(images, labels, np.zeros(60, np.uint8), np.arange(60), np.full(60, 0.1, np.float32), (4, 4, 1))
    settings = TrackSettings.model_validate({"loss": {}, "correct": {"every": 2}, "visits": {}})
    recipe = TradesSettings(epochs=4, attack_steps=2)
    models = [a_model() for _ in range(4)]

    def follow(tracker: Tracker, epochs: range) -> Tracker:
        for epoch in epochs:
            tracker.visit(np.arange(epoch * 5), torch.arange(epoch * 5) % epoch == 0)
            tracker.end_epoch(epoch, models[epoch - 1], models[epoch - 1])
        return tracker

    def make() -> Tracker:
        return Tracker(data, Recipe(recipe, THREAT, settings, seed=3), torch.device("cpu"))

    whole = follow(make(), range(1, 5)).track()
    resumed = make()
    resumed.load_state_dict(follow(make(), range(1, 3)).state_dict())
    assert_equal_tracks(follow(resumed, range(3, 5)).track(), whole)


def assert_equal_tracks(found: Track, expected: Track) -> None:
    assert found.names == expected.names
    for name, quantity in expected.quantities.items():
        assert np.array_equal(found.quantities[name].epochs, quantity.epochs)
        assert np.array_equal(found.quantities[name].values, quantity.values)
    assert found.visits is not None
    assert expected.visits is not None
    assert np.array_equal(found.visits.count, expected.visits.count)
    assert np.array_equal(found.visits.wrong, expected.visits.wrong)


def test_attacked_inputs_are_refused_where_training_has_no_attack() -> None:
    with pytest.raises(DataError, match="expected inputs: clean for correct with natural training"):
        fit({"correct": {}}, method="natural", attack_steps=None)


def test_augmented_images_are_refused_where_training_augments_nothing() -> None:
    with pytest.raises(DataError, match="expected augmented: false for el2n with a training that neither crops"):
        fit({"loss": {}, "el2n": {"augmented": True}}, crop_padding=0, horizontal_flip=False)

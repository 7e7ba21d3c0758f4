"""Networks that would be mismeasured: they are measured rightly, or refused in one sentence, by every method."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pumalib.attacks.deepfool import deepfool_margins
from pumalib.attacks.fast_margin import fast_margins
from pumalib.attacks.refined_margin import refined_margins
from pumalib.attacks.settings import (
    AttackSettings,
    CleanSettings,
    CwPgdSettings,
    MinimumNormSettings,
    PgdSettings,
    SquareSettings,
)
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import DataError
from pumalib.evaluation.evaluate import evaluate

THREAT = ThreatSettings(epsilon=0.1)
WITH_GRADIENTS: dict[str, Callable[..., Any]] = {
    "deepfool": deepfool_margins,
    "refined": refined_margins,
    "fast": partial(fast_margins, step_size=0.02),
    "cw_pgd": partial(evaluate, attack=CwPgdSettings(steps=3, random_start=False), threat=THREAT),
    "pgd": partial(evaluate, attack=PgdSettings(steps=3, random_start=False), threat=THREAT),
    "minimum_norm": partial(evaluate, attack=MinimumNormSettings(), threat=THREAT),
}
METHODS: dict[str, Callable[..., Any]] = {
    **WITH_GRADIENTS,
    "square": partial(evaluate, attack=SquareSettings(queries=5), threat=THREAT),
    "clean": partial(evaluate, attack=CleanSettings(), threat=THREAT),
}


class Standardised(nn.Module):
    """Standardises each image by its own deviation, which is 0 for an image of one colour."""

    def __init__(self, eps: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.eps = nn.Linear(36, 3), eps

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        logits: Tensor = self.linear(centred / (centred.square().mean(1, keepdim=True).sqrt() + self.eps))
        return logits


class Wrapped(nn.Module):
    """Changes what a network gives."""

    def __init__(self, net: nn.Module, change: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.change = net, change

    def forward(self, images: Tensor) -> Any:
        return self.change(self.net(images))


@pytest.fixture
def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 3)).eval()


@pytest.fixture
def images() -> Tensor:
    """Return forty images, of which 20 to 29 have one colour each."""
    images = torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    images[20:30] = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0] * 2)[:, None, None, None]
    return images


@torch.no_grad()
def labels_of(net: nn.Module, images: Tensor) -> Tensor:
    return net(images).argmax(1)


@pytest.mark.parametrize("order", ["first", "in the middle", "alone"])
@pytest.mark.parametrize("method", METHODS)
def test_logits_that_are_not_finite_are_an_error_that_counts_the_images(
    images: Tensor, method: str, order: str
) -> None:
    shown = {"first": images.roll(-20, 0), "in the middle": images, "alone": images[20:30]}[order]
    tried = {"first": "10 of 16", "in the middle": "10 of 40", "alone": "10 of 10"}[order]
    message = rf"expected finite logits, got NaN or infinity at {tried} images"
    with pytest.raises(DataError, match=message):
        METHODS[method](Standardised(0.0).eval(), shown, torch.zeros(len(shown), dtype=torch.int64))


@pytest.mark.parametrize("method", WITH_GRADIENTS)
def test_gradients_that_are_not_finite_are_an_error_that_counts_the_images(images: Tensor, method: str) -> None:
    model = Standardised(1e-5).eval()
    flat = images[20:30]
    with pytest.raises(DataError, match="expected finite gradients, got NaN or infinity at 10 of 10 images"):
        METHODS[method](model, flat, labels_of(model, flat))


@pytest.mark.parametrize("method", METHODS)
def test_what_no_network_that_is_finite_everywhere_does_is_not_held_against_it(images: Tensor, method: str) -> None:
    model = Standardised(1e-5).eval()
    others = torch.cat([images[:20], images[30:]])
    METHODS[method](model, others, labels_of(model, others))


@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize("method", METHODS)
def test_normalisation_by_the_statistics_of_a_batch_is_refused(images: Tensor, method: str, count: int) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.Flatten(), nn.Linear(64, 3)).eval()
    with pytest.raises(DataError, match=r"logits that depend on the image alone.*running statistics"):
        METHODS[method](model, images[:count], torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("method", METHODS)
def test_chance_left_on_is_refused(net: nn.Module, images: Tensor, method: str, count: int) -> None:
    model = Wrapped(net, partial(nn.functional.dropout, p=0.5, training=True)).eval()
    with pytest.raises(DataError, match=r"depend on the image alone.*dropout"):
        METHODS[method](model, images[:count], torch.zeros(count, dtype=torch.int64))


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda logits: (logits, logits), "a tuple of 2"),
        (lambda logits: {"logits": logits, "features": logits}, "a dict with logits, features"),
        (lambda logits: [logits], "a list of 1"),
        (lambda logits: None, "a NoneType"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_other_outputs_than_a_tensor_are_refused(
    net: nn.Module, images: Tensor, method: str, change: Callable[[Tensor], Any], got: str
) -> None:
    with pytest.raises(DataError, match=f"expected logits as a tensor .*, got {got} from the network; wrap it"):
        METHODS[method](Wrapped(net, change).eval(), images, torch.zeros(40, dtype=torch.int64))


@pytest.mark.parametrize("method", METHODS)
def test_logits_cut_off_from_the_image_are_refused_where_gradients_are_followed(
    net: nn.Module, images: Tensor, method: str
) -> None:
    detached = Wrapped(net, lambda logits: logits.detach()).eval()
    labels = labels_of(net, images)
    if method in WITH_GRADIENTS:
        with pytest.raises(DataError, match=r"logits that follow from the images.*take detach\(\)"):
            METHODS[method](detached, images, labels)
    else:
        expected, found = METHODS[method](net, images, labels), METHODS[method](detached, images, labels)
        np.testing.assert_array_equal(found.adversarial_prediction, expected.adversarial_prediction)


def distances(table: Any) -> Any:
    return table.margin if hasattr(table, "margin") else table.perturbation_norm


def of_precision(net: nn.Module, dtype: torch.dtype) -> tuple[nn.Module, nn.Module]:
    """Return a network in half precision, and one of float32 with the same (rounded) weights."""
    half = nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 3)).eval()
    half.load_state_dict(net.state_dict())
    half = half.to(dtype)
    whole = nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 3)).eval()
    whole.load_state_dict({name: value.float() for name, value in half.state_dict().items()})
    return half, whole


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 0.005), (torch.bfloat16, 0.03)])
@pytest.mark.parametrize("method", METHODS)
def test_a_network_of_half_precision_is_measured_at_points_of_float32(
    net: nn.Module, images: Tensor, method: str, dtype: torch.dtype, tolerance: float
) -> None:
    half, whole = of_precision(net, dtype)
    labels = labels_of(whole, images)
    right = labels_of(half, images.to(dtype)) == labels
    images, labels = images[right], labels[right]
    found, expected = METHODS[method](half, images, labels), METHODS[method](whole, images, labels)
    if hasattr(found, "margin"):
        assert found.converged.mean() > 0.9
        both = found.converged & expected.converged
        np.testing.assert_allclose(found.margin[both], expected.margin[both], atol=tolerance)
    else:
        assert abs(found.robust_accuracy - expected.robust_accuracy) <= 0.1
        if method != "minimum_norm":
            assert found.perturbation_norm.max() <= THREAT.epsilon * (1 + 1e-5)


def test_points_across_the_boundary_of_a_network_of_half_precision_are_float32_and_across(
    net: nn.Module, images: Tensor
) -> None:
    half, _ = of_precision(net, torch.bfloat16)
    labels = labels_of(half, images.bfloat16())
    table = deepfool_margins(half, images, labels, keep_adversarial=True)
    assert table.adversarial_images is not None
    assert table.adversarial_images.dtype == np.float32
    across = labels_of(half, torch.from_numpy(table.adversarial_images).bfloat16()) != labels
    assert across.numpy()[table.converged].all()


@pytest.mark.parametrize("method", METHODS)
def test_frozen_networks_and_those_that_cannot_be_copied_are_measured_like_others(
    net: nn.Module, images: Tensor, method: str
) -> None:
    labels = labels_of(net, images)
    expected = distances(METHODS[method](net, images, labels))
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    np.testing.assert_array_equal(distances(METHODS[method](net, images, labels)), expected)
    net.lock = threading.Lock()  # type: ignore[assignment]
    np.testing.assert_array_equal(distances(METHODS[method](net, images, labels)), expected)


@pytest.mark.parametrize("method", METHODS)
def test_a_callers_inference_mode_does_not_matter(net: nn.Module, images: Tensor, method: str) -> None:
    labels = labels_of(net, images)
    expected = distances(METHODS[method](net, images, labels))
    with torch.inference_mode():
        np.testing.assert_array_equal(distances(METHODS[method](net, images.clone(), labels.clone())), expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda images, labels: (images.numpy()[:, :, ::-1][:, :, ::-1], labels.numpy()),
        lambda images, labels: (images.numpy().astype(">f4"), labels.numpy().astype(">i8")),
        lambda images, labels: (images.numpy(), labels.numpy().astype(np.uint16)),
        lambda images, labels: (images.numpy(), labels.numpy().astype(np.uint64)),
        lambda images, labels: (np.asfortranarray(images.numpy()), labels.tolist()),
        lambda images, labels: (images.numpy().astype(np.longdouble), labels.int()),
        lambda images, labels: (images.permute(0, 2, 3, 1), labels),
        lambda images, labels: (images.permute(0, 2, 3, 1).numpy(), labels),
    ],
)
def test_other_layouts_byte_orders_and_widths_give_the_same(
    net: nn.Module, images: Tensor, change: Callable[[Tensor, Tensor], tuple[Any, Any]]
) -> None:
    labels = labels_of(net, images)
    expected = deepfool_margins(net, images, labels).margin
    np.testing.assert_array_equal(deepfool_margins(net, *change(images, labels)).margin, expected)


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_images_of_uint8_are_taken_in_both_layouts(net: nn.Module, images: Tensor, axes: tuple[int, ...]) -> None:
    levels = (images * 255).round().to(torch.uint8)
    floats = levels.float() / 255
    labels = labels_of(net, floats)
    expected = deepfool_margins(net, floats, labels).margin
    np.testing.assert_array_equal(deepfool_margins(net, levels.permute(axes), labels).margin, expected)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([["a", "b"]], [0], "images as an array of numbers, got <U1"),
        ([[0.1], [0.1, 0.2]], [0, 0], "images as an array of numbers, got list"),
        ([[0.1, 0.2]], [0.9], "integer labels, got torch.float64"),
        ([[0.1, 0.2]], [[0, 1, 0]], "looks one-hot; give labels.argmax"),
        ([[0.1, 0.2]], [-100], r"labels in \[0, 3\), got -100"),
        (np.array([[object(), 1]]), [0], "images as an array of numbers, got object"),
        ([[0.1 + 1j, 0.2]], [0], "float images"),
        (np.zeros((1, 0)), [0], r"with N of at least 1, got \[1, 0\]"),
        ([[float("nan"), 0.2], [0.1, 0.2]], [0, 0], "finite images, got NaN or infinity in 1 of 2"),
    ],
)
def test_what_are_no_images_or_labels_is_refused_in_one_sentence(images: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        deepfool_margins(nn.Linear(2, 3).eval(), images, labels)


@pytest.mark.parametrize("size", [0, -3])
@pytest.mark.parametrize("measure", [deepfool_margins, refined_margins, fast_margins])
def test_a_batch_without_images_is_refused(net: nn.Module, images: Tensor, measure: Any, size: int) -> None:
    with pytest.raises(DataError, match=f"expected batch_size of at least 1, got {size}"):
        measure(net, images, torch.zeros(40, dtype=torch.int64), batch_size=size)


class Recorder(nn.Module):
    """A network that keeps how many images each pass had."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.sizes = net, list[int]()

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        logits: Tensor = self.net(images)
        return logits


@pytest.mark.parametrize("count", [1, 7, 40])
def test_the_checks_take_two_passes_of_at_most_sixteen_images_a_call(
    net: nn.Module, images: Tensor, count: int
) -> None:
    recorder = Recorder(net).eval()
    evaluate(recorder, images[:count], labels_of(net, images[:count]), CleanSettings(batch_size=5), threat=THREAT)
    num_batches = -(-count // 5)
    assert len(recorder.sizes) == 2 + num_batches
    assert max(recorder.sizes[:2]) <= 16


def test_minimum_norm_checks_the_network_once_a_call_not_once_a_batch(net: nn.Module, images: Tensor) -> None:
    def passes(batch_size: int) -> int:
        recorder = Recorder(net).eval()
        attack: AttackSettings = MinimumNormSettings(batch_size=batch_size, max_iterations=1, bisection_steps=0)
        same = images[:1].expand(10, -1, -1, -1)
        evaluate(recorder, same, labels_of(net, same), attack, threat=THREAT)
        return len(recorder.sizes)

    assert passes(1) - 2 == 10 * (passes(10) - 2)

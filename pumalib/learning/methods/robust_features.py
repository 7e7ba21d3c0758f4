"""The robustified dataset (Ilyas et al. 2019, "Adversarial Examples Are Not Bugs, They Are Features", Sec. 3.1).

For each row x, another row's image is moved until a robust model g sees x in it: ``min_z |g(z) - g(x)|_2``, by
normalised gradient descent. What g does not use stays that of the other row, and so says nothing about the label.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from pumalib.attacks.projection import norms, steepest
from pumalib.errors import DataError
from pumalib.learning.inputs import LearningInputs, OnStep, ignore_step
from pumalib.learning.pixels import to_bytes
from pumalib.learning.progress import Progress
from pumalib.learning.settings import RobustFeaturesSettings
from pumalib.models.checks import frozen_parameters
from pumalib.models.inputs import to_model_input
from pumalib.models.trained import expect_images, load_trained
from pumalib.randomness import numpy_generator

_TINY = 1e-12


def learn(settings: RobustFeaturesSettings, inputs: LearningInputs, on_step: OnStep = ignore_step) -> NDArray[np.uint8]:
    """Robustify every row, a batch of rows after the other; go on from the state of a killed job where there is one.

    Args:
        settings: of the method.
        inputs: what it draws from; its `model_path` is that of the robust one.
        on_step: called after each batch, with the rows done so far.

    Returns:
        [N, H, W, C] uint8.

    Raises:
        DataError: no robust model, one of other images, or one without a last linear layer.
    """
    if inputs.model_path is None:
        raise DataError("expected the weights of a robust model, got none; name a run under model")
    trained = load_trained(inputs.model_path, inputs.device, inputs.architecture)
    expect_images(trained, inputs.images.shape[1:], inputs.num_classes, "the pool")
    read = feature_reader(trained.model, settings.features, _on_device(inputs.images[:1], inputs.device))
    others = other_rows(len(inputs.images), inputs.seed)
    start: dict[str, Any] = {"done": 0, "learned": torch.from_numpy(inputs.images.copy()), "records": []}
    saved = inputs.state_file.load() or start
    with inputs.state_file.putting_back():
        done: int = saved["done"]
        learned: NDArray[np.uint8] = saved["learned"].numpy()
        progress = Progress(inputs.progress, len(learned), done, saved["records"])

    def state_dict() -> dict[str, Any]:
        return {"done": done, "learned": torch.from_numpy(learned), "records": progress.state_dict()}

    with tqdm(total=len(learned), initial=done, desc="learning", unit="image", disable=None) as bar:
        while done < len(learned):
            rows = np.arange(done, min(done + settings.batch_size, len(learned)))
            images, starts = inputs.images[rows], inputs.images[others[rows]]
            with frozen_parameters(trained.model):
                moved, share_left = match_features(
                    read, _on_device(starts, inputs.device), _on_device(images, inputs.device), settings
                )
            learned[rows] = to_bytes(moved, images, None)
            done = int(rows[-1]) + 1
            progress.add(done, share_left)
            inputs.state_file.offer(state_dict)
            bar.update(len(rows))
            on_step(done)
    return learned


def _on_device(images: NDArray[np.uint8], device: str) -> Tensor:
    return to_model_input(torch.from_numpy(images).to(device))


def other_rows(count: int, seed: int) -> NDArray[np.int64]:
    """Draw another row for each row: a random cycle through all of them.

    Raises:
        DataError: a single row, which has no other.
    """
    if count < 2:
        raise DataError(f"expected at least 2 rows, each to start from another, got {count}")
    order = numpy_generator(seed, "other rows").permutation(count)
    others = np.empty(count, np.int64)
    others[order] = np.roll(order, 1)
    return others


def feature_reader(model: nn.Module, features: str, images: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function from images [B, C, H, W] to features [B, D].

    Args:
        model: in eval mode.
        features: `logits`, or `penultimate`: the input of the last linear layer.
        images: [1, C, H, W] float, to try the model on.

    Raises:
        DataError: penultimate features of a model whose output is not that of its last linear layer.
    """
    if features == "logits":
        return model
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    taken: list[Tensor] = []

    def read(inputs: Tensor) -> Tensor:
        taken.clear()
        handle = layers[-1].register_forward_pre_hook(lambda layer, arguments: taken.append(arguments[0]))
        try:
            model(inputs)
        finally:
            handle.remove()
        return taken[-1].flatten(1)

    with torch.no_grad():
        if not layers or not _is_last(model, layers[-1], images, read):
            raise DataError(
                "expected a model whose last layer is linear, to match the features before it, got another; "
                "set features: logits"
            )
    return read


def _is_last(model: nn.Module, layer: nn.Linear, images: Tensor, read: Callable[[Tensor], Tensor]) -> bool:
    logits = model(images)
    features = read(images)
    return features.shape[1] == layer.in_features and torch.allclose(layer(features), logits)


def match_features(
    read: Callable[[Tensor], Tensor], starts: Tensor, images: Tensor, settings: RobustFeaturesSettings
) -> tuple[Tensor, float]:
    """Move start images until their features are those of the images.

    Args:
        read: from images to features [B, D].
        starts: [B, C, H, W] float in [0, 1].
        images: [B, C, H, W] float in [0, 1].
        settings: of the method.

    Returns:
        The moved images in [0, 1], and the mean distance of their features over that of the starts' features.
    """
    with torch.no_grad():
        targets = read(images)
        first = norms(read(starts) - targets, "l2")
    moved = starts
    for step in range(settings.steps):
        moved = moved.detach().requires_grad_()
        distances = norms(read(moved) - targets, "l2")
        (gradient,) = torch.autograd.grad(distances.sum(), moved)
        length = settings.step_size * (1 - step / settings.steps)
        moved = (moved.detach() - length * steepest(gradient, "l2")).clamp(0, 1)
    with torch.no_grad():
        last = norms(read(moved) - targets, "l2")
    return moved, float(last.sum() / first.sum().clamp_min(_TINY))

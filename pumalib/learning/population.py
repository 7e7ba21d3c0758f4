"""Networks at random ages: each goes on training on the images as they change, and starts anew when it is old."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.learning.settings import TriLevelSettings, starting_ages
from pumalib.learning.unrolling import Recipe, Training, check_unrollable, start_training, train_naturally
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings, ImageShape
from pumalib.randomness import derive_seed, numpy_generator

_NUM_TRIED = 4


def recipe_of(settings: TriLevelSettings) -> Recipe:
    """Return how networks are trained."""
    return Recipe(settings.learning_rate, settings.momentum, settings.weight_decay, settings.label_smoothing)


def draw_batches(seed: int, purpose: str, number: int, num_rows: int, batch_size: int, count: int) -> NDArray[np.int64]:
    """Draw rows of some batches, pass after pass without replacement.

    Args:
        seed: of the study.
        purpose: what the batches are for.
        number: which draw of that purpose.
        num_rows: N.
        batch_size: rows per batch.
        count: batches.

    Returns:
        [count, batch_size] int64 rows in [0, N).
    """
    generator = numpy_generator(seed, purpose, number)
    passes = -(-count * batch_size // num_rows)  # ceil
    rows = [generator.permutation(num_rows) for _ in range(passes)]  # passes times [num_rows]
    # The empty array serves a count of 0. A batch across two passes may hold a row twice.
    whole = np.concatenate([*rows, np.empty(0, np.int64)]).astype(np.int64)  # [passes * num_rows]
    return whole[: count * batch_size].reshape(count, batch_size)


@dataclass(frozen=True)
class Member:
    """One network of the population.

    Attributes:
        training: where its training stands, detached.
        architecture: number of its architecture in the settings.
        age: steps it has trained.
        generation: how many networks stood in its place before.
    """

    training: Training
    architecture: int
    age: int
    generation: int


class Population:
    """The networks of one learning.

    Attributes:
        members: one a place.
        models: one network an architecture, whose own weights play no part.

    Args:
        settings: of the learning.
        image_shape: (H, W, C).
        num_classes: K.
        seed: of the study.
        device: where they are.
    """

    def __init__(
        self, settings: TriLevelSettings, image_shape: ImageShape, num_classes: int, seed: int, device: torch.device
    ) -> None:
        self.members: list[Member] = []
        self._settings, self._shape, self._num_classes = settings, image_shape, num_classes
        self._seed, self._device = seed, device
        self.models = [self._skeleton(architecture) for architecture in settings.architectures]

    def _skeleton(self, architecture: ArchitectureSettings) -> nn.Module:
        model = build_model(architecture, self._shape, self._num_classes).to(self._device)
        height, width, channels = self._shape
        images = torch.linspace(0, 1, _NUM_TRIED * channels * height * width, device=self._device)
        check_unrollable(model, images.reshape(_NUM_TRIED, channels, height, width), architecture.name)
        return model

    def model_of(self, member: Member) -> nn.Module:
        """Return the network whose weights a member holds."""
        return self.models[member.architecture]

    def fill(self, images: Tensor, labels: Tensor) -> None:
        """Put networks of staggered ages in every place: 0, then ever older ones up to the highest age.

        Args:
            images: [N, C, H, W] float in [0, 1].
            labels: [N] int64.
        """
        # Places are trained apart: each one draws its own batches, by its place.
        self.members = [
            self.trained(self.newborn(place, 0), images, labels, age, f"start {place}")
            for place, age in enumerate(starting_ages(self._settings))
        ]

    def newborn(self, place: int, generation: int) -> Member:
        """Return a network that has not trained, of an architecture drawn from the list."""
        key = ("network", place, generation)
        architecture = int(numpy_generator(self._seed, *key).integers(len(self.models)))
        return self.fresh(architecture, derive_seed(self._seed, *key, "weights"), generation)

    def fresh(self, architecture: int, seed: int, generation: int = 0) -> Member:
        """Return a network that has not trained, of the given architecture and initialisation."""
        settings = self._settings.architectures[architecture]
        model = build_model(settings, self._shape, self._num_classes, seed).to(self._device)
        return Member(start_training(model), architecture, 0, generation)

    def trained(self, member: Member, images: Tensor, labels: Tensor, num_steps: int, purpose: str) -> Member:
        """Train a network naturally for some steps."""
        rows = draw_batches(self._seed, purpose, 0, len(labels), self._settings.batch_size, num_steps)  # [num_steps, b]
        batches = list(torch.from_numpy(rows).to(self._device))  # num_steps times [b]
        training = train_naturally(
            self.model_of(member), member.training, images, labels, batches, recipe_of(self._settings)
        )
        return replace(member, training=training, age=member.age + num_steps)

    def keep(self, place: int, training: Training) -> None:
        """Let a network go on from where unrolled steps left it, or start it anew where it is old."""
        member = self.members[place]
        # The pixels have moved since; the weights are those that the old pixels led to.
        age = member.age + self._settings.unrolled_steps
        if age >= self._settings.max_age:
            self.members[place] = self.newborn(place, member.generation + 1)
        else:
            self.members[place] = replace(member, training=training, age=age)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return everything that `load_state_dict` needs."""
        return [
            {
                "weights": {name: weight.detach() for name, weight in member.training.weights.items()},
                "velocity": member.training.velocity,
                "architecture": member.architecture,
                "age": member.age,
                "generation": member.generation,
            }
            for member in self.members
        ]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Put the networks of a saved state in every place."""
        self.members = [
            Member(
                Training(saved["weights"], saved["velocity"]).detached(),
                saved["architecture"],
                saved["age"],
                saved["generation"],
            )
            for saved in state
        ]

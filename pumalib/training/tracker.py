"""Gathering quantities of every row during a training, without touching the training itself.

After a tracked epoch one streamed pass over the pool serves all quantities that are due, rows in pool order, the model
in eval mode. Random starts of attacked inputs, and crops and flips of augmented ones, come from seeds of their own, so
training draws the same numbers with and without tracking.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.errors import DataError
from pumalib.models.checks import in_eval_mode
from pumalib.models.inputs import to_model_input
from pumalib.randomness import derive_seed
from pumalib.ranks import ALONE, Ranks
from pumalib.tracks.file import BOOLEAN, Quantity, Track, Visits
from pumalib.tracks.passes import Kind, epochs_of, kind_of, options_of, passes_of
from pumalib.tracks.settings import PassSettings, quantity_module
from pumalib.training.images import augment
from pumalib.training.inner_attack import plain_attack
from pumalib.training.recipe import Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.seen_batch import SeenBatch
from pumalib.training.settings import RecipeSettings, method_module


class Tracker:
    """What has been gathered so far.

    Args:
        data: the pool; every row is looked at, selected or not.
        recipe: what to gather, and the training whose inner attack `inputs: attacked` means.
        device: where batches go.
        ranks: the processes that share the training; each looks at some batches of the pool.

    Raises:
        DataError: attacked inputs with natural training, which has no attack, or augmented ones with a training that
            augments nothing.
    """

    def __init__(self, data: TrainingRows, recipe: Recipe, device: torch.device, ranks: Ranks = ALONE) -> None:
        settings, training, threat = recipe.track, recipe.training, recipe.threat
        self._passes = passes_of(settings)
        _check_passes(self._passes, training)
        self._settings, self._data, self._training = settings, data, training
        self._threat, self._seed, self._device, self._ranks = threat, recipe.seed, device, ranks
        self._attack = plain_attack(training, threat.norm)
        self._measures: dict[str, Callable[[SeenBatch], Tensor]] = {
            name: partial(importlib.import_module(quantity_module(name)).measure, **options_of(wanted))
            for name, wanted in self._passes.items()
        }
        self._visited: list[tuple[NDArray[np.int64], Tensor]] = []
        self._values: dict[str, list[NDArray[Any]]] = {}
        self._epochs: dict[str, list[int]] = {}
        self._count, self._wrong = (np.zeros(len(data.labels), np.int32) for _ in range(2))

    def visit(self, rows: NDArray[np.int64], wrong: Tensor) -> None:
        """Take note of a batch that training visits: its rows [B], and [B] bool, which were misclassified."""
        if self._settings.visits is not None:
            self._visited.append((rows, wrong))

    def end_epoch(self, epoch: int, current: nn.Module, averaged: nn.Module) -> None:
        """Count the epoch's visits, and look at the pool if any quantity is due.

        Args:
            epoch: counted from 1.
            current: the model in training; left as it was.
            averaged: its average.
        """
        self._count_visits()
        total = self._training.epochs
        due = {name: wanted for name, wanted in self._passes.items() if epoch in epochs_of(wanted, total)}
        if due:
            with in_eval_mode(current):
                measured = self._look_at_pool(epoch, due, {"current": current, "averaged": averaged})
            for name, values in measured.items():
                self._values.setdefault(name, []).append(values)
                self._epochs.setdefault(name, []).append(epoch)

    def track(self) -> Track:
        """Return what has been gathered so far."""
        quantities = {
            name: Quantity(
                np.array(self._epochs[name], np.int64),
                np.stack(values),
                options_of(self._passes[name]).get("norm", ""),
            )
            for name, values in self._values.items()
        }
        visits = None if self._settings.visits is None else Visits(self._count.copy(), self._wrong.copy())
        return Track(len(self._data.labels), quantities, visits)

    def state_dict(self) -> dict[str, Any]:
        """Return what has been gathered so far, the visits of an unfinished epoch among it."""
        self._count_visits()
        return {
            "values": {name: [torch.from_numpy(values) for values in kept] for name, kept in self._values.items()},
            "epochs": self._epochs,
            "count": torch.from_numpy(self._count),
            "wrong": torch.from_numpy(self._wrong),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._values = {name: [values.numpy() for values in kept] for name, kept in state["values"].items()}
        self._epochs = {name: list(map(operator.index, state["epochs"][name])) for name in self._values}
        for kept, saved in ((self._count, state["count"]), (self._wrong, state["wrong"])):
            kept[:] = saved.numpy()

    def _count_visits(self) -> None:
        """Ask the device once an epoch: asking after each step would make every step wait."""
        if not self._visited:
            return
        rows = np.concatenate([rows for rows, _ in self._visited])
        wrong = torch.cat([wrong for _, wrong in self._visited]).cpu().numpy()
        np.add.at(self._count, rows, 1)
        np.add.at(self._wrong, rows[wrong], 1)
        self._visited.clear()

    def _look_at_pool(
        self, epoch: int, due: Mapping[str, PassSettings], models: Mapping[str, nn.Module]
    ) -> dict[str, NDArray[Any]]:
        """Measure all due quantities in one pass; return [N] of each."""
        num_rows, size = len(self._data.labels), self._settings.batch_size
        kinds = {name: kind_of(wanted) for name, wanted in due.items()}
        values = {
            name: torch.zeros(num_rows, dtype=torch.bool if name == BOOLEAN else torch.float32, device=self._device)
            for name in due
        }
        for start in range(0, num_rows, size)[self._ranks.rank :: self._ranks.count]:
            rows = np.arange(start, min(start + size, num_rows))
            seen = self._seen(rows, epoch, set(kinds.values()), models)
            for name, kind in kinds.items():
                values[name][start : start + size] = self._measures[name](seen[kind])
        return {name: self._ranks.total(found).cpu().numpy() for name, found in values.items()}

    def _seen(
        self, rows: NDArray[np.int64], epoch: int, kinds: Iterable[Kind], models: Mapping[str, nn.Module]
    ) -> dict[Kind, SeenBatch]:
        images = torch.from_numpy(self._data.images[rows]).to(self._device)
        labels = torch.from_numpy(self._data.labels[rows]).to(self._device)
        place = (epoch, int(rows[0]))
        seen = {}
        for kind in kinds:
            pixels = self._augmented(images, *place) if kind.is_augmented else images
            clean = SeenBatch(models[kind.weights], to_model_input(pixels), labels)
            seed = derive_seed(self._seed, "track", *place)
            seen[kind] = clean if kind.inputs == "clean" else self._attacked(clean, seed)
        return seen

    def _augmented(self, images: Tensor, epoch: int, first_row: int) -> Tensor:
        """Crop and flip uint8 [B, H, W, C] as training does, from a seed of its own."""
        seed = derive_seed(self._seed, "track augment", epoch, first_row)
        generator = torch.Generator(self._device).manual_seed(seed)
        training = self._training
        crop = training.random_resized_crop
        return augment(images, training.crop_padding, training.horizontal_flip, generator, crop)

    def _attacked(self, clean: SeenBatch, seed: int) -> SeenBatch:
        """Perturb a batch as the training method does, every row inside the threat's epsilon."""
        method = importlib.import_module(method_module(self._training.method))
        epsilons = torch.full((len(clean.labels),), self._threat.epsilon, device=self._device)
        generator = torch.Generator(self._device).manual_seed(seed)
        objective = method.attack_objective(clean.logits, clean.labels)
        inputs = self._attack.perturb(clean.model, clean.inputs, clean.labels, epsilons, objective, generator)
        return SeenBatch(clean.model, inputs, clean.labels)


def _check_passes(passes: Mapping[str, PassSettings], training: RecipeSettings) -> None:
    for name, wanted in passes.items():
        if wanted.inputs == "attacked" and not training.has_attack:
            raise DataError(
                f"expected inputs: clean for {name} with {training.method} training, which has no attack, got attacked"
            )
        if wanted.augmented and not training.augments:
            raise DataError(
                f"expected augmented: false for {name} with a training that neither crops nor flips, got true"
            )

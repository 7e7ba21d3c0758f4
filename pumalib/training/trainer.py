"""The state of one training, and one epoch of it."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.models.checks import check_finite_weights
from pumalib.models.inputs import to_model_input
from pumalib.randomness import derive_seed
from pumalib.ranks import ALONE, Ranks
from pumalib.training.averaging import WeightAverage
from pumalib.training.batch_norm import set_momentum
from pumalib.training.dynamic.settings import dynamic_module
from pumalib.training.images import Batch, SelectedImages, augment
from pumalib.training.inner_attack import make_attack
from pumalib.training.length import num_steps, steps_per_epoch
from pumalib.training.losses import BatchLoss, DynamicPruning, OnlinePolicy, Step, whole_loss
from pumalib.training.online.settings import OnlineEpsilonSettings, online_module
from pumalib.training.online.start import Start
from pumalib.training.optimisation import make_optimizer, make_schedule
from pumalib.training.recipe import Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.sampling import BatchPlan, draw_batches, without_rows
from pumalib.training.settings import RecipeSettings, method_module
from pumalib.training.summary import EpochSummary, check_finite, rows_trained, summarise_epoch


class Trainer:
    """The state of one training.

    Attributes:
        model: in training.
        average: of its weights.
        learning_rate: of the last step.
        epoch: epochs done, and so the number of the one under way, counted from 0.
        images_seen: draws so far.
    """

    def __init__(
        self, model: nn.Module, data: TrainingRows, recipe: Recipe, device: torch.device, ranks: Ranks = ALONE
    ) -> None:
        settings, seed = recipe.training, recipe.seed
        self.model = model.to(memory_format=torch.channels_last) if settings.channels_last else model
        self.optimizer = make_optimizer(model, settings)
        self.schedule = make_schedule(self.optimizer, settings)
        self.learning_rate = float("nan")
        self.epoch, self.images_seen = 0, 0
        self.average = WeightAverage(model, settings.averaging, int(settings.averaging_warmup * num_steps(settings)))
        self._settings, self._data, self._seed, self._device, self._ranks = settings, data, seed, device, ranks
        self._goes_on = recipe.goes_on
        self._attack = make_attack(settings, recipe.threat.norm, model)
        self._labels = torch.from_numpy(data.labels[data.rows]).to(device)
        self._epsilons = torch.from_numpy(data.epsilons).to(device)
        self._attack_steps = None if data.attack_steps is None else torch.from_numpy(data.attack_steps).to(device)
        self._layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        self._network = cast(nn.Module, torch.compile(model)) if settings.compile else model
        image_bytes = int(np.prod(data.image_shape))
        self._images = SelectedImages(data.images, data.rows, image_bytes, device, settings.device_images_gib)
        self._plan = BatchPlan(settings.batch_size, steps_per_epoch(settings), settings.synthetic_fraction, seed)
        self._batch = 0  # batches done in the epoch under way
        self._losses = torch.zeros(self._plan.num_batches, 3, device=device)
        self._trained = torch.zeros(self._plan.num_batches, 2, device=device)
        method = importlib.import_module(method_module(settings.method))
        self._batch_loss: Callable[[Step, RecipeSettings], BatchLoss] = method.batch_loss
        draws = settings.batch_size * steps_per_epoch(settings)
        start = Start(data.epsilons, recipe.threat.epsilon, draws, device)
        self._online: OnlinePolicy | None = None if recipe.online is None else _make_policy(recipe.online, start)
        self._dynamic = (
            None if settings.dynamic_pruning is None else _make_pruning(settings, len(data.rows), seed, device)
        )

    def run_epoch(
        self,
        before_step: Callable[[], object],
        on_images: Callable[[int], object],
        on_visit: Callable[[NDArray[np.int64], Tensor], object],
    ) -> EpochSummary:
        """Train one epoch, or what is left of it.

        Args:
            before_step: called before each batch; here the state can be taken.
            on_images: called after each batch with its number of images.
            on_visit: called after each batch with its rows [B] and, [B] bool, which were misclassified.

        Raises:
            DataError: a loss or a weight that is not finite, or no row that was kept; found at the end of the epoch.
        """
        self.model.train()
        batches = self._batches_of_epoch()
        for batch in self._images.ahead(islice(batches, self._batch, None)):
            rows = batch.rows
            before_step()
            loss = self._step(self.epoch * self._plan.num_batches + self._batch, self.epoch, batch)
            self._losses[self._batch] = torch.stack([loss.total.detach(), loss.natural, loss.robust])
            self._trained[self._batch] = rows_trained(loss, len(rows))
            self._batch += 1
            self.images_seen += len(rows)
            on_images(len(rows))
            on_visit(rows, loss.wrong)
            self._step_schedule(len(batches))
        if self._settings.schedule_unit == "epoch":
            self.schedule.step()
        self._losses[self._batch :], self._trained[self._batch :] = 0, 0  # an epoch that leaves rows out is shorter
        steps: NDArray[np.float64] = self._losses.cpu().double().numpy()
        trained: NDArray[np.float64] = self._trained.cpu().double().numpy()
        summary = summarise_epoch(steps, trained, self._plan.batch_size, self.epoch)
        self._check_weights()
        self.epoch, self._batch = self.epoch + 1, 0
        return summary

    def _batches_of_epoch(self) -> list[NDArray[np.int64]]:
        drawn = draw_batches(self._plan, self._data.source, self._data.rows, self.epoch)
        if self._dynamic is None:
            return list(drawn)
        if self._batch == 0:
            self._dynamic.begin_epoch(self.epoch)
        is_left_out = np.zeros(len(self._data.source), bool)
        is_left_out[self._data.rows[self._dynamic.weights == 0]] = True
        return without_rows(drawn, is_left_out, self._plan.batch_size)

    def _step_schedule(self, num_batches: int) -> None:
        """Step a schedule of steps as far as this batch is in the epoch, so that a shorter one anneals alike."""
        if self._settings.schedule_unit == "step":
            done = self._batch * self._plan.num_batches // num_batches
            for _ in range((self._batch - 1) * self._plan.num_batches // num_batches, done):
                self.schedule.step()

    def state_dict(self) -> dict[str, Any]:
        """Return all that the steps to come depend on, but data and settings; random numbers depend on the step alone.

        Raises:
            DataError: a loss or a weight that is not finite.
        """
        losses: NDArray[np.float64] = self._losses[: self._batch, 0].cpu().double().numpy()
        check_finite(losses, self.epoch, self._plan.num_batches)
        self._check_weights()
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "online": {} if self._online is None else self._online.state_dict(),
            "epoch": self.epoch,
            "batch": self._batch,
            "images_seen": self.images_seen,
            "dynamic": {} if self._dynamic is None else self._dynamic.state_dict(),
            "losses": self._losses,
            "trained": self._trained,
        }

    def _check_weights(self) -> None:
        check_finite_weights(
            self.model, f"in epoch {self.epoch + 1} after its step {self._batch} of {self._plan.num_batches}"
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.schedule.load_state_dict(state["schedule"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._online is not None:
            self._online.load_state_dict(state["online"])
        if self._dynamic is not None:
            self._dynamic.load_state_dict(state["dynamic"])
        self.epoch, self._batch = operator.index(state["epoch"]), operator.index(state["batch"])
        self.images_seen = operator.index(state["images_seen"])
        if self.epoch < 0 or not 0 <= self._batch <= self._plan.num_batches:
            raise ValueError(f"epoch {self.epoch}, step {self._batch} of {self._plan.num_batches}")
        self._losses.copy_(state["losses"])
        self._trained.copy_(state["trained"])

    def _step(self, step: int, epoch: int, drawn: Batch) -> BatchLoss:
        settings, rows = self._settings, drawn.rows
        positions = np.searchsorted(self._data.rows, rows)
        places = torch.from_numpy(positions).to(self._device)  # the one time that a step waits for the device
        images = self._images.gather(drawn, places)
        generator = self._generator("augment", step)
        crop = settings.random_resized_crop
        images = augment(images, settings.crop_padding, settings.horizontal_flip, generator, crop)
        set_momentum(self.model, step == 0 and not self._goes_on)
        own = self._ranks.share(len(rows))
        batch = Step(
            model=self._network,
            images=to_model_input(images[own]).contiguous(memory_format=self._layout),
            labels=self._labels[places[own]],
            epsilons=self._epsilons[places[own]],
            attack=self._attack,
            generator=self._generator("attack", step),
            label_smoothing=settings.label_smoothing,
            online=self._online,
            epoch=epoch,
            num_steps=None if self._attack_steps is None else self._attack_steps[places[own]],
            selective=getattr(settings, "selective", None),
            positions=positions,
            ranks=self._ranks,
            some_are_negative=bool((self._data.epsilons[positions[own]] < 0).any()),
            weights=self._weights_of(positions[own]),
        )
        with self._ranks.without_random_numbers(self._device):
            part = self._batch_loss(batch, settings)
        if self._dynamic is not None and part.of_rows is not None:
            self._dynamic.remember(batch, part.of_rows)
        loss = whole_loss(part, batch)
        self.optimizer.zero_grad(set_to_none=True)
        if loss.kept is None or loss.kept.any():  # else without gradients, the step below leaves the weights alone
            part.total.backward()  # type: ignore[no-untyped-call]
            self._ranks.sum_gradients(self.model)
        self.optimizer.step()
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.average.update(self.model, step)
        return loss

    def _weights_of(self, positions: NDArray[np.int64]) -> Tensor | None:
        if self._dynamic is None:
            return None
        return torch.from_numpy(self._dynamic.weights[positions]).to(self._device)

    def _generator(self, purpose: str, step: int) -> torch.Generator:
        return torch.Generator(self._device).manual_seed(derive_seed(self._seed, purpose, step))


def _make_pruning(settings: RecipeSettings, num_rows: int, seed: int, device: torch.device) -> DynamicPruning:
    pruning = settings.dynamic_pruning
    assert pruning is not None
    module = importlib.import_module(dynamic_module(pruning.method))
    policy: DynamicPruning = module.Policy(pruning, num_rows, settings.epochs, seed, device)
    return policy


def _make_policy(online: OnlineEpsilonSettings, start: Start) -> OnlinePolicy:
    policy: OnlinePolicy = importlib.import_module(online_module(online.policy)).Policy(online, start)
    return policy

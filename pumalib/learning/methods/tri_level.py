"""Tri-level optimisation of a dataset (Wu et al. 2022, "Towards Robust Dataset Learning").

``min_S E_{(x, y)} max_{|d| <= eps} CE(f_{theta*(S)}(x + d), y)``, where theta*(S) is trained naturally on S. Only the
abstract was at hand, so the form is ours. Inner: PGD on rows of the start pool. Middle: K unrolled steps of natural
training of one network out of a population of all ages. Outer: a step of the pixels that were in those steps' batches,
against the hypergradient. No gradient flows through the attack (Danskin's theorem, were the attack exact).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from tqdm import tqdm

from pumalib.attacks.gradient_ascent import ascend
from pumalib.attacks.objectives import log_odds_against
from pumalib.attacks.projection import start_in_ball
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.images import LabelledImages
from pumalib.errors import DataError
from pumalib.learning.inputs import LearningInputs, OnStep, ignore_step
from pumalib.learning.memory import check_memory
from pumalib.learning.pixels import Moments, descend, descend_by_sign, no_moments, to_bytes
from pumalib.learning.population import Population, draw_batches, recipe_of
from pumalib.learning.progress import Progress
from pumalib.learning.settings import TriLevelSettings
from pumalib.learning.unrolling import Weights, hypergradient
from pumalib.models.checks import frozen_parameters
from pumalib.models.inputs import to_model_input
from pumalib.randomness import derive_seed, numpy_generator
from pumalib.training.history import make_probe

_STEP_SHARE = 1 / 4


def learn(settings: TriLevelSettings, inputs: LearningInputs, on_step: OnStep = ignore_step) -> NDArray[np.uint8]:
    """Learn images, from the state of a killed job where there is one.

    Args:
        settings: of the learning.
        inputs: what it draws from.
        on_step: called after each step.

    Returns:
        [N, H, W, C] uint8: the images, rounded to grey levels within the bound.

    Raises:
        DataError: a network that cannot be unrolled, or an outer loss that is not finite.
    """
    learning = _Learning(settings, inputs)
    with tqdm(total=settings.steps, initial=learning.step, desc="learning", unit="step", disable=None) as bar:
        # Invariant: `step` pixel steps are done, and the state holds all that the rest depends on. A turn takes one,
        # measures when it is due, and then offers the state. A killed job repeats the turns since the last save, with
        # the same random numbers.
        while learning.step < settings.steps:
            learning.advance()
            if learning.step % settings.probe_every == 0 or learning.step == settings.steps:
                learning.measure()
            inputs.state_file.offer(learning.state_dict)
            bar.update()
            on_step(learning.step)
    return learning.levels()


def robust_loss(
    model: nn.Module,
    weights: Weights,
    images: Tensor,
    labels: Tensor,
    threat: ThreatSettings,
    num_steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Return the mean cross-entropy under PGD, differentiable by the weights and not through the attack.

    Args:
        model: the network; its own parameters play no part.
        weights: its weights.
        images: [B, C, H, W] float in [0, 1].
        labels: [B] int64.
        threat: norm and radius of the attack.
        num_steps: its gradient steps, each a quarter of the radius.
        generator: source of the random start, on the images' device.
    """
    # Danskin: d/dtheta max_d L = dL/dtheta at the maximiser, held constant. So the attack sees detached weights.
    fixed = {name: weight.detach() for name, weight in weights.items()}
    radii = images.new_full((len(images),), threat.epsilon)  # [B]
    noise = torch.rand(images.shape, generator=generator, device=images.device, dtype=images.dtype) * 2 - 1
    adversarial = ascend(
        lambda inputs: log_odds_against(functional_call(model, fixed, (inputs,)), labels),
        images,
        start_in_ball(noise, radii, threat.norm),
        radii,
        radii * _STEP_SHARE,
        num_steps,
        threat.norm,
    )
    return F.cross_entropy(functional_call(model, weights, (adversarial,)), labels)


class _Learning:
    """The state of one learning."""

    def __init__(self, settings: TriLevelSettings, inputs: LearningInputs) -> None:
        self._settings, self._inputs = settings, inputs
        self._device = torch.device(inputs.device)
        self._recipe = recipe_of(settings)
        self._threat = inputs.threat.model_copy(update={"epsilon": settings.epsilon or inputs.threat.epsilon})
        self._start = to_model_input(torch.from_numpy(inputs.images).to(self._device))  # [N, C, H, W] in [0, 1]
        self._labels = torch.from_numpy(inputs.labels).to(self._device)  # [N]
        height, width, channels = inputs.images.shape[1:]
        shape = (height, width, channels)
        self._population = Population(settings, shape, inputs.num_classes, inputs.seed, self._device)
        self._probe = make_probe(
            LabelledImages(inputs.images, inputs.labels) if inputs.validation is None else inputs.validation,
            settings.probe_images,
            inputs.threat,
            "train" if inputs.validation is None else "validation",
            self._device,
        )
        self._check_memory()
        saved = inputs.state_file.load(inputs.device)
        if saved is None:
            self._begin()
        else:
            with inputs.state_file.putting_back():
                self.load_state_dict(saved)

    def _check_memory(self) -> None:
        settings = self._settings
        # Rows repeat where the set is smaller than a batch.
        rows = torch.arange(settings.batch_size, device=self._device) % len(self._labels)  # [batch_size]
        for model in self._population.models:
            check_memory(
                model,
                self._start[rows],
                self._labels[rows],
                self._recipe,
                settings.unrolled_steps,
                settings.recompute_steps,
            )

    def _begin(self) -> None:
        self.step, self._losses = 0, list[float]()
        self._pixels, self._moments = self._start.clone(), no_moments(self._start)
        self._population.fill(self._start, self._labels)
        self._progress = Progress(self._inputs.progress, self._settings.steps)
        self.measure()

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.step, self._losses = saved["step"], saved["losses"]
        self._pixels = saved["pixels"]
        self._moments = Moments(saved["first"], saved["second"], saved["counts"])
        self._population.load_state_dict(saved["members"])
        self._progress = Progress(self._inputs.progress, self._settings.steps, self.step, saved["records"])

    def state_dict(self) -> dict[str, Any]:
        """Return all that the steps to come depend on; random numbers depend on the seed and the step alone."""
        return {
            "step": self.step,
            "losses": self._losses,
            "pixels": self._pixels,
            "first": self._moments.first,
            "second": self._moments.second,
            "counts": self._moments.counts,
            "members": self._population.state_dict(),
            "records": self._progress.state_dict(),
        }

    def advance(self) -> None:
        """Take one step of the pixels."""
        settings, seed = self._settings, self._inputs.seed
        place = int(numpy_generator(seed, "place", self.step).integers(settings.networks))
        drawn = self._draw("rows", settings.batch_size, settings.unrolled_steps)  # [T, b]: T unrolled steps of b rows
        # A row may be in several batches. It is one of the R, so that its gradients add up and it moves once. NumPy 1
        # returns flat positions, hence the reshape below.
        chosen, positions = np.unique(drawn, return_inverse=True)  # [R], T b positions among the R
        rows = torch.from_numpy(chosen).to(self._device)  # [R]
        attacked = torch.from_numpy(self._draw("attacked rows", settings.attack_batch_size, 1)[0]).to(self._device)
        member = self._population.members[place]
        model = self._population.model_of(member)
        found = hypergradient(
            model,
            member.training,
            self._pixels[rows],  # [R, C, H, W]
            self._labels[rows],
            list(torch.from_numpy(positions.reshape(drawn.shape)).to(self._device)),  # T times [b]
            self._recipe,
            lambda weights: robust_loss(
                model,
                weights,
                self._start[attacked],  # [a, C, H, W]; the outer loss is on the start images, not on those learned
                self._labels[attacked],
                self._threat,
                settings.attack_steps,
                torch.Generator(self._device).manual_seed(derive_seed(seed, "attack", self.step)),
            ),
            settings.recompute_steps,
        )
        # Checked before anything changes, so that the last state stays sound.
        self._expect_finite(found.loss, found.gradient)
        self._move(rows, found.gradient)
        self._population.keep(place, found.training)
        self._losses.append(found.loss)
        self.step += 1

    def _draw(self, purpose: str, batch_size: int, count: int) -> NDArray[np.int64]:
        return draw_batches(self._inputs.seed, purpose, self.step, len(self._labels), batch_size, count)

    def _expect_finite(self, loss: float, gradient: Tensor) -> None:
        if not np.isfinite(loss) or not gradient.isfinite().all():
            raise DataError(
                f"expected a finite outer loss and gradient, got a loss of {loss} at step {self.step}; "
                "lower learning_rate or unrolled_steps"
            )

    def _move(self, rows: Tensor, gradient: Tensor) -> None:
        settings = self._settings
        step_size = settings.step_size * (1 - self.step / settings.steps)
        if settings.update == "sign":
            descend_by_sign(self._pixels, self._start, rows, gradient, step_size, settings.bound)
        else:
            descend(self._pixels, self._start, rows, gradient, self._moments, step_size, settings.bound)

    def levels(self) -> NDArray[np.uint8]:
        """Return the images rounded to grey levels, [N, H, W, C] uint8."""
        return to_bytes(self._pixels, self._inputs.images, self._settings.bound)

    def measure(self) -> None:
        """Train a fresh network on the rounded images, measure it, and add a line to the progress."""
        # Rounded, as they would be written.
        images = to_model_input(torch.from_numpy(self.levels()).to(self._device))  # [N, C, H, W]
        # Always the first architecture, so that probes of one study can be compared.
        member = self._population.fresh(0, derive_seed(self._inputs.seed, "probe", self.step))
        member = self._population.trained(member, images, self._labels, self._settings.max_age, f"probe {self.step}")
        model = self._population.model_of(member)
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(member.training.weights[name])
        model.eval()
        with frozen_parameters(model):
            accuracies = self._probe.measure(model)
        model.train()
        loss = float(np.mean(self._losses)) if self._losses else float("nan")
        self._progress.add(self.step, loss, accuracies, self._probe.split)
        self._losses = []

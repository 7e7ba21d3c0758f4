"""The pieces of work that a study repeats: a step of a training, a batch of an attack or of a score, and so on.

Each is the code of its stage itself, on a network that is not trained and images that are noise. What the code does
then depends on the data as little as can be: an attack has so small a ball that every image withstands it to the end.
"""

from __future__ import annotations

import importlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pumalib.attacks.batch import Ball
from pumalib.attacks.inputs import check_inputs, images_a_batch
from pumalib.attacks.settings import WITHOUT_GRADIENTS, AttackSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.image_readers import read_all
from pumalib.data.settings import GeneratedSyntheticSettings
from pumalib.evaluation.evaluate import evaluate_blocks
from pumalib.learning.inputs import LearningInputs
from pumalib.learning.methods.robust_features import feature_reader, match_features
from pumalib.learning.methods.tri_level import learn
from pumalib.learning.population import Population
from pumalib.learning.settings import RobustFeaturesSettings, TriLevelSettings
from pumalib.models.build import build_model
from pumalib.models.checks import frozen_parameters
from pumalib.models.inputs import to_model_input
from pumalib.models.settings import ArchitectureSettings
from pumalib.planning.images import Images
from pumalib.planning.meters import Meter, Piece
from pumalib.planning.typical import WRONG_SHARE, attack_passes, steps_tried
from pumalib.scores.estimates import Question
from pumalib.scores.features import look
from pumalib.scores.settings import FeatureScoreSettings, LookingScoreSettings, score_module
from pumalib.synthesis.edm import build_denoiser, train_generator
from pumalib.synthesis.guided import energy_of, guided_by
from pumalib.synthesis.sampling import sample_images
from pumalib.synthesis.settings import EdmSettings
from pumalib.tracks.passes import epochs_of, passes_of
from pumalib.training.history import make_probe
from pumalib.training.online.settings import OnlineEpsilonSettings
from pumalib.training.online.start import starting_epsilon
from pumalib.training.recipe import Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.run_settings import RunSettings
from pumalib.training.tracker import Tracker
from pumalib.training.trainer import Trainer

_CPU = torch.device("cpu")
_TINY_EPSILON = 1e-6
_SEVERAL = (2, 4)
"""Rows to count at where some rows take another way than the others."""
_SHORT_SEARCH = {"num_candidates": 3, "bisection_steps": 2}
"""A search that is only counted: what a pass takes is the same in a shorter one."""
_FEWEST_ROWS = 64


def network_for(images: Images, architecture: ArchitectureSettings) -> nn.Module:
    """Return a network that is not trained, in eval mode."""
    return build_model(architecture, images.shape, images.num_classes).eval()


def training_step(run: RunSettings, images: Images) -> Piece:
    """Return a step of a training: data, inner attack, both passes, the optimiser and the average.

    A batch that several devices share is divided. Warm-ups are over, and nothing is compiled.
    """
    full = -(-run.training.batch_size // run.training.devices)
    changes = {"devices": 1, "keep_every": None} | ({"compile": False} if hasattr(run.training, "compile") else {})

    def do(rows: int, meter: Meter, repetitions: int) -> None:
        lengths = {"batch_size": rows, "samples_per_epoch": rows * (max(repetitions, 1) + 2)}
        training = run.training.model_copy(update={**changes, **lengths})
        recipe = Recipe(training, run.threat, online=warmed_up(run.epsilon))
        trainer = Trainer(network_for(images, run.architecture), _rows(images, rows, recipe), recipe, _CPU)
        trainer.run_epoch(meter.lap, lambda count: None, lambda numbers, wrong: None)

    is_selective = getattr(run.training, "selective", None) is not None  # of a share of the rows, at least one
    return Piece(full, do, _SEVERAL if is_selective else (1, 2))


def warmed_up(online: OnlineEpsilonSettings | None) -> OnlineEpsilonSettings | None:
    """Return a policy whose warm-up is over."""
    if online is None or getattr(online, "warmup_epochs", None) is None:
        return online
    return online.model_copy(update={"warmup_epochs": 0})


def _rows(images: Images, count: int, recipe: Recipe) -> TrainingRows:
    drawn = images.draw(max(_FEWEST_ROWS, 4 * count))
    epsilon = recipe.threat.epsilon if recipe.online is None else starting_epsilon(recipe.online, recipe.threat.epsilon)
    rows = np.arange(len(drawn.labels))
    source = (rows % 2 * images.has_synthetic).astype(np.uint8)
    radii = np.full(len(rows), epsilon, np.float32)
    return TrainingRows(drawn.images, drawn.labels, source, rows, radii, images.shape)


def measured_accuracies(
    threat: ThreatSettings, architecture: ArchitectureSettings, images: Images, count: int
) -> Piece:
    """Return a measurement of a network on a few images, as histories hold one per epoch."""

    def do(rows: int, meter: Meter, repetitions: int) -> None:
        probe = make_probe(images.draw(rows), rows, threat, "train", _CPU)
        network = network_for(images, architecture)
        for _ in range(repetitions + 1):
            meter.lap()
            probe.measure(network)
        meter.lap()

    return Piece(count, do)


def look_at_rows(run: RunSettings, images: Images) -> Piece:
    """Return a look at a batch of the pool for what the training tracks, after an epoch after which all is due."""
    epochs = [set(epochs_of(wanted, run.training.epochs)) for wanted in passes_of(run.track).values()]
    epoch = max(range(1, run.training.epochs + 1), key=lambda number: sum(number in due for due in epochs))

    def do(rows: int, meter: Meter, repetitions: int) -> None:
        recipe = Recipe(run.training, run.threat, run.track)
        drawn = images.draw(rows)
        data = TrainingRows(
            drawn.images,
            drawn.labels,
            np.zeros(rows, np.uint8),
            np.arange(rows),
            np.zeros(rows, np.float32),
            images.shape,
        )
        tracker, network = Tracker(data, recipe, _CPU), network_for(images, run.architecture)
        for _ in range(repetitions + 1):
            meter.lap()
            tracker.end_epoch(epoch, network, network)
        meter.lap()

    return Piece(run.track.batch_size, do)


def attacked_batch(
    attack: AttackSettings, threat: ThreatSettings, architecture: ArchitectureSettings, images: Images
) -> Piece:
    """Return a batch of images that withstand an attack of a few steps; its passes are known."""
    few = attack.model_copy(update=steps_tried(attack))
    ball = Ball(attack.norm or threat.norm, _TINY_EPSILON, (0.0, 1.0))

    def do(rows: int, meter: Meter, repetitions: int) -> float:
        network, settings = network_for(images, architecture), few.model_copy(update={"batch_size": rows})
        pixels = to_model_input(torch.from_numpy(images.draw(rows).images))
        labels = _predicted(network, pixels)
        checked, pixels, targets = check_inputs(
            network, pixels, labels, (0.0, 1.0), attack.method not in WITHOUT_GRADIENTS
        )
        for _ in range(repetitions + 1):
            meter.lap()
            list(evaluate_blocks(checked, (pixels, targets, np.arange(rows)), settings, ball, 0))
        meter.lap()
        return attack_passes(few)

    return Piece(images_a_batch(attack.batch_size, images.shape), do)


def scored_batch(
    score: LookingScoreSettings, threat: ThreatSettings, architecture: ArchitectureSettings, images: Images
) -> Piece:
    """Return a batch of a score, some of whose rows are misclassified; margins tell their passes.

    Of a score that compares features, the look at them.
    """
    plain = score.model_copy(update={"extrapolate": None} if hasattr(score, "extrapolate") else {})
    takes_features = isinstance(score, FeatureScoreSettings)
    module = importlib.import_module(score_module(score))

    def do(rows: int, meter: Meter, repetitions: int) -> float | None:
        less = {"batch_size": rows} | (_SHORT_SEARCH if repetitions == 0 else {})
        network = network_for(images, architecture)
        settings = plain.model_copy(update={key: value for key, value in less.items() if hasattr(plain, key)})
        pixels = to_model_input(torch.from_numpy(images.draw(rows).images))
        labels = _predicted(network, pixels)
        labels[: max(1, round(WRONG_SHARE * rows))] += 1  # a batch without any would miss what is fixed in theirs
        question = Question(network, pixels, torch.from_numpy(labels % images.num_classes), threat.norm)
        for _ in range(repetitions + 1):
            meter.lap()
            columns = (look(question) if takes_features else module.score(question, settings)).columns
        meter.lap()
        if takes_features:
            return 1.0
        if "forwards" not in columns:
            return None
        return float(columns["forwards"].mean() + columns["backwards"].mean())

    return Piece(images_a_batch(score.batch_size, images.shape), do, _SEVERAL)


def _predicted(network: nn.Module, pixels: torch.Tensor) -> NDArray[np.int64]:
    with torch.no_grad():
        predicted: NDArray[np.int64] = network(pixels).argmax(1).numpy()
    return predicted


def generator_step(settings: EdmSettings, images: Images) -> Piece:
    """Return a step of the training of a generator; what a margin takes beside it is next to nothing."""

    def do(rows: int, meter: Meter, repetitions: int) -> None:
        drawn = images.draw(max(_FEWEST_ROWS, rows))
        few = settings.model_copy(update={"steps": max(repetitions, 1) + 2, "batch_size": rows, "margin": None})
        train_generator(
            read_all(drawn.images), drawn.labels, images.num_classes, few, 0, on_step=lambda step, loss: meter.lap()
        )

    return Piece(settings.batch_size, do)


def sampled_batch(
    settings: EdmSettings,
    images: Images,
    synthetic: GeneratedSyntheticSettings,
    architecture: ArchitectureSettings | None = None,
) -> Piece:
    """Return a batch of samples of a generator; where a model guides it, `architecture` is of that model."""

    def do(rows: int, meter: Meter, repetitions: int) -> None:
        denoiser = build_denoiser(settings, images.shape, images.num_classes, 0).eval().requires_grad_(False)
        few = settings.model_copy(update={"sampling_batch_size": rows})
        labels = np.arange(rows, dtype=np.int64) % images.num_classes
        quantiles, weight, guide = None, 1.0, None
        if synthetic.margin is not None:
            quantiles, weight = np.full(rows, 0.5, np.float32), synthetic.margin.weight
        if synthetic.guidance is not None and architecture is not None:
            energy = energy_of(synthetic.guidance.method)
            guide = guided_by(network_for(images, architecture), energy, synthetic.guidance.weight)
        for _ in range(repetitions + 1):
            meter.lap()
            sample_images(denoiser, labels, few, 0, quantiles=quantiles, weight=weight, guide=guide)
        meter.lap()

    return Piece(settings.sampling_batch_size, do)


def learning_step(settings: TriLevelSettings, threat: ThreatSettings, images: Images) -> Piece:
    """Return a step of the pixels of a pool that is learned."""

    def do(rows: int, meter: Meter, repetitions: int) -> None:
        share = rows / settings.batch_size
        changes = {"batch_size": rows, "attack_batch_size": max(1, round(share * settings.attack_batch_size))}
        few = settings.model_copy(update={**changes, "steps": max(repetitions, 1) + 3, **_NO_PROBE})
        drawn = images.draw(max(_FEWEST_ROWS, rows))
        inputs = LearningInputs(read_all(drawn.images), drawn.labels, images.num_classes, threat)
        # The last step measures, so that no lap ends there.
        learn(few, inputs, lambda step: meter.lap() if step < few.steps else None)

    return Piece(settings.batch_size, do)


_NO_PROBE = {"probe_every": 10**9, "max_age": 20, "networks": 2}


def natural_steps(settings: TriLevelSettings, images: Images) -> Piece:
    """Return `STEPS_TRAINED` steps of natural training, as the networks of a learned pool do beside its pixels."""
    few = settings.model_copy(update={"architectures": settings.architectures[:1]})

    def do(rows: int, meter: Meter, repetitions: int) -> None:
        drawn = images.draw(max(_FEWEST_ROWS, rows))
        population = Population(few.model_copy(update={"batch_size": rows}), images.shape, images.num_classes, 0, _CPU)
        member = population.fresh(0, 0)
        pixels, labels = to_model_input(torch.from_numpy(drawn.images)), torch.from_numpy(drawn.labels)
        for _ in range(repetitions + 1):
            meter.lap()
            population.trained(member, pixels, labels, STEPS_TRAINED, "steps")
        meter.lap()

    return Piece(settings.batch_size, do)


STEPS_TRAINED = 10


def matched_batch(settings: RobustFeaturesSettings, architecture: ArchitectureSettings, images: Images) -> Piece:
    """Return `STEPS_MATCHED` steps of a batch of a robustified dataset."""
    few = settings.model_copy(update={"steps": STEPS_MATCHED})

    def do(rows: int, meter: Meter, repetitions: int) -> None:
        network = network_for(images, architecture)
        pixels = to_model_input(torch.from_numpy(images.draw(rows).images))
        read = feature_reader(network, settings.features, pixels[:1])
        with frozen_parameters(network):
            for _ in range(repetitions + 1):
                meter.lap()
                match_features(read, pixels.flip(0), pixels, few)
            meter.lap()

    return Piece(settings.batch_size, do)


STEPS_MATCHED = 10

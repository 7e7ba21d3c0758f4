"""Checks that every network of a study can take the images it is meant for. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pumalib.data.sources.raw import SourceShape
from pumalib.errors import ConfigError
from pumalib.learning.settings import TriLevelSettings
from pumalib.models.settings import NORMALISED, ArchitectureSettings, check_architecture
from pumalib.study.check_pools import Shapes
from pumalib.study.study import Study


class Network(NamedTuple):
    """A network that a study names: its settings, the images it is for, and where it is named."""

    settings: ArchitectureSettings
    images: SourceShape
    where: str
    is_unrolled: bool = False


def check_networks(study: Study, shapes: Shapes) -> None:
    """Refuse networks that cannot take their images, or whose training cannot be unrolled where it must be.

    Raises:
        ConfigError: the first problem found.
    """
    for network in networks_of(study, shapes):
        if network.is_unrolled and network.settings.name.startswith(NORMALISED):
            raise ConfigError(
                "expected a network without batch normalisation, whose training can be unrolled, got "
                f"{network.settings.name} at {network.where}; use mlp or small-cnn"
            )
        shape, num_classes = network.images.image_shape, network.images.num_classes
        try:
            check_architecture(network.settings, shape, num_classes or 2)
        except ConfigError as error:
            raise ConfigError(f"{error} at {network.where}") from None


def networks_of(study: Study, shapes: Shapes) -> Iterator[Network]:
    """Yield the networks of runs, of learned pools, and of checkpoints that scores look through."""
    for name, run in study.runs.items():
        yield Network(run.architecture, shapes[study.dataset_of_run(name)], f"runs.{name}.architecture")
    for name, pool in study.settings.pools.items():
        if isinstance(pool.learned, TriLevelSettings):
            images = shapes[study.dataset_of_pool(name)]
            for index, architecture in enumerate(pool.learned.architectures):
                yield Network(architecture, images, f"pools.{name}.learned.architectures[{index}]", is_unrolled=True)
    for name, score in study.settings.scores.items():
        model = getattr(score, "model", None)
        if model is not None and model.architecture is not None:
            images = shapes[study.dataset_of_pool(study.score_pool(name))]
            yield Network(model.architecture, images, f"scores.{name}.model.architecture")

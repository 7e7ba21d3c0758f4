"""Checks of learned pools. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from pumalib.errors import ConfigError
from pumalib.learning.settings import TriLevelSettings
from pumalib.models.settings import ImageShape, architecture_origin, check_architecture
from pumalib.setting_errors import expect_name
from pumalib.study.study import Study

NORMALISED = ("convnet", "resnet-18", "preactresnet-18", "wrn-")
"""How the names of our architectures with batch normalisation begin; their training steps cannot be unrolled."""


def check_starts(study: Study) -> None:
    """Refuse learned pools that do not lead back to a pool of a dataset.

    Raises:
        ConfigError: an unknown pool, or a pool learned from itself, directly or not.
    """
    pools = study.settings.pools
    for name in pools:
        chain = [name]
        while (learned := pools[chain[-1]].learned) is not None:
            expect_name(learned.pool, pools, "pool", f"pools.{chain[-1]}.learned.pool")
            chain.append(learned.pool)
            if learned.pool in chain[:-1]:
                raise ConfigError(
                    f"expected a pool learned from another, got {' -> '.join(chain)} at pools.{name}.learned.pool; "
                    "start from a pool of a dataset"
                )


def check_learned_pools(study: Study, shapes: Mapping[str, tuple[ImageShape, int | None]]) -> None:
    """Refuse models and networks that do not fit the images to learn.

    Args:
        study: whose runs and pools are known to exist.
        shapes: (H, W, C) and the number of classes, or None, of each dataset.

    Raises:
        ConfigError: the first problem found.
    """
    for name, pool in study.settings.pools.items():
        if isinstance(pool.learned, TriLevelSettings):
            _check_networks(pool.learned, *shapes[study.dataset_of_pool(name)], f"pools.{name}.learned")
        elif pool.learned is not None:
            _check_model(study, name, pool.learned.model, f"pools.{name}.learned.model")


def _check_networks(settings: TriLevelSettings, shape: ImageShape, num_classes: int | None, where: str) -> None:
    for index, architecture in enumerate(settings.architectures):
        if architecture_origin(architecture.name) == "built-in" and architecture.name.startswith(NORMALISED):
            raise ConfigError(
                f"expected a network without batch normalisation, whose training can be unrolled, got "
                f"{architecture.name} at {where}.architectures[{index}]; use mlp or small-cnn"
            )
        try:
            check_architecture(architecture, shape, num_classes or 2)
        except ConfigError as error:
            raise ConfigError(f"{error} at {where}.architectures[{index}]") from None


def _check_model(study: Study, pool: str, run: str, where: str) -> None:
    """Refuse a model of another dataset: it sees other images, or was trained on rows that this one tests on."""
    expect_name(run, study.runs, "run", where)
    dataset, trained_on = study.dataset_of_pool(pool), study.dataset_of_run(run)
    if trained_on != dataset:
        raise ConfigError(
            f"expected a run on dataset {dataset}, as the pool is, got {run}, trained on {trained_on}, at {where}"
        )

"""Checks of what pruning steps leave. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

from pumalib.errors import ConfigError
from pumalib.study.check_pools import Shapes
from pumalib.study.plan import rows_of_pool
from pumalib.study.study import Study


def check_rows_left(study: Study, shapes: Shapes) -> None:
    """Refuse fractions that leave fewer rows than there are classes, as far as the number of rows tells.

    Raises:
        ConfigError: the first one found.
    """
    rows: dict[str, int | None] = {}  # of each pool: counting them may list a folder of a million images
    for name, run in study.trained.items():
        fractions = {index: step.fraction for index, step in enumerate(run.prune) if step.fraction is not None}
        if fractions and run.pool not in rows:
            rows[run.pool] = rows_of_pool(study, run.pool, shapes)
        num_rows = rows.get(run.pool)
        if num_rows is not None:
            fewest = shapes[study.dataset_of_pool(run.pool)].num_classes or 1
            _expect_left(fractions, num_rows, fewest, f"runs.{name}.prune")


def _expect_left(fractions: Mapping[int, float], num_rows: int, fewest: int, where: str) -> None:
    for index, fraction in fractions.items():
        left = num_rows - round(fraction * num_rows)
        if left < fewest:
            raise ConfigError(
                f"expected at least {fewest} of {num_rows:,} rows to stay, one of each class, got {left} with fraction "
                f"{fraction:g} at {where}[{index}]; prune less"
            )

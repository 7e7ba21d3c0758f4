"""The abstraction stage: a model and a grid in, one line a student out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pumalib.abstraction.adversarial import learn_adversarially
from pumalib.abstraction.learning import learn_rows, learn_scales, robust_loss
from pumalib.abstraction.model import accuracy, draw_signed_rows, weak_mean_norm, weak_weight_share
from pumalib.abstraction.settings import LEARNED_FOR, STUDENTS, AbstractionSettings, StudentName
from pumalib.abstraction.students import Student, natural_student
from pumalib.abstraction.table import COLUMNS, write_table

_LEARNERS = {"learned_scales": learn_scales, "learned_rows": learn_rows}


def write_students(settings: Mapping[str, Any], seeds: Sequence[int], output: Path, device: str = "cpu") -> None:
    """Train every student of every seed and write the table.

    Args:
        settings: of the model and the grid.
        seeds: of the rows.
        output: the CSV.
        device: `cpu` or `cuda`.
    """
    grid = AbstractionSettings.model_validate(settings)
    places = tqdm(seeds, desc="training students", unit="seed", disable=None)
    lines = [line for seed in places for line in seed_lines(grid, seed, torch.device(device))]
    write_table(pd.DataFrame(lines, columns=list(COLUMNS)), output)


def seed_lines(settings: AbstractionSettings, seed: int, device: torch.device) -> Iterator[tuple[Any, ...]]:
    """Yield one line of the table a student of this seed."""
    natural = draw_signed_rows(settings, seed)
    rows = torch.from_numpy(natural).to(device)
    students = {name: natural_student(name, settings.ridge_penalty) for name in STUDENTS}
    for epsilon in settings.epsilons:

        def measured(weights: NDArray[np.float64], data: NDArray[np.float64], at: float = epsilon) -> tuple[float, ...]:
            loss = float(robust_loss(torch.from_numpy(weights), torch.from_numpy(natural), at))
            accuracies = (accuracy(weights, settings, 0.0), accuracy(weights, settings, at))
            return (*accuracies, loss, weak_weight_share(weights), weak_mean_norm(data))

        weights = learn_adversarially(natural, epsilon)
        yield ("adversarial", "logistic", "-", epsilon, seed, *measured(weights, natural))
        for (training, made_for), data in _datasets(rows, students, epsilon, settings):
            for name, student in students.items():
                weights = student(data).cpu().numpy()
                yield (training, name, made_for, epsilon, seed, *measured(weights, data.cpu().numpy()))


def _datasets(
    rows: torch.Tensor, students: Mapping[StudentName, Student], epsilon: float, settings: AbstractionSettings
) -> Iterator[tuple[tuple[str, str], torch.Tensor]]:
    """Yield the natural rows and all that are learned from them, with their training and whom they are learned for."""
    yield ("natural", "-"), rows
    for training, learn in _LEARNERS.items():
        for made_for, names in LEARNED_FOR.items():
            yield (training, made_for), learn(rows, [students[name] for name in names], epsilon, settings.descent)

"""The perceptron stage: a slice of the grid in, a table of errors out."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from pumalib.perceptron.overlap import angle_errors, one_minus_overlap
from pumalib.perceptron.sampling import curves_of, draw_signed_inputs, mislabelled_share, pool_share
from pumalib.perceptron.settings import PerceptronSettings, StudentName, TeacherName
from pumalib.perceptron.table import COLUMNS, write_errors
from pumalib.perceptron.teachers import teacher_direction


def write_shard(
    settings: Mapping[str, Any],
    student: StudentName,
    teacher: TeacherName,
    seeds: Sequence[int],
    output: Path,
    device: str = "cpu",
) -> None:
    """Write the errors of one student and teacher for some seeds.

    Args:
        settings: of the grid; settings of other students are not looked at.
        student: who learns.
        teacher: what is learned.
        seeds: one after the other.
        output: the table.
        device: `cpu` or `cuda`.
    """
    grid = PerceptronSettings.model_validate(settings)
    places = tqdm(seeds, desc=f"{student} student, {teacher} teacher", unit="seed", disable=None)
    tables = [student_errors(grid, student, teacher, seed, torch.device(device)) for seed in places]
    write_errors(pd.concat(tables, ignore_index=True), output)


def student_errors(
    settings: PerceptronSettings, student: StudentName, teacher: TeacherName, seed: int, device: torch.device
) -> pd.DataFrame:
    """Train one student on every curve and alpha of the grid and return its errors, with the columns of the table."""
    curves = curves_of(settings)
    direction = teacher_direction(teacher, settings.num_features, seed)
    num_rows = [rows_at(alpha, settings.num_features) for alpha in settings.alphas]
    inputs = draw_signed_inputs(curves, direction, max(num_rows), seed, device)
    epsilons = inputs.shift.new_tensor([curve.epsilon for curve in curves])
    learn = importlib.import_module(f"pumalib.perceptron.students.{student}").learn
    weights, converged = learn(inputs, epsilons, num_rows, getattr(settings.students, student))
    angles = angle_errors(weights.cpu().numpy(), direction)
    rows = []
    for place, curve in enumerate(curves):
        mislabelled, share = mislabelled_share(curve, direction), pool_share(curve, direction)
        for alpha, angle, word in zip(settings.alphas, angles[:, place], converged[:, place], strict=True):
            errors = (float(one_minus_overlap(angle)), angle)
            rows.append((student, teacher, *curve, alpha, seed, *errors, word, mislabelled, alpha / share))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def rows_at(alpha: float, num_features: int) -> int:
    """Return the number of rows after pruning; at least one."""
    return max(1, round(alpha * num_features))

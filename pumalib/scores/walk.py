"""Walking through the rows of a pool, block by block, from where a killed job came to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pumalib.attacks.inputs import images_a_batch
from pumalib.attacks.threat_settings import Norm
from pumalib.data.pool import Pool
from pumalib.jobs.states import StateFile
from pumalib.models.inputs import to_model_input
from pumalib.models.trained import TrainedModel
from pumalib.scores.estimates import Estimate, Question
from pumalib.scores.settings import LookingScoreSettings


class Walk:
    """Scores rows of a pool, and keeps what was found in a saved state.

    Args:
        settings: of the score.
        pool: the pool.
        trained: the model looked through.
        threat_norm: norm of margins unless the settings say otherwise.
        device: torch device.
        state_file: where the state is kept.
        num_rows: rows to score in all.

    Attributes:
        pool: the pool.
    """

    def __init__(
        self,
        settings: LookingScoreSettings,
        pool: Pool,
        trained: TrainedModel,
        threat_norm: Norm,
        device: str,
        state_file: StateFile,
        num_rows: int,
    ) -> None:
        self.pool = pool
        self._method, self._model, self._norm, self._device = settings.method, trained.model, threat_norm, device
        self._size = images_a_batch(settings.batch_size, pool.image_shape)
        self._state_file, self._num_rows, self._num_walked = state_file, num_rows, 0
        saved = state_file.load() or {"estimates": []}
        with state_file.putting_back():
            self._estimates = [Estimate.from_state_dict(estimate) for estimate in saved["estimates"]]
            self._num_done = _rows_done(self._estimates, num_rows)

    def through(self, rows: NDArray[np.int64], score: Callable[[Question], Estimate]) -> None:
        """Score these rows [R] of the pool, but for those that a saved state has already."""
        skipped = min(max(self._num_done - self._num_walked, 0), len(rows))
        before, description = self._num_walked + skipped, f"scoring ({self._method})"
        self._num_walked += len(rows)
        with tqdm(total=self._num_rows, initial=before, desc=description, unit="image", disable=None) as bar:
            for question in self.questions(rows[skipped:]):
                self._state_file.offer(self._state_dict)
                self._estimates.append(score(question))
                bar.update(len(question.labels))

    def questions(self, rows: NDArray[np.int64]) -> Iterator[Question]:
        """Yield these rows [R] of the pool, block by block."""
        for start in range(0, len(rows), self._size):
            taken = rows[start : start + self._size]
            images = to_model_input(torch.from_numpy(self.pool.images[taken]).to(self._device))
            labels = torch.from_numpy(self.pool.labels[taken]).to(self._device)
            yield Question(self._model, images, labels, self._norm)

    def found(self) -> Estimate:
        """Return what was found so far, in the order that it was walked."""
        first = self._estimates[0]
        columns = {name: np.concatenate([each.columns[name] for each in self._estimates]) for name in first.columns}
        score = np.concatenate([each.score for each in self._estimates])
        return Estimate(score, first.higher_is, first.unit, first.norm, columns)

    def _state_dict(self) -> dict[str, Any]:
        return {"estimates": [estimate.state_dict() for estimate in self._estimates]}


def _rows_done(estimates: Sequence[Estimate], num_rows: int) -> int:
    """Return how many rows a saved state has; a ValueError if it cannot be one of this shard."""
    done = sum(len(estimate.score) for estimate in estimates)
    names = {(estimate.higher_is, estimate.unit, estimate.norm, tuple(estimate.columns)) for estimate in estimates}
    lengths = {len(column) - len(estimate.score) for estimate in estimates for column in estimate.columns.values()}
    if done > num_rows or len(names) > 1 or lengths - {0}:
        raise ValueError(f"expected blocks of one form, {num_rows} rows at most, got {done} rows")
    return done

"""The nearest of the linearised class boundaries around each row, found with few backward passes.

The first time all classes are looked at; later those alone whose boundary would be the nearest if their gradient had
become `_LONGER` times as long: on convolutional nets one or two (a choice of ours).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pumalib.attacks.counted import Look
from pumalib.attacks.gradient_ascent import Clip
from pumalib.attacks.hyperplanes import dual_norm, movable
from pumalib.attacks.threat_settings import Norm

_LONGER = 2.0


def likeliest(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """Return the most likely other classes [R, C], from the likeliest on; C is at most `count`."""
    # -inf puts the label last, and C < K leaves it out.
    others = logits.detach().scatter(1, labels[:, None], -torch.inf)  # [R, K]
    return others.topk(min(count, logits.shape[1] - 1), dim=1).indices


def gaps_to(logits: Tensor, labels: Tensor, others: Tensor) -> Tensor:
    """Return ``d_k = f_k - f_y`` [R] for one other class k a row, [R]."""
    return (logits.gather(1, others[:, None]) - logits.gather(1, labels[:, None])).squeeze(1)


@dataclass(frozen=True)
class Planes:
    """The linearised boundaries of all candidates at some images.

    Attributes:
        rows: [R] int64, of the batch.
        classes: [R, C] int64.
        gaps: [R, C] ``d_k = f_k - f_y`` at the image.
        normals: [R, C, D] their gradients.
    """

    rows: Tensor
    classes: Tensor
    gaps: Tensor
    normals: Tensor

    def among(self, places: Tensor) -> Planes:
        """Return those of these places [S]."""
        return Planes(self.rows[places], self.classes[places], self.gaps[places], self.normals[places])


class NearestBoundary:
    """The search for the nearest boundary, which remembers how long the gradients of each row were.

    Attributes:
        planes: of all candidates where `find` was first called, if they are to be kept.

    Args:
        labels: [B] int64, of the batch.
        num_candidates: other classes looked at, the most likely ones, ranked anew each time.
        norm: `linf` or `l2`.
        clip: range of valid inputs, or None; distances count the pixels that can move.
        keep_planes: keep the planes of the first call, which differentiates all candidates.
    """

    def __init__(self, labels: Tensor, num_candidates: int, norm: Norm, clip: Clip, keep_planes: bool = False) -> None:
        self.planes: Planes | None = None
        self._keep_planes = keep_planes
        self._labels, self._num_candidates, self._norm, self._clip = labels, num_candidates, norm, clip
        self._lengths = torch.empty(0)  # [B, K], once the number of classes is seen

    def find(self, look: Look, wanted: Tensor, beyond: Tensor) -> tuple[Tensor, Tensor]:
        """Find where ``d_k + w_k . step = beyond`` is nearest.

        Args:
            look: at R rows of the batch.
            wanted: [R] bool, for which of them; the others get their most likely other class.
            beyond: [R], how far beyond the boundary to aim, in logits.

        Returns:
            The gaps ``d_k`` [R] and normals ``w_k`` [R, D] of the class chosen.
        """
        rows, logits, points = look.rows, look.logits.detach(), look.inputs.detach().flatten(1)  # [R], [R, K], [R, D]
        labels, lengths = self._labels[rows], self._known_lengths(look)  # [R], [R, K]; indexing has copied both
        others = self._in_order(logits, labels, lengths, wanted, beyond)  # [R, C]
        chosen, places = others[:, 0].clone(), torch.arange(len(labels), device=labels.device)  # [R], [P]
        normals = look.gradient(gaps_to(look.logits, labels, chosen), keep_graph=True)  # [R, D]
        seen = [normals.clone()] if self._keep_planes else []  # C of [R, D]
        lengths.scatter_(1, others[:, :1], self._length(normals, points)[:, None])
        nearest = (beyond - gaps_to(logits, labels, chosen)) / lengths.gather(1, others[:, :1]).squeeze(1)  # [R]
        # Invariant: `nearest`, `chosen` and `normals` belong to the nearest boundary of those differentiated so far. A
        # turn differentiates the next candidate of every row that still wants one. Candidates come by their guessed
        # distance, so a row is done at the first one that is too far. `places` [P] are the rows that `look` still
        # holds; all else stays [R].
        for other in others.T[1:]:  # [R], a candidate of each row
            aimed = beyond - gaps_to(logits, labels, other)  # [R]
            # An unknown length is inf, which always passes: such a boundary may be anywhere.
            wanted = wanted & (aimed < _LONGER * nearest * lengths.gather(1, other[:, None]).squeeze(1))
            if not wanted.any():
                break
            # Half of the rows are done: a forward pass of the rest alone makes the backward passes cheaper.
            if 2 * int(wanted.sum()) <= len(places):
                look, places = look.among(wanted[places]), places[wanted[places]]  # [P]
            normal = look.gradient(gaps_to(look.logits, labels[places], other[places]), keep_graph=True)  # [P, D]
            lengths[places, other[places]] = self._length(normal, points[places])  # [P]
            if self._keep_planes and len(places) == len(labels):
                seen.append(normal)
            distance = aimed / lengths.gather(1, other[:, None]).squeeze(1)  # [R]; old lengths outside `places`
            is_nearer = wanted & (distance < nearest)  # [R]; only rows in `places`
            nearest, chosen = torch.where(is_nearer, distance, nearest), torch.where(is_nearer, other, chosen)
            # `places` rises, so both masks pick the same rows in the same order.
            normals[is_nearer] = normal[is_nearer[places]]
        if self._keep_planes:
            differentiated = others[:, : len(seen)]  # [R, C']
            gaps = logits.gather(1, differentiated) - logits.gather(1, labels[:, None])  # [R, C']
            self.planes, self._keep_planes = Planes(rows, differentiated, gaps, torch.stack(seen, 1)), False
        # Classes beyond the candidates are taken to have the longest gradient of their row.
        longest = lengths.masked_fill(lengths.isinf(), 0.0).amax(1, keepdim=True)
        # Indexing copied `lengths`: without this line nothing is remembered.
        self._lengths[rows] = torch.where(lengths.isinf(), longest, lengths)
        return gaps_to(logits, labels, chosen), normals

    def _known_lengths(self, look: Look) -> Tensor:
        """Return the gradients' lengths [R, K] when last seen; inf: never, so that the boundary may be anywhere."""
        if len(self._lengths) == 0:
            self._lengths = look.logits.new_full((len(self._labels), look.logits.shape[1]), torch.inf)
        return self._lengths[look.rows]

    def _in_order(self, logits: Tensor, labels: Tensor, lengths: Tensor, wanted: Tensor, beyond: Tensor) -> Tensor:
        """Return the candidates [R, C] from the nearest on, as far as known; unwanted rows' from the likeliest on."""
        others = likeliest(logits, labels, self._num_candidates)  # [R, C]
        aimed = beyond[:, None] + logits.gather(1, labels[:, None]) - logits.gather(1, others)  # [R, C]
        # A length of inf guesses 0: what was never seen comes first. The sort is stable, so equal guesses stay in the
        # order of likelihood.
        guessed = (aimed / lengths.gather(1, others)).masked_fill(~wanted[:, None], 0.0)  # [R, C]
        return others.gather(1, guessed.argsort(stable=True, dim=1))

    def _length(self, normals: Tensor, points: Tensor) -> Tensor:
        return dual_norm(movable(normals, points, self._clip), self._norm)

"""Perturbing rows of a pool within their epsilons, to look at what training does to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pumalib.attacks.objectives import log_odds_against
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.browsing.collection import Collection, Facet
from pumalib.browsing.moved import Moved
from pumalib.errors import ArtifactError, DataError
from pumalib.files.artifacts import expect_fingerprint
from pumalib.lineage.chain import chain_links
from pumalib.lineage.headers import Header, read_header
from pumalib.models.inputs import to_model_input
from pumalib.models.trained import TrainedModel, expect_images, load_trained
from pumalib.training.inner_attack import InnerAttack

NUM_STEPS = 10
_BATCH = 64


def perturbed(rows: Collection, count: int, selection: Header, scores: Mapping[str, Path], device: str) -> Collection:
    """Perturb the rows nearest to the cut by PGD through the margin model: 10 steps of epsilon / 4, a random start.

    Rows of negative epsilon move toward their label, as training moves them. Pruned rows have no epsilon and get that
    of the threat.

    Args:
        rows: of the selection.
        count: how many at most.
        selection: its header.
        scores: score tables by name; the model is that of the first one that looked through a model.
        device: torch device.

    Raises:
        DataError: no such score.
        ArtifactError: the model is missing, damaged, or another one.
    """
    name, trained = _margin_model(scores, device)
    positions = nearest_to_the_cut(rows, name, count)
    threat = ThreatSettings.model_validate(selection.settings["threat"])
    epsilons = rows.values["epsilon"][positions]
    radii = np.where(np.isnan(epsilons), np.float32(threat.epsilon), epsilons)
    images = rows.images(positions)
    expect_images(trained, images.shape[1:], len(rows.class_names), selection.path)
    moved = _attack(
        trained, InnerAttack(threat.norm, NUM_STEPS, in_eval_mode=True), images, rows.labels[positions], radii
    )
    codes = np.zeros(len(rows), np.int64)
    codes[positions] = 1
    note = (
        f"{len(positions)} rows are perturbed by PGD with {NUM_STEPS} steps through the model of {name}: within their "
        f"epsilon, or where they are pruned within that of the threat, {threat.epsilon:.4g} ({threat.norm})."
    )
    return replace(
        rows,
        facets=rows.facets | {"perturbed": Facet(("no", "yes"), codes)},
        moved=Moved(positions, *moved),
        notes=(*rows.notes, note),
    )


def nearest_to_the_cut(rows: Collection, name: str, count: int) -> NDArray[np.int64]:
    """Return positions, ascending, of the rows whose score is nearest to its cut; without one, to 0."""
    cuts = rows.cuts.get(name, ())
    distance = np.abs(rows.values[name].astype(np.float64) - (cuts[0] if cuts else 0.0))
    nearest = np.argsort(distance, kind="stable")[: min(count, int(np.isfinite(distance).sum()))]
    return np.sort(nearest)


def _margin_model(scores: Mapping[str, Path], device: str) -> tuple[str, TrainedModel]:
    """Load the model that the first score looked through."""
    for name, path in scores.items():
        link = next((link for link in chain_links(read_header(path)) if link.role == "model"), None)
        if link is None:
            continue
        if link.path is None:
            raise ArtifactError(link.problem)
        trained = load_trained(link.path, device)
        expect_fingerprint(trained.fingerprint, link.recorded, "model", link.path)
        return name, trained
    raise DataError(
        "expected a score through a model that the study trained, to perturb rows through it, got "
        f"{', '.join(scores) or 'no score'}; name one with --score, or leave --adversarial out"
    )


def _attack(
    trained: TrainedModel,
    attack: InnerAttack,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    epsilons: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return points [B, H, W, C] and predictions [B]; a batch at a time, each from a random start of its own seed."""
    device = next(trained.model.parameters()).device
    points, predictions = [], []
    for start in range(0, len(images), _BATCH):
        part = slice(start, start + _BATCH)
        pixels = to_model_input(torch.from_numpy(images[part])).to(device)
        targets, radii = (torch.from_numpy(each[part]).to(device) for each in (labels, epsilons))
        generator = torch.Generator(device).manual_seed(start)
        objective = partial(log_odds_against, labels=targets)
        found = attack.perturb(trained.model, pixels, targets, radii, objective, generator)
        with torch.no_grad():
            predictions.append(trained.model(found).argmax(1).cpu().numpy())
        points.append(found.permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(points), np.concatenate(predictions)

"""The text of a study to begin with: short comments, and every value that one changes first."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pumalib.starting.proposal import Proposal
from pumalib.starting.survey import Survey

_HEAD = """\
# Check it: puma check {file}
# Run it:   puma run {file}
# `puma plan {file}` says how long it takes; docs/keys.md of the project lists every key.
study: {name} # results go to results/{name}
seeds: [{seeds}] # five or more for a claim
threat: {{norm: linf, epsilon: {epsilon}}} # on the pixel scale [0, 1]; {why_epsilon}
"""

_OF_IMAGES = """
datasets:
  images: # {told}
    source: folder
    path: {path}
{lines}

pools:
  images: {{dataset: images}}

defaults:
  pool: images
  architecture: {architecture} # {why_architecture}
  training:
    method: trades
    beta: 5.0
    epochs: {epochs} # more is better, up to about 100 with a large network
    samples_per_epoch: {samples_per_epoch} # rows drawn in an epoch: as many as are left to train on
    batch_size: {batch_size}
    learning_rate: {learning_rate:g}
    crop_padding: {crop_padding} # images are shifted by up to so many pixels
    horizontal_flip: {horizontal_flip} # false where left and right differ, as in digits and text
"""

_OF_DIGITS = """
datasets:
  digits: {{source: digits, split: seeded, test_fraction: 0.33}} # scikit-learn's: no download

pools:
  digits: {{dataset: digits}}

defaults:
  pool: digits
  architecture: {{name: mlp, width: 64}}
  training:
    {{method: trades, beta: 5.0, epochs: {epochs}, samples_per_epoch: 3200, batch_size: 128, learning_rate: 0.1,
     schedule_unit: step, crop_padding: 0, horizontal_flip: false}}
"""

_TAIL = """
runs:
  trades: {} # the baseline, and the model that margins are measured through
  puma-20: # PUMA: without the 20 % of the rows that are farthest from the boundary
    prune: [{by: margin, drop: easiest, fraction: 0.2}]
    epsilon: {policy: margin, score: margin}
  control-20: # the same rows, all with PUMA's mean epsilon: compare PUMA with it
    prune: [{by: margin, drop: easiest, fraction: 0.2}]
    epsilon: {policy: mean_of_margin, score: margin}

scores:
  margin: {method: deepfool, model: trades}

attacks:
  cw: {method: cw_pgd, steps: 40}

reports:
  table: {kind: comparison, baseline: trades, control: control-20}
  margins: {kind: margin_histogram, score: margin, run: puma-20}
"""

_COMMENT_COLUMN = 34


def digits_text(name: str, file: str, *, epsilon: str | None, seeds: int, epochs: int | None) -> str:
    """Return a study of scikit-learn's digits, which takes a minute or two."""
    head = _head(name, file, epsilon or "0.1", seeds, "a tenth of the range from black to white")
    return _aligned(head + _OF_DIGITS.format(epochs=epochs or 6) + _TAIL)


def images_text(name: str, file: str, found: Survey, proposed: Proposal, *, seeds: int, epochs: int | None) -> str:
    """Return a study of a folder of images."""
    why_epsilon = "usual for grey images" if found.is_grey else "usual for photographs of this size"
    is_small = proposed.architecture == "small-cnn"
    of_images = _OF_IMAGES.format(
        told=_told(found),
        path=json.dumps(found.path, ensure_ascii=False),
        lines="\n".join(f"    {line}" for line in _lines(found, proposed)),
        architecture=proposed.architecture,
        why_architecture="for a processor; preactresnet-18 with a GPU" if is_small else "small-cnn without a GPU",
        epochs=epochs or 30,
        samples_per_epoch=proposed.samples_per_epoch,
        batch_size=proposed.batch_size,
        learning_rate=proposed.learning_rate,
        crop_padding=proposed.crop_padding,
        horizontal_flip=str(proposed.horizontal_flip).lower(),
    )
    return _aligned(_head(name, file, proposed.epsilon, seeds, why_epsilon) + of_images + _TAIL)


def _aligned(text: str) -> str:
    """Put the comments behind values into one column."""
    lines = []
    for line in text.splitlines():
        code, mark, comment = line.partition(" # ")
        has_comment = mark and not code.startswith("#") and not code.lstrip().startswith("path:")
        lines.append(f"{code:<{_COMMENT_COLUMN}}  # {comment}" if has_comment else line)
    return "\n".join(lines) + "\n"


def _head(name: str, file: str, epsilon: str, seeds: int, why_epsilon: str) -> str:
    numbers = ", ".join(map(str, range(seeds)))
    return _HEAD.format(name=name, file=file, seeds=numbers, epsilon=epsilon, why_epsilon=why_epsilon)


def _told(found: Survey) -> str:
    test = f" and {found.num_test:,} test images" if found.has_test else ""
    low, high = min(found.sides), max(found.sides)
    sides = f"{low}" if low == high else f"{low} to {high}"
    return f"{found.num_classes} classes, {found.num_images:,} images{test}, shorter sides of {sides} pixels"


def _lines(found: Survey, proposed: Proposal) -> Sequence[str]:
    """Return the other keys of the dataset, those that these images need."""
    lines = [f"image_size: {proposed.image_size} # each image is brought to this height and width"]
    if proposed.enlarge:
        lines.append("enlarge: true # some images are smaller")
    if found.share_not_square > 0:
        share = f"{100 * found.share_not_square:.0f} %"
        lines.append(f"fit: crop # {share} are not square: `crop` cuts their ends off, `pad` does not")
    lines.append(f"channels: {1 if found.is_grey else 3}")
    if found.is_transparent:
        lines.append("background: white # behind transparent pixels")
    if proposed.test_fraction:
        lines += ["split: seeded # each seed has a test split of its own"]
        lines += [f"test_fraction: {proposed.test_fraction:g}"]
    lines.append(f"validation_fraction: {proposed.validation_fraction:g} # never trained on: measured after each epoch")
    return lines

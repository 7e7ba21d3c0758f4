"""The images of the study `oracle`: their Bayes classifier is known exactly, and margins through it are true ones."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog

from pumalib import deepfool_margins
from pumalib.study.file import load_study
from studies.oracle.bayes import Bayes
from studies.oracle.make_images import (
    CLASSES,
    LEVELS,
    NOISE,
    SIDE,
    bayes_network,
    draw,
    log_probabilities,
    main,
    mean_images,
)

MEANS = mean_images()
WEIGHTS, BIASES = bayes_network(MEANS)
Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def drawn() -> tuple[Floats, NDArray[np.int64]]:
    """Return images [N, pixels] on the pixel scale, and labels."""
    images, labels = draw(MEANS, 1500, seed=3)
    assert images.dtype == np.uint8
    return images.reshape(len(images), -1) / 255, labels


def network() -> Bayes:
    bayes = Bayes((SIDE, SIDE, 1), CLASSES)
    with torch.no_grad():
        bayes.linear.weight.copy_(torch.from_numpy(WEIGHTS))
        bayes.linear.bias.copy_(torch.from_numpy(BIASES))
    return bayes.eval()


def test_pixels_have_the_probabilities_that_are_said(drawn):
    """Of the levels of one pixel over many images, against the formula written out for one level."""
    logs = log_probabilities(MEANS)
    assert np.allclose(np.exp(logs).sum(-1), 1)
    weights = [np.exp(-((level / 255 - MEANS[2, 7]) ** 2) / (2 * NOISE**2)) for level in range(256)]
    assert logs[2, 7, 130] == pytest.approx(np.log(weights[130] / sum(weights)))
    images, labels = drawn
    found = images[labels == 2].mean(0)
    expected = (np.exp(logs[2]) * LEVELS).sum(-1)
    assert np.abs(found - expected).max() < 5 * NOISE / np.sqrt((labels == 2).sum())


def test_outputs_differ_as_the_log_probabilities_of_the_classes_do(drawn):
    images, _ = drawn
    levels = np.rint(images[:50] * 255).astype(int)
    logs = log_probabilities(MEANS)
    whole = np.stack([logs[label, np.arange(levels.shape[1]), levels].sum(1) for label in range(CLASSES)], 1)
    outputs = images[:50] @ WEIGHTS.T + BIASES
    np.testing.assert_allclose(outputs - outputs[:, :1], whole - whole[:, :1], atol=1e-8)


def test_the_bayes_classifier_has_as_many_right_as_its_own_probabilities_say(drawn):
    images, labels = drawn
    outputs = images @ WEIGHTS.T + BIASES
    believed = np.exp(outputs - np.logaddexp.reduce(outputs, 1, keepdims=True)).max(1)
    right = outputs.argmax(1) == labels
    assert abs(right.mean() - believed.mean()) < 4 * np.sqrt(believed.mean() * (1 - believed.mean()) / len(labels))
    assert 0.95 < right.mean() < 1


def test_margins_through_it_are_the_distances_of_a_linear_program(drawn):
    """Rightly classified: the nearest of nine planes. Wrongly: all nine at once. Both within the pixel scale."""
    images, labels = drawn
    wrong = (images @ WEIGHTS.T + BIASES).argmax(1) != labels
    rows = np.concatenate([np.flatnonzero(wrong)[:4], np.flatnonzero(~wrong)[:4]])
    pixels = torch.from_numpy(images[rows].reshape(-1, 1, SIDE, SIDE)).float()
    found = deepfool_margins(network(), pixels, labels[rows])
    assert found.converged.all()
    exact = [signed_distance(images[row], int(labels[row]), bool(wrong[row])) for row in rows]
    np.testing.assert_allclose(found.margin, exact, rtol=0.01, atol=2e-6)


def signed_distance(image: Floats, label: int, is_wrong: bool) -> float:
    others = [other for other in range(CLASSES) if other != label]
    normals = np.stack([WEIGHTS[label] - WEIGHTS[other] for other in others])
    leads = normals @ image + BIASES[label] - BIASES[others]
    if is_wrong:
        return -least_step(image, -normals, leads)
    return min(least_step(image, normals[place : place + 1], -leads[place : place + 1]) for place in range(len(others)))


def least_step(image: Floats, rows: Floats, bounds: Floats) -> float:
    """Return the least t with a step of at most t in each pixel, within the scale, with rows @ step <= bounds."""
    size = len(image)
    box = np.block([[np.eye(size), -np.ones((size, 1))], [-np.eye(size), -np.ones((size, 1))]])
    solved = linprog(
        np.r_[np.zeros(size), 1],
        A_ub=np.vstack([np.c_[rows, np.zeros(len(rows))], box]),
        b_ub=np.r_[bounds, np.zeros(2 * size)],
        bounds=[*((-value, 1 - value) for value in image), (0, None)],
    )
    assert solved.success
    return float(solved.fun)


def test_the_study_takes_the_files_that_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, root = tmp_path / "oracle", Path(__file__).parents[1]
    monkeypatch.setattr(sys, "argv", ["make_images.py", "--out", str(made), "--train", "20000", "--test", "100"])
    main()
    monkeypatch.chdir(root)  # where the class of the Bayes classifier is found
    text = (root / "studies" / "oracle.yaml").read_text(encoding="utf-8").replace("data/oracle/", f"{made}/")
    (tmp_path / "oracle.yaml").write_text(text, encoding="utf-8")
    study = load_study(tmp_path / "oracle.yaml")
    assert study.settings.runs["bayes"].checkpoint == str(made / "bayes.safetensors")

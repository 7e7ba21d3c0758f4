"""Linear models, and their exact margins by closed form, linear program and least distance programming."""

import numpy as np
import torch
from scipy.optimize import linprog, nnls
from torch import nn

BOX = (0.0, 1.0)


def linear_model(num_pixels=20, num_classes=10, seed=0, scale=1.0):
    """Return a random linear model whose logits are balanced at mid-grey."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Linear(num_pixels, num_classes).eval()
    with torch.no_grad():
        model.weight.copy_(scale * torch.randn(num_classes, num_pixels, generator=generator))
        model.bias.copy_(-0.5 * model.weight.sum(1))
    return model


def random_images(count, num_pixels=20, seed=1, low=0.0, high=1.0):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(count, num_pixels, generator=generator)


def predictions(model, images):
    with torch.no_grad():
        return model(images).argmax(1)


def wrong_labels(model, images, rank=2):
    """Return the class of this rank (1 is the most likely wrong one) of each image."""
    with torch.no_grad():
        return model(images).argsort(1, descending=True)[:, rank]


def constraints(model, image, label):
    """Return normals and gaps of ``normals @ step >= gaps``, "the label is as likely as each other class"."""
    weight = model.weight.detach().double().numpy()
    bias = model.bias.detach().double().numpy()
    others = np.arange(len(bias)) != label
    normals = weight[label] - weight[others]
    return normals, -(normals @ image + bias[label] - bias[others])


def closed_form_margins(model, images, labels, norm):
    """Return ``min_k |d_k| / ||w_k||_dual`` of rightly classified rows in an unbounded space."""
    order = 1 if norm == "linf" else 2
    margins = []
    for image, label in zip(images.double().numpy(), labels.numpy(), strict=True):
        normals, gaps = constraints(model, image, label)
        margins.append((-gaps / np.linalg.norm(normals, order, axis=1)).min())
    return np.array(margins)


def shortest_step(normals, gaps, image, norm, clip):
    """Return the length of the shortest step with ``normals @ step >= gaps`` inside the box; inf if there is none."""
    solve = _shortest_linf_step if norm == "linf" else _shortest_l2_step
    return solve(np.atleast_2d(normals), np.atleast_1d(gaps), image, clip)


def _shortest_linf_step(normals, gaps, image, clip):
    num_pixels = len(image)
    length = np.ones((num_pixels, 1))
    table = np.block(
        [
            [-normals, np.zeros((len(gaps), 1))],
            [np.eye(num_pixels), -length],
            [-np.eye(num_pixels), -length],
        ]
    )
    box = [(None, None)] * num_pixels if clip is None else list(zip(clip[0] - image, clip[1] - image, strict=True))
    solution = linprog(
        np.append(np.zeros(num_pixels), 1.0),
        A_ub=table,
        b_ub=np.concatenate([-gaps, np.zeros(2 * num_pixels)]),
        bounds=[*box, (0, None)],
    )
    return solution.fun if solution.status == 0 else np.inf


def _shortest_l2_step(normals, gaps, image, clip):
    """Least distance programming through non-negative least squares (Lawson & Hanson 1974, ch. 23)."""
    if clip is not None:
        identity = np.eye(len(image))
        normals = np.concatenate([normals, identity, -identity])
        gaps = np.concatenate([gaps, clip[0] - image, image - clip[1]])
    matrix = np.concatenate([normals.T, gaps[None]])
    target = np.append(np.zeros(len(image)), 1.0)
    residual = matrix @ nnls(matrix, target, maxiter=1000)[0] - target
    return np.inf if np.linalg.norm(residual) < 1e-9 else float(np.linalg.norm(residual[:-1] / residual[-1]))


def exact_margins(model, images, labels, norm, clip):
    """Return signed margins by linear or least distance programming; inf where the box holds no such point."""
    predicted = predictions(model, images).numpy()
    margins = []
    for image, label, prediction in zip(images.double().numpy(), labels.numpy(), predicted, strict=True):
        normals, gaps = constraints(model, image, label)
        if prediction == label:
            ways_out = [shortest_step(-n, -g, image, norm, clip) for n, g in zip(normals, gaps, strict=True)]
            margins.append(min(ways_out))
        else:
            margins.append(-shortest_step(normals, gaps, image, norm, clip))
    return np.array(margins)

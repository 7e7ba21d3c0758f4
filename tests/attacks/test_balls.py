"""Norm balls, steps, starts and objectives: each row stays in its own ball, and the numbers are the known ones."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pumalib.attacks.gradient_ascent import ascend, step
from pumalib.attacks.objectives import cross_entropy, cw_margin, divergence, log_odds_against
from pumalib.attacks.projection import norms, project, start_in_ball, steepest

NORMS = ("linf", "l2")
CLIPS = (None, (0.0, 1.0))

balls = st.fixed_dictionaries(
    {
        "norm": st.sampled_from(NORMS),
        "clip": st.sampled_from(CLIPS),
        "seed": st.integers(0, 2**32 - 1),
        "radii": st.lists(st.one_of(st.just(0.0), st.floats(2**-16, 2.0, width=32)), min_size=1, max_size=5),
        "shape": st.sampled_from([(1,), (7,), (3, 4, 4)]),
        "spread": st.sampled_from([1e-6, 0.1, 10.0]),
    }
)


def uniform(generator, count, shape):
    return torch.rand(count, *shape, generator=generator)


def assert_inside(points, images, radii, norm, clip):
    lengths = norms(points.double() - images.double(), norm)
    assert (lengths <= radii.double() * (1 + 1e-5) + 3e-7).all()
    if clip is not None:
        assert points.min() >= clip[0]
        assert points.max() <= clip[1]
    assert torch.isfinite(points).all()


@settings(deadline=None, max_examples=150)
@given(balls)
def test_projection_lands_in_each_rows_own_ball_and_leaves_what_is_inside(ball):
    generator = torch.Generator().manual_seed(ball["seed"])
    radii, norm = torch.tensor(ball["radii"]), ball["norm"]
    perturbation = (uniform(generator, len(radii), ball["shape"]) - 0.5) * ball["spread"]
    projected = project(perturbation, radii, norm)
    assert (norms(projected, norm) <= radii * (1 + 1e-6)).all()
    inside = norms(perturbation, norm) <= radii
    assert torch.equal(projected[inside], perturbation[inside])
    torch.testing.assert_close(project(projected, radii, norm), projected)


@settings(deadline=None, max_examples=150)
@given(balls)
def test_starts_and_steps_stay_in_each_rows_own_ball_and_in_the_valid_range(ball):
    generator = torch.Generator().manual_seed(ball["seed"])
    radii, norm, clip = torch.tensor(ball["radii"]), ball["norm"], ball["clip"]
    images = uniform(generator, len(radii), ball["shape"])
    noise = uniform(generator, len(radii), ball["shape"]) * 2 - 1
    start = start_in_ball(noise, radii, norm)
    assert_inside(images + start, images, radii, norm, None)
    points = images
    for _ in range(3):
        gradient = uniform(generator, len(radii), ball["shape"]) - 0.5
        points = step(points, images, gradient, radii, radii * ball["spread"], norm, clip)
        assert_inside(points, images, radii, norm, clip)


@settings(deadline=None, max_examples=50)
@given(balls)
def test_ascent_never_leaves_the_ball_and_never_falls_below_a_linear_start(ball):
    generator = torch.Generator().manual_seed(ball["seed"])
    radii, norm, clip = torch.tensor(ball["radii"]), ball["norm"], ball["clip"]
    images = uniform(generator, len(radii), ball["shape"])
    slope = uniform(generator, len(radii), ball["shape"]) - 0.5

    def objective(points):
        return (points * slope).flatten(1).sum(1)

    start = torch.zeros_like(images)
    points = ascend(objective, images, start, radii, radii / 4, 10, norm, clip)
    assert_inside(points, images, radii, norm, clip)
    assert not points.requires_grad
    assert (objective(points) >= objective(images) - 1e-5).all()
    if clip is None:
        dual = slope.flatten(1).abs().sum(1) if norm == "linf" else slope.flatten(1).norm(dim=1)
        torch.testing.assert_close(objective(points) - objective(images), radii * dual, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_a_negative_radius_is_refused(norm):
    with pytest.raises(ValueError, match=r"at least 0, got -0\.1"):
        project(torch.ones(2, 3), torch.tensor([0.1, -0.1]), norm)


def test_projection_onto_known_balls():
    perturbation = torch.tensor([[3.0, -4.0], [0.3, -0.4]])
    radii = torch.tensor([1.0, 1.0])
    torch.testing.assert_close(project(perturbation, radii, "linf"), torch.tensor([[1.0, -1.0], [0.3, -0.4]]))
    torch.testing.assert_close(project(perturbation, radii, "l2"), torch.tensor([[0.6, -0.8], [0.3, -0.4]]))
    torch.testing.assert_close(norms(perturbation, "l2"), torch.tensor([5.0, 0.5]))
    torch.testing.assert_close(norms(perturbation, "linf"), torch.tensor([4.0, 0.4]))


def test_steepest_step_of_no_gradient_is_no_step():
    for norm in NORMS:
        assert torch.equal(steepest(torch.zeros(2, 3), norm), torch.zeros(2, 3))
    torch.testing.assert_close(steepest(torch.tensor([[3.0, -4.0]]), "l2"), torch.tensor([[0.6, -0.8]]))
    assert torch.equal(steepest(torch.tensor([[3.0, -4.0, 0.0]]), "linf"), torch.tensor([[1.0, -1.0, 0.0]]))


@pytest.mark.parametrize("num_pixels", [1, 2, 3, 64, 3072])
def test_l2_start_is_uniform_in_the_ball(num_pixels):
    count = 3000
    noise = torch.rand(count, num_pixels, generator=torch.Generator().manual_seed(5)) * 2 - 1
    start = start_in_ball(noise, torch.full((count,), 0.5), "l2").double()
    lengths = norms(start, "l2") / 0.5
    volumes = lengths.clamp_max(1.0).numpy() ** num_pixels
    assert stats.kstest(volumes, "uniform").pvalue > 0.001
    directions = (start / lengths[:, None] / 0.5).numpy()
    fourth_moment = 3 / (num_pixels * (num_pixels + 2))  # of a coordinate of a uniform direction
    assert np.mean(directions**4) == pytest.approx(fourth_moment, rel=0.05)
    for power in (1, 2):
        if num_pixels > 1:
            assert stats.spearmanr(volumes, np.abs(directions[:, 0]) ** power).pvalue > 0.001


def test_l2_start_in_the_plane_has_no_favoured_angle():
    noise = torch.rand(5000, 2, generator=torch.Generator().manual_seed(6)) * 2 - 1
    start = start_in_ball(noise, torch.ones(5000), "l2")
    angles = torch.atan2(start[:, 1], start[:, 0]) / (2 * torch.pi) + 0.5
    assert stats.kstest((angles * 4 % 1).double().numpy(), "uniform").pvalue > 0.001


def test_l2_start_is_finite_for_noise_at_its_ends():
    start = start_in_ball(torch.tensor([[-1.0, -1.0], [0.0, 0.0], [1.0, -1.0]]), torch.ones(3), "l2")
    assert torch.isfinite(start).all()
    assert (norms(start, "l2") <= 1 + 1e-6).all()


def test_linf_start_is_the_noise_times_the_radius():
    noise = torch.rand(4, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    radii = torch.tensor([0.0, 0.1, 0.2, 3.0])
    assert torch.equal(start_in_ball(noise, radii, "linf"), noise * radii[:, None])


def test_cw_margin_masks_the_label_whatever_the_sign_of_the_logits():
    logits = torch.tensor([[-5.0, -3.0, -4.0], [-5.0, -3.0, -4.0], [5.0, 3.0, 4.0], [-1.0, 2.0, 0.0]])
    margins = cw_margin(logits, torch.tensor([1, 0, 0, 2]))
    assert margins.tolist() == [-1.0, 2.0, -1.0, 2.0]


def test_divergence_is_the_kl_of_torchs_distributions():
    generator = torch.Generator().manual_seed(0)
    logits, clean = torch.randn(8, 5, generator=generator) * 3, torch.randn(8, 5, generator=generator) * 3
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=clean), torch.distributions.Categorical(logits=logits)
    )
    torch.testing.assert_close(divergence(logits, clean), expected)
    assert (divergence(clean, clean).abs() < 1e-6).all()


def test_divergence_has_gradients_through_both_terms():
    logits, clean = torch.randn(2, 5, requires_grad=True), torch.randn(2, 5, requires_grad=True)
    divergence(logits, clean).sum().backward()
    assert logits.grad.abs().sum() > 0
    assert clean.grad.abs().sum() > 0


def test_log_odds_grow_with_the_cross_entropy_and_have_its_gradients_direction():
    logits = torch.randn(20, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    labels = torch.arange(20) % 6
    logits.requires_grad_(True)
    entropy, odds = cross_entropy(logits, labels), log_odds_against(logits, labels)
    probability = torch.exp(-entropy)
    torch.testing.assert_close(odds, torch.log((1 - probability) / probability))
    gradients = [torch.autograd.grad(value.sum(), logits, retain_graph=True)[0] for value in (entropy, odds)]
    torch.testing.assert_close(*[steepest(gradient, "l2") for gradient in gradients])


def test_log_odds_have_a_gradient_where_the_cross_entropy_has_none():
    logits = torch.tensor([[200.0, 0.0, -1.0]], requires_grad=True)
    labels = torch.tensor([0])
    assert torch.autograd.grad(cross_entropy(logits, labels).sum(), logits)[0].abs().sum() == 0
    assert torch.autograd.grad(log_odds_against(logits, labels).sum(), logits)[0][0, 0] == -1

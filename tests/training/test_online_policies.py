"""Policies that find epsilons during training, against linear models whose margins are closed forms."""

import logging
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pumalib.attacks.objectives import cross_entropy
from pumalib.attacks.threat_settings import Norm
from pumalib.training.inner_attack import InnerAttack
from pumalib.training.losses import OnlinePolicy, Perturbed, Step
from pumalib.training.methods import pgd_at, trades
from pumalib.training.online import cat, iaat, online_margin
from pumalib.training.online.settings import CatEpsilon, IaatEpsilon, OnlineMarginEpsilon
from pumalib.training.online.start import Start
from pumalib.training.settings import PgdAtSettings, RecipeSettings, TradesSettings

CAP, BISECTION_STEPS = 0.1, 8
METHODS = [(trades, TradesSettings(beta=5.0)), (pgd_at, PgdAtSettings())]
WEIGHT = torch.tensor([0.5, -1.0, 2.0, 1.5])


def linear() -> nn.Module:
    """Return a model of two classes with logits ``w (x - 1/2)`` and 0."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    model[1].weight.data = torch.stack([WEIGHT, torch.zeros(4)])
    model[1].bias.data = torch.tensor([-0.5 * float(WEIGHT.sum()), 0.0])
    return model


def at_margins(margins: list[float], labels: Tensor) -> Tensor:
    """Return images [B, 1, 2, 2] with these signed L-inf margins: ``|w (x - 1/2)| / ||w||_1``, inside the box."""
    side = torch.where(labels == 0, 1.0, -1.0)
    return (0.5 + (side * torch.tensor(margins))[:, None] * WEIGHT.sign()).reshape(-1, 1, 2, 2)


def a_step(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    policy: OnlinePolicy | None,
    epoch: int = 0,
    positions: Any = None,
    norm: Norm = "linf",
) -> Step:
    return Step(
        model, images, labels, torch.full((len(labels),), CAP), InnerAttack(norm, 10), torch.Generator().manual_seed(0),
        label_smoothing=0.1, online=policy, epoch=epoch,
        positions=np.arange(len(labels)) if positions is None else np.array(positions),
    )  # fmt: skip


def start(count: int, epsilon: float = CAP, draws: int = 1000) -> Start:
    return Start(np.full(count, epsilon, np.float32), 0.08, draws, torch.device("cpu"))


def margin_policy(**changes: Any) -> online_margin.Policy:
    policy = OnlineMarginEpsilon.model_validate({"policy": "online_margin", **changes})
    return online_margin.Policy(policy, start(1))


def perturb(step: Step) -> Perturbed:
    return step.perturb(partial(cross_entropy, labels=step.labels))


@given(
    margins=st.lists(st.floats(-0.25, 0.25, width=32), min_size=1, max_size=8),
    num_steps=st.integers(1, 12),
    data=st.data(),
)
def test_online_epsilon_is_the_bounded_margin_up_to_the_bisection(
    margins: list[float], num_steps: int, data: st.DataObject
) -> None:
    labels = torch.tensor(data.draw(st.lists(st.integers(0, 1), min_size=len(margins), max_size=len(margins))))
    images = at_margins(margins, labels)
    found = perturb(a_step(linear(), images, labels, margin_policy(bisection_steps=num_steps)))
    expected = torch.tensor(margins).clamp(-CAP, CAP)
    assert found.kept is None
    assert (found.epsilons <= expected + 1e-6).all()
    assert (found.epsilons >= expected - 2 * CAP / 2**num_steps - 1e-6).all()
    moved = torch.where(labels == 0, -1.0, 1.0)[:, None] * found.epsilons[:, None] * WEIGHT.sign()
    torch.testing.assert_close(found.images.flatten(1), images.flatten(1) + moved, atol=1e-6, rtol=0)


def test_the_one_attack_can_ascend_the_objective_of_the_method() -> None:
    labels = torch.tensor([0, 0, 1])
    images = at_margins([0.05, 0.05, 0.05], labels)

    def toward_the_label(logits: Tensor) -> Tensor:
        """Ascend the label's lead: the opposite of the cross-entropy, so that the line shows which was followed."""
        return -cross_entropy(logits, labels)

    found = {
        attack: a_step(linear(), images, labels, margin_policy(attack=attack)).perturb(toward_the_label)
        for attack in ("cross_entropy", "objective")
    }
    assert found["cross_entropy"].epsilons.tolist() == pytest.approx([0.05] * 3, abs=2 * CAP / 2**8)
    assert found["objective"].epsilons.tolist() == pytest.approx([CAP] * 3)  # right all along
    away = torch.where(labels == 0, -1.0, 1.0)[:, None] * WEIGHT.sign()
    for name, sign in (("cross_entropy", 1.0), ("objective", -1.0)):
        moved = (found[name].images - images).flatten(1)
        torch.testing.assert_close(moved, sign * found[name].epsilons[:, None] * away, atol=1e-6, rtol=0)


def test_rows_with_negative_margins_train_at_an_easier_point() -> None:
    labels = torch.tensor([0, 1])
    step = a_step(linear(), at_margins([-0.05, -0.2], labels), labels, margin_policy())
    found = perturb(step)
    assert found.epsilons.tolist() == pytest.approx([-0.05, -CAP], abs=2 * CAP / 2**8)
    before, after = (cross_entropy(step.model(images), labels) for images in (step.images, found.images))
    assert (after < before).all()


@pytest.mark.parametrize("prune_above", [0.05, CAP, 0.21])
def test_pruning_drops_the_rows_with_larger_margins_and_no_other(prune_above: float) -> None:
    margins = [-0.2, -0.01, 0.04, 0.06, 0.09, 0.11, 0.2, 0.22]
    labels = torch.arange(8) % 2
    found = perturb(a_step(linear(), at_margins(margins, labels), labels, margin_policy(prune_above=prune_above)))
    assert found.kept is not None
    assert found.kept.tolist() == [margin < prune_above for margin in margins]


def test_nothing_is_dropped_during_the_warm_up() -> None:
    labels = torch.tensor([0, 1])
    policy = margin_policy(prune_above=0.01, warmup_epochs=2)
    kept = [perturb(a_step(linear(), at_margins([0.2, 0.2], labels), labels, policy, epoch)).kept for epoch in range(3)]
    assert kept[:2] == [None, None]
    assert kept[2] is not None
    assert not kept[2].any()


@settings(max_examples=40)
@given(seed=st.integers(0, 1000), norm=st.sampled_from(["linf", "l2"]), num_steps=st.integers(1, 8))
def test_points_stay_within_their_epsilon_and_in_the_valid_range(seed: int, norm: Norm, num_steps: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).train()
    images, labels = torch.rand(6, 1, 2, 2).mul(1.4).sub(0.2).clamp(0, 1), torch.randint(3, (6,))
    before = [buffer.clone() for buffer in model.buffers()]
    policy = margin_policy(bisection_steps=num_steps, prune_above=0.2)
    found = perturb(a_step(model, images, labels, policy, norm=norm))
    moved = (found.images - images).flatten(1)
    length = moved.abs().amax(1) if norm == "linf" else moved.norm(dim=1)
    assert (length <= found.epsilons.abs() + 1e-6).all()
    assert (found.epsilons.abs() <= CAP + 1e-6).all()
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert not found.images.requires_grad
    assert all(torch.equal(was, buffer) for was, buffer in zip(before, model.buffers(), strict=True))


@pytest.mark.parametrize(("method", "recipe"), METHODS)
def test_dropped_rows_leave_every_term_of_the_loss_and_its_gradient(method: Any, recipe: RecipeSettings) -> None:
    """The dropped rows stand last, so that the random starts of the others are the same without them."""
    labels = torch.tensor([1, 0, 1, 0, 1])
    images = at_margins([0.02, -0.03, 0.04, 0.2, 0.3], labels)
    results = []
    for count, policy in ((5, margin_policy(prune_above=0.1)), (3, margin_policy())):
        model = linear()
        loss = method.batch_loss(a_step(model, images[:count], labels[:count], policy), recipe)
        loss.total.backward()
        results.append([loss.total, loss.natural, loss.robust, *(parameter.grad for parameter in model.parameters())])
    for with_dropped, without in zip(*results, strict=True):
        torch.testing.assert_close(with_dropped, without, equal_nan=True)


@pytest.mark.parametrize(("method", "recipe"), METHODS)
def test_a_batch_without_a_kept_row_has_a_loss_of_zero(method: Any, recipe: RecipeSettings) -> None:
    labels = torch.tensor([0, 1])
    step = a_step(linear(), at_margins([0.3, 0.2], labels), labels, margin_policy(prune_above=0.1))
    loss = method.batch_loss(step, recipe)
    assert loss.total.item() == 0
    assert not loss.kept.any()


def iaat_policy(count: int, draws: int = 1000, **changes: Any) -> iaat.Policy:
    policy = IaatEpsilon.model_validate({"policy": "iaat", "warmup_epochs": 0, **changes})
    return iaat.Policy(policy, start(count, draws=draws))


def moved_by_hand(epsilon: float, margin: float, step: float, smoothing: float, cap: float = 1.0) -> float:
    """Follow the rule of Balaji et al. with the closed-form margin in the place of attacks."""
    higher = min(epsilon + step, cap)
    if margin <= 0:
        candidate = 0.0
    elif margin > higher:
        candidate = higher
    else:
        candidate = epsilon if margin > epsilon else max(epsilon - step, 0.0)
    return (1 - smoothing) * epsilon + smoothing * candidate


@pytest.mark.parametrize(
    "options", [{}, {"smoothing": 1.0, "step": 0.03, "cap": 0.12}, {"smoothing": 0.5, "step": 0.3}]
)
def test_iaat_moves_epsilons_as_by_hand_visit_after_visit(options: dict[str, float]) -> None:
    margins, labels = [0.3, 0.11, 0.101, 0.09, 0.01, -0.02, 0.149], torch.tensor([0, 1, 0, 1, 1, 0, 1])
    policy, model = iaat_policy(7, **options), linear()
    step, smoothing, cap = options.get("step", 0.08 * 1.9 / 8), options.get("smoothing", 0.1), options.get("cap", 1.0)
    expected = [CAP] * 7
    for epoch in range(4):
        found = perturb(a_step(model, at_margins(margins, labels), labels, policy, epoch))
        pairs = zip(expected, margins, strict=True)
        expected = [moved_by_hand(epsilon, margin, step, smoothing, cap) for epsilon, margin in pairs]
        assert found.epsilons.tolist() == pytest.approx(expected, abs=1e-6)
        assert policy.epsilons.tolist() == pytest.approx(expected, abs=1e-6)
        length = (found.images - at_margins(margins, labels)).flatten(1).abs().amax(1)
        torch.testing.assert_close(length, torch.minimum(found.epsilons, length.new_tensor(1.0)), atol=1e-6, rtol=0)


def test_iaat_keeps_epsilons_constant_during_the_warm_up() -> None:
    labels = torch.tensor([0, 1])
    policy = iaat_policy(2, warmup_epochs=2)
    for epoch in (0, 1, 2):
        assert policy.epsilons.tolist() == pytest.approx([CAP, CAP])
        perturb(a_step(linear(), at_margins([0.3, 0.02], labels), labels, policy, epoch))
    assert policy.epsilons[0] > CAP > policy.epsilons[1]


def test_iaat_remembers_rows_by_their_place_and_moves_a_repeated_row_once() -> None:
    labels = torch.tensor([0, 1, 0])
    policy = iaat_policy(5, smoothing=1.0, step=0.05)
    found = perturb(a_step(linear(), at_margins([0.3, 0.02, 0.3], labels), labels, policy, positions=[4, 1, 4]))
    assert policy.epsilons.tolist() == pytest.approx([CAP, 0.05, CAP, CAP, 0.15])
    assert found.epsilons.tolist() == pytest.approx([0.15, 0.05, 0.15])


def test_iaat_goes_on_from_epsilons_that_are_put_back() -> None:
    margins, labels = [0.3, 0.02], torch.tensor([0, 1])
    step = partial(a_step, linear(), at_margins(margins, labels), labels)
    whole, resumed = iaat_policy(2), iaat_policy(2)
    perturb(step(whole))
    resumed.epsilons = whole.epsilons.clone()
    assert torch.equal(perturb(step(whole)).images, perturb(step(resumed)).images)
    assert torch.equal(whole.epsilons, resumed.epsilons)


@pytest.mark.parametrize(("draws", "warns"), [(4, True), (5, False), (100, False)])
def test_iaat_warns_where_rows_are_rarely_drawn(caplog: pytest.LogCaptureFixture, draws: int, warns: bool) -> None:
    with caplog.at_level(logging.WARNING):
        iaat_policy(10, draws=draws)
    assert ("draws each row 0.4 times an epoch" in caplog.text) == warns


def cat_policy(count: int, draws: int = 1000, **changes: Any) -> cat.Policy:
    return cat.Policy(CatEpsilon.model_validate({"policy": "cat", **changes}), start(count, draws=draws))


CAT_MARGINS = [0.3, 0.065, 0.045, 0.03, -0.02]
CAT_LABELS = torch.tensor([0, 1, 0, 1, 1])


@pytest.mark.parametrize("attack", ["cross_entropy", "cw"])
def test_cat_lets_an_epsilon_grow_while_the_row_withstands_the_attack_one_step_further(attack: str) -> None:
    policy, model = cat_policy(5, step=0.04, attack=attack), linear()
    images = at_margins(CAT_MARGINS, CAT_LABELS)
    tried = [[0.04] * 5, [0.08, 0.08, 0.08, 0.04, 0.04], [0.1, 0.08, 0.08, 0.04, 0.04], [0.1, 0.08, 0.08, 0.04, 0.04]]
    kept = [[0.04, 0.04, 0.04, 0, 0], [0.08, 0.04, 0.04, 0, 0], [0.1, 0.04, 0.04, 0, 0], [0.1, 0.04, 0.04, 0, 0]]
    for expected_tried, expected_kept in zip(tried, kept, strict=True):
        found = perturb(a_step(model, images, CAT_LABELS, policy))
        assert found.kept is None
        assert found.epsilons.tolist() == pytest.approx(expected_tried)
        assert policy.epsilons.tolist() == pytest.approx(expected_kept)
        length = (found.images - images).flatten(1).abs().amax(1)  # of a linear model the attack fills the ball
        torch.testing.assert_close(length, found.epsilons, atol=1e-6, rtol=0)


def test_cat_takes_the_step_of_the_paper_in_proportion_to_the_threat() -> None:
    policy = cat_policy(1)
    perturb(a_step(linear(), at_margins([0.3], torch.tensor([0])), torch.tensor([0]), policy))
    assert policy.epsilons.tolist() == pytest.approx([0.08 * 0.005 / (8 / 255)])  # the threat of these tests is 0.08


def test_cat_softens_a_label_in_proportion_to_its_epsilon() -> None:
    policy = cat_policy(5, step=0.04, softening=0.5, toward="uniform")
    found = perturb(a_step(linear(), at_margins(CAT_MARGINS, CAT_LABELS), CAT_LABELS, policy))
    shares = [0.5 * epsilon / CAP for epsilon in (0.04, 0.04, 0.04, 0.0, 0.0)]
    assert found.targets is not None
    for row, (share, label) in enumerate(zip(shares, CAT_LABELS.tolist(), strict=True)):
        expected = [share / 2, share / 2]
        expected[label] += 1 - share
        assert found.targets[row].tolist() == pytest.approx(expected)


def test_labels_that_cat_softens_by_dirichlet_are_spread_as_that_distribution() -> None:
    count = 4000
    labels = torch.zeros(count, dtype=torch.int64)
    policy = cat_policy(count, step=CAP, softening=1.0)
    found = perturb(a_step(linear(), at_margins([0.3] * count, labels), labels, policy))
    assert found.targets is not None
    torch.testing.assert_close(found.targets.sum(1), torch.ones(count))
    # Of two classes Dirichlet(1, 1) is uniform: mean 1/2 and variance 1/12; five standard errors.
    assert found.targets[:, 0].mean().item() == pytest.approx(0.5, abs=5 * (1 / 12 / count) ** 0.5)
    assert found.targets[:, 0].var().item() == pytest.approx(1 / 12, abs=5 * (1 / 180 / count) ** 0.5)


def test_training_by_cat_minimises_the_cross_entropy_toward_softened_labels() -> None:
    step = partial(a_step, linear(), at_margins(CAT_MARGINS, CAT_LABELS), CAT_LABELS)
    options = {"step": 0.04, "softening": 0.5, "toward": "uniform"}
    found = perturb(step(cat_policy(5, **options)))
    logits = (found.images.flatten(1) @ WEIGHT - 0.5 * WEIGHT.sum()).detach().numpy()
    clean = (at_margins(CAT_MARGINS, CAT_LABELS).flatten(1) @ WEIGHT - 0.5 * WEIGHT.sum()).numpy()
    assert found.targets is not None
    first = found.targets[:, 0].numpy()

    def by_hand(lead: Any) -> float:
        """Cross-entropy of two classes whose logits are the lead and 0."""
        return float(np.mean(first * np.log1p(np.exp(-lead)) + (1 - first) * np.log1p(np.exp(lead))))

    at = pgd_at.batch_loss(step(cat_policy(5, **options)), PgdAtSettings())
    assert at.total.item() == pytest.approx(by_hand(logits), rel=1e-5)
    natural = trades.batch_loss(step(cat_policy(5, **options)), TradesSettings(beta=5.0)).natural
    assert natural.item() == pytest.approx(by_hand(clean), rel=1e-5)


def test_cat_remembers_rows_by_their_place_and_goes_on_from_what_it_remembered() -> None:
    labels = torch.tensor([0, 1, 0])
    images = at_margins([0.3, 0.02, 0.3], labels)
    policy = cat_policy(5, step=0.04)
    perturb(a_step(linear(), images, labels, policy, positions=[4, 1, 4]))
    assert policy.epsilons.tolist() == pytest.approx([0, 0, 0, 0, 0.04])
    resumed = cat_policy(5, step=0.04)
    resumed.load_state_dict(policy.state_dict())
    found = perturb(a_step(linear(), images, labels, resumed, positions=[4, 1, 4]))
    assert found.epsilons.tolist() == pytest.approx([0.08, 0.04, 0.08])


def test_cat_warns_where_rows_are_rarely_drawn(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        cat_policy(10, draws=4)
    assert "policy cat draws each row 0.4 times an epoch" in caplog.text

"""The Square attack against what is known: closed forms, random noise, and models that hide their gradient."""

import numpy as np
import pytest
import torch
from linear_truth import BOX, closed_form_margins, exact_margins, linear_model, predictions, random_images
from torch import nn

from pumalib.attacks.settings import CwPgdSettings, MinimumNormSettings, PgdSettings, SquareSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.evaluation.evaluate import evaluate

SQUARE = SquareSettings(method="square", queries=300)


class Recorder(nn.Module):
    """A model that keeps what it was asked, and refuses to be differentiated."""

    def __init__(self, model):
        super().__init__()
        self.model, self.asked = model, []

    def forward(self, images):
        assert not images.requires_grad
        self.asked.append(images.clone())
        return self.model(images)


class Stairs(nn.Module):
    """A model of images rounded to a grid: it predicts much as before, and its gradient is 0 everywhere."""

    def __init__(self, model, num_steps=32):
        super().__init__()
        self.model, self.num_steps = model, num_steps

    def forward(self, images):
        return self.model((images * self.num_steps).round() / self.num_steps)


@pytest.fixture(scope="module")
def seen(digits, digits_net):
    """Return two hundred digits that the net was not trained on, all of them predicted rightly."""
    images, labels = digits[0][1000:1300], digits[1][1000:1300]
    right = predictions(digits_net, images) == labels
    return images[right][:200], labels[right][:200]


@pytest.mark.parametrize("clip", [None, BOX])
def test_binary_linear_images_are_fooled_exactly_where_the_margin_is_below_epsilon(clip):
    model = linear_model(num_classes=2)
    images = random_images(200)
    labels = predictions(model, images)
    margins = exact_margins(model, images, labels, "linf", clip)
    epsilon = float(np.median(margins))
    is_clear = np.abs(margins / epsilon - 1) > 0.002
    assert is_clear.mean() > 0.97
    attack = SquareSettings(method="square", queries=1500)
    table = evaluate(model, images, labels, attack, threat=ThreatSettings(epsilon=epsilon), clip=clip)
    assert (table.success == (margins < epsilon))[is_clear].all()


def test_ten_class_linear_images_are_fooled_only_where_the_margin_is_below_epsilon_and_mostly_there():
    model = linear_model(scale=5.0)
    images = random_images(200)
    labels = predictions(model, images)
    margins = closed_form_margins(model, images, labels, "linf")
    epsilon = float(np.median(margins))
    table = evaluate(model, images, labels, SQUARE, threat=ThreatSettings(epsilon=epsilon), clip=None)
    assert not table.success[margins > epsilon * 1.002].any()
    assert table.success[margins < epsilon * 0.998].mean() > 0.9


@pytest.mark.parametrize("epsilon", [0.03, 0.3])
@pytest.mark.parametrize("shape", [(3, 6, 6), (1, 5, 9), (7, 4), (31,)])
def test_every_query_lies_at_ends_of_the_ball_and_no_image_asks_more_than_its_budget(shape, epsilon):
    size = int(np.prod(shape))
    torch.manual_seed(0)
    recorder = Recorder(nn.Sequential(nn.Flatten(), nn.Linear(size, 4))).eval()
    images = torch.rand(1, *shape)
    labels = predictions(recorder, images)
    recorder.asked.clear()
    evaluate(recorder, images, labels, SQUARE, threat=ThreatSettings(epsilon=epsilon))
    queries = torch.cat(recorder.asked[3:])  # after two looks at the model and the clean prediction
    assert 1 <= len(queries) <= SQUARE.queries
    ends = torch.stack([(images - epsilon).clamp(0, 1), (images + epsilon).clamp(0, 1)])
    assert ((queries == ends[0]) | (queries == ends[1])).all()


def test_an_unfooled_image_uses_its_whole_budget_and_a_fooled_one_leaves(digits_net, seen):
    images, labels = seen
    recorder = Recorder(digits_net).eval()
    table = evaluate(recorder, images, labels, SQUARE, threat=ThreatSettings(epsilon=0.1))
    sizes = [len(asked) for asked in recorder.asked[3:]]
    assert len(sizes) == SQUARE.queries
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == len(images)
    assert (~table.success).sum() <= sizes[-1] < sizes[0]


def test_squares_reach_every_pixel_and_shrink_to_one(digits):
    recorder = Recorder(nn.Sequential(nn.Flatten(), nn.Linear(64, 2))).eval()
    nn.init.zeros_(recorder.model[1].weight)  # nothing is ever kept: each query differs from the stripes by its square
    recorder.model[1].bias.data = torch.tensor([5.0, 0.0])
    attack = SquareSettings(method="square", queries=2000)
    evaluate(recorder, digits[0][:1], [0], attack, threat=ThreatSettings(epsilon=0.1), clip=None)
    stripes, *queries = recorder.asked[3:]
    changed = (torch.cat(queries) != stripes).sum((1, 2, 3))
    assert ((torch.cat(queries) != stripes).any(0)).all()
    assert changed.min() >= 1
    assert (changed[-1000:] == 1).all()
    assert changed[:2].float().mean() > 10
    assert ((stripes - digits[0][:1]).sign() == (stripes - digits[0][:1]).sign()[:, :, :1]).all()


def test_result_depends_on_the_seed_and_the_row_and_not_on_batch_size_or_neighbours(digits_net, seen):
    images, labels = seen
    threat = ThreatSettings(epsilon=0.1)

    def attacked(count=200, size=500, seed=1):
        attack = SQUARE.model_copy(update={"batch_size": size})
        return evaluate(digits_net, images[:count], labels[:count], attack, threat=threat, seed=seed)

    whole = attacked()
    assert 0.2 < whole.success.mean() < 0.9
    for other in (attacked(size=64), attacked(count=90)):
        same = slice(0, len(other.label))
        np.testing.assert_array_equal(other.adversarial_prediction, whole.adversarial_prediction[same])
        np.testing.assert_array_equal(other.perturbation_norm, whole.perturbation_norm[same])
    assert (attacked(seed=2).adversarial_prediction != whole.adversarial_prediction).any()


def test_it_fools_far_more_than_as_many_random_corners_of_the_ball_and_no_more_than_the_strongest_attack(
    digits_net, seen
):
    images, labels = seen
    epsilon = 0.1
    threat = ThreatSettings(epsilon=epsilon)
    generator = torch.Generator().manual_seed(0)
    by_noise = torch.zeros(len(images), dtype=torch.bool)
    for _ in range(SQUARE.queries):
        signs = torch.randint(0, 2, images.shape, generator=generator) * 2 - 1
        by_noise |= predictions(digits_net, (images + epsilon * signs).clamp(0, 1)) != labels
    square = evaluate(digits_net, images, labels, SQUARE, threat=threat).success
    cw = evaluate(digits_net, images, labels, CwPgdSettings(method="cw_pgd", restarts=3), threat=threat).success
    assert square.mean() > by_noise.numpy().mean() + 0.1
    assert square[by_noise.numpy()].mean() > 0.95
    assert square.mean() <= cw.mean() + 0.02


def test_more_queries_and_a_larger_ball_fool_more(digits_net, seen):
    images, labels = seen

    def share(queries, epsilon):
        attack = SquareSettings(method="square", queries=queries)
        return evaluate(digits_net, images, labels, attack, threat=ThreatSettings(epsilon=epsilon)).success.mean()

    assert share(1, 0.1) < share(20, 0.1) < share(300, 0.1)
    assert share(300, 0.05) < share(300, 0.1) < share(300, 0.2)


def test_it_sees_through_a_masked_gradient_that_hides_everything_from_the_other_attacks(digits_net, seen):
    images, labels = seen
    threat = ThreatSettings(epsilon=0.1)
    masked = Stairs(digits_net).eval()
    blind = (PgdSettings(method="pgd", random_start=False), MinimumNormSettings(method="minimum_norm"))
    for attack in blind:
        assert evaluate(masked, images, labels, attack, threat=threat).robust_accuracy > 0.97
    through = evaluate(masked, images, labels, SQUARE, threat=threat).robust_accuracy
    bare = evaluate(digits_net, images, labels, SQUARE, threat=threat).robust_accuracy
    assert through == pytest.approx(bare, abs=0.1)
    assert through < 0.8


def test_another_norm_is_refused():
    model = linear_model(num_classes=2)
    images = random_images(3)
    with pytest.raises(ValueError, match="expected norm linf for the Square attack, got l2"):
        evaluate(model, images, predictions(model, images), SQUARE, threat=ThreatSettings(norm="l2", epsilon=1))

"""AutoAttack, for real where its optional package is installed; `make test-autoattack` installs it first."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from pumalib.attacks import autoattack
from pumalib.attacks.batch import Ball, Batch
from pumalib.attacks.projection import norms
from pumalib.attacks.settings import AutoattackSettings, CwPgdSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ConfigError, DataError
from pumalib.evaluation.evaluate import evaluate
from tests.attacks.linear_truth import closed_form_margins, linear_model, predictions, random_images

ATTACK = AutoattackSettings(method="autoattack")
NUM_IMAGES = 60


@pytest.fixture
def _package():
    pytest.importorskip("pyautoattack", reason="the extra autoattack is not installed; see make test-autoattack")


@pytest.fixture
def some(digits):
    return digits[0][1000 : 1000 + NUM_IMAGES], digits[1][1000 : 1000 + NUM_IMAGES]


def rightly_classified(model, images, labels):
    with torch.no_grad():
        rows = torch.nonzero(model(images).argmax(1) == labels).squeeze(1)
    return Batch(images[rows], labels[rows], rows.numpy(), seed=0)


@pytest.mark.usefixtures("_package")
@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.05), ("l2", 0.3)])
def test_points_fool_and_stay_in_the_ball_and_the_box_and_fool_as_many_as_pgd(digits_net, some, norm, epsilon):
    threat = ThreatSettings(norm=norm, epsilon=epsilon)
    batch, ball = rightly_classified(digits_net, *some), Ball(norm, epsilon)
    before = torch.random.get_rng_state()
    found = autoattack.attack(digits_net, batch, ball, ATTACK)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert float(found.images.min()) >= 0
    assert float(found.images.max()) <= 1
    lengths = norms(found.images - batch.images, norm)
    assert float(lengths.max()) <= epsilon * (1 + 1e-5)
    is_fooled = found.prediction != batch.labels
    with torch.no_grad():
        assert (digits_net(found.images).argmax(1) == found.prediction).float().mean() > 0.98
    assert (lengths[is_fooled] > 0).all()
    assert not lengths[~is_fooled].any()

    table = evaluate(digits_net, *some, ATTACK, threat=threat)
    assert table.success.sum() == is_fooled.sum()
    cw = evaluate(digits_net, *some, CwPgdSettings(method="cw_pgd", restarts=2), threat=threat)
    assert 0.1 < cw.robust_accuracy < 0.9
    assert table.robust_accuracy <= cw.robust_accuracy + 1 / NUM_IMAGES


def linear(num_inputs, num_classes):
    torch.manual_seed(num_classes)
    return nn.Sequential(nn.Flatten(), nn.Linear(num_inputs, num_classes)).eval()


def attacked(model, images, threat, clip=(0.0, 1.0)):
    with torch.no_grad():
        labels = model(images).argmax(1)
    return evaluate(model, images, labels, ATTACK, threat=threat, clip=clip)


@pytest.mark.usefixtures("_package")
def test_it_aims_at_the_classes_there_are(digits):
    table = attacked(linear(64, 4), digits[0][:20], ThreatSettings(epsilon=0.05))
    assert 0 < table.robust_accuracy < 0.9


@pytest.mark.usefixtures("_package")
@pytest.mark.parametrize(
    ("num_classes", "norm", "scale"),  # at 1e4 the gradient of the cross-entropy is 0 in float32
    [
        (2, "linf", 1.0),
        (2, "linf", 1e4),
        (2, "l2", 1.0),
        (3, "linf", 1.0),
        (3, "linf", 1e4),
        (3, "l2", 1.0),
        (7, "linf", 1.0),
    ],
)
def test_with_few_classes_it_fools_a_linear_network_just_where_the_margin_is_below_epsilon(
    num_classes, norm, scale, caplog
):
    plain = linear_model(36, num_classes, seed=num_classes, scale=scale)
    vectors = random_images(16, 36, low=0.3, high=0.7)
    labels = predictions(plain, vectors)
    margins = closed_form_margins(plain, vectors, labels, norm)
    epsilon = float(np.median(margins))
    assert margins.max() > 1.2 * epsilon < 0.36  # so that the box [0, 1] stops nothing
    model, images = nn.Sequential(nn.Flatten(), plain).eval(), vectors.reshape(-1, 1, 6, 6)
    table = evaluate(model, images, labels, ATTACK, threat=ThreatSettings(norm=norm, epsilon=epsilon))
    is_clear = abs(margins - epsilon) > 0.01 * epsilon
    assert is_clear.sum() >= 13
    np.testing.assert_array_equal(table.success[is_clear], (margins < epsilon)[is_clear])
    assert "possible" not in caplog.text


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_loss_in_place_of_the_targeted_dlr_loss_is_enough_where_the_cross_entropy_has_no_gradient(num_classes):
    package = pytest.importorskip("pyautoattack", reason="the extra autoattack is not installed")
    plain = linear_model(36, num_classes, scale=1e4)
    vectors = random_images(40, 36, low=0.3, high=0.7)
    labels = predictions(plain, vectors)
    margins = closed_form_margins(plain, vectors, labels, "linf")
    epsilon = float(np.median(margins))
    model, images = nn.Sequential(nn.Flatten(), plain).eval(), vectors.reshape(-1, 1, 6, 6)
    fooled = {}
    for attack in ("apgd-ce", "apgd-t"):
        with torch.random.fork_rng(devices=[]):
            runner = package.AutoAttack(model, norm="Linf", eps=epsilon, seed=0)
            autoattack._fit(runner, num_classes)
            runner.attacks_to_run = [attack]
            fooled[attack] = (runner.run_standard_evaluation(images, labels, batch_size=40)[1] != labels).numpy()
    is_clear = abs(margins - epsilon) > 0.01 * epsilon
    np.testing.assert_array_equal(fooled["apgd-t"][is_clear], (margins < epsilon)[is_clear])
    assert fooled["apgd-ce"].sum() < fooled["apgd-t"].sum()


def test_only_the_authors_version_is_called_standard():
    names = {count: autoattack.variant(count) for count in (2, 3, 4, 9, 10, 1000)}
    assert names == {
        2: "for few classes: APGD-CE, targeted APGD on the margin, targeted FAB, Square, with 1 target",
        3: "for few classes: APGD-CE, APGD-DLR, targeted APGD on the margin, targeted FAB, Square, with 2 targets",
        4: "standard attacks with 3 targets",
        9: "standard attacks with 8 targets",
        10: "standard",
        1000: "standard",
    }


@pytest.mark.usefixtures("_package")
@pytest.mark.parametrize(
    ("num_classes", "shape", "norm", "clip", "sentence"),
    [
        (4, (64,), "linf", (0.0, 1.0), r"images \[B, C, H, W\] for AutoAttack, got \[5, 64\]"),
        (4, (1, 4, 8), "l2", (0.0, 1.0), r"at least 5 x 5, for AutoAttack, got \[5, 1, 4, 8\]"),
        (4, (1, 8, 8), "linf", None, r"images in \[0, 1\] for AutoAttack, got the range None"),
    ],
)
def test_what_it_cannot_attack_is_refused(num_classes, shape, norm, clip, sentence):
    images = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0))
    model = linear(images[0].numel(), num_classes)
    with pytest.raises(DataError, match=f"expected .*{sentence}"):
        attacked(model, images, ThreatSettings(norm=norm, epsilon=0.1), clip)


def test_without_the_package_the_error_names_the_command_that_installs_it(digits_net, some, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    sentence = (
        r'expected the package pyautoattack for method autoattack, found none, .*; pip install "pumalib\[autoattack\]"'
    )
    with pytest.raises(ConfigError, match=sentence):
        evaluate(digits_net, *some, ATTACK, threat=ThreatSettings(epsilon=0.1))

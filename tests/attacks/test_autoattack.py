"""AutoAttack, for real where its optional package is installed; `make test-autoattack` installs it first."""

import sys

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
    ("num_classes", "shape", "norm", "clip", "sentence"),
    [
        (3, (1, 8, 8), "linf", (0.0, 1.0), "4 classes or more for AutoAttack, .* got 3; give cw_pgd and square"),
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

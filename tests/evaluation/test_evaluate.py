"""Evaluations: exact sample means, honest attacks, and refusal of what would be mismeasured."""

import numpy as np
import pytest
import torch
from torch import nn

from pumalib.attacks.settings import CleanSettings, CwPgdSettings, PgdSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import DataError
from pumalib.evaluation.evaluate import evaluate

THREAT = ThreatSettings(epsilon=0.1)
ATTACKS = {"cw_pgd": CwPgdSettings, "pgd": PgdSettings}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


class OnePixel(nn.Module):
    """Two classes over one pixel: class 1 inside the bands; the gradient always points up."""

    def __init__(self, *bands):
        super().__init__()
        self.bands = bands

    def forward(self, images):
        pixel = images.flatten(1)[:, 0]
        inside = sum(((pixel > low) & (pixel < high)).float() for low, high in self.bands)
        slope = pixel - pixel.detach()
        return torch.stack([-slope, 2 * inside - 1 + slope], 1)


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    return model.eval()


@pytest.fixture(scope="module")
def images(net):
    return torch.rand(101, 1, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def labels(net, images):
    """Return the net's predictions, the last one in five changed."""
    with torch.no_grad():
        found = net(images).argmax(1)
    found[80:] = (found[80:] + 1) % 4
    return found


def at(*pixels):
    return torch.tensor(pixels)[:, None, None, None]


def without_start(method="cw_pgd", **options):
    return ATTACKS[method](method=method, random_start=False, **options)


@pytest.mark.parametrize("method", ATTACKS)
def test_an_image_wrong_at_an_earlier_iterate_is_not_robust_though_the_last_one_is_right(method):
    attack = without_start(method, steps=5, step_size=0.02)
    table = evaluate(OnePixel((0.53, 0.55)).eval(), at(0.5), [0], attack, threat=THREAT)
    assert table.robust_accuracy == 0.0
    assert table.adversarial_prediction.tolist() == [1]
    assert table.perturbation_norm[0] == pytest.approx(0.04, abs=1e-6)


@pytest.mark.parametrize(("steps", "robust_accuracy"), [(4, 1.0), (5, 0.0)])
def test_the_last_iterate_counts_and_no_further_one(steps, robust_accuracy):
    attack = without_start(steps=steps, step_size=0.02)
    table = evaluate(OnePixel((0.59, 1.0)).eval(), at(0.5), [0], attack, threat=THREAT)
    assert table.robust_accuracy == robust_accuracy


def test_the_attack_stays_inside_the_ball_it_was_given():
    attack = without_start(steps=20, step_size=0.05)
    table = evaluate(OnePixel((0.601, 1.0)).eval(), at(0.5), [0], attack, threat=THREAT)
    assert table.robust_accuracy == 1.0
    assert table.perturbation_norm[0] == pytest.approx(0.1, abs=1e-6)
    wider = without_start(steps=20, epsilon=0.11)
    assert evaluate(OnePixel((0.601, 1.0)).eval(), at(0.5), [0], wider, threat=THREAT).robust_accuracy == 0.0


def test_a_step_is_a_quarter_of_epsilon_unless_said():
    table = evaluate(OnePixel((0.524, 0.526)).eval(), at(0.5), [0], without_start(steps=1), threat=THREAT)
    assert table.robust_accuracy == 0.0


def test_images_wrong_when_clean_are_not_attacked_and_stay_wrong():
    model = OnePixel((0.3, 0.7)).eval()
    table = evaluate(model, at(0.5, 0.5, 0.1), [0, 1, 0], without_start(steps=10), threat=THREAT)
    assert table.clean_prediction.tolist() == [1, 1, 0]
    assert table.adversarial_prediction.tolist() == [1, 1, 0]
    assert table.perturbation_norm[0] == 0.0
    assert table.success.tolist() == [False, False, False]
    assert table.clean_accuracy == table.robust_accuracy == pytest.approx(2 / 3)


def test_accuracies_are_sample_means_for_uneven_batches(net, images, labels):
    for size in (1, 7, 100, 101, 500):
        table = evaluate(net, images, labels, CwPgdSettings(method="cw_pgd", steps=5, batch_size=size), threat=THREAT)
        assert table.clean_accuracy == 80 / 101
        assert table.robust_accuracy == np.mean(table.adversarial_prediction == labels.numpy())
        assert table.robust_accuracy == pytest.approx(80 / 101 - table.success.mean())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("method", ATTACKS)
def test_the_result_does_not_depend_on_batch_size(net, images, labels, method, norm):
    threat = ThreatSettings(norm=norm, epsilon=0.1 if norm == "linf" else 0.4)
    tables = [
        evaluate(
            net, images, labels, ATTACKS[method](method=method, steps=10, restarts=2, batch_size=size), threat=threat
        )
        for size in (500, 13)
    ]
    assert 0.1 < tables[0].success.mean() < 0.75
    np.testing.assert_array_equal(tables[0].adversarial_prediction, tables[1].adversarial_prediction)
    np.testing.assert_allclose(tables[0].perturbation_norm, tables[1].perturbation_norm, rtol=1e-3, atol=1e-6)


def test_the_random_start_depends_on_the_seed_and_on_the_row_alone(net, images, labels):
    attack = CwPgdSettings(method="cw_pgd", steps=1, step_size=1e-6)  # stays at its start
    wide = ThreatSettings(epsilon=0.01)
    first = evaluate(net, images, labels, attack, threat=wide, seed=1).perturbation_norm
    np.testing.assert_array_equal(evaluate(net, images, labels, attack, threat=wide, seed=1).perturbation_norm, first)
    other = evaluate(net, images, labels, attack, threat=wide, seed=2).perturbation_norm
    assert (other != first)[:80].mean() > 0.9
    fewer = evaluate(net, images[:30], labels[:30], attack, threat=wide, seed=1).perturbation_norm
    np.testing.assert_allclose(fewer, first[:30], rtol=1e-4)


def test_restarts_only_ever_lower_robust_accuracy(net, images, labels):
    robust = [
        evaluate(
            net, images, labels, PgdSettings(method="pgd", steps=2, step_size=0.01, restarts=restarts), threat=THREAT
        ).adversarial_prediction
        == labels.numpy()
        for restarts in (1, 2, 8)
    ]
    assert (robust[1] <= robust[0]).all()
    assert (robust[2] <= robust[1]).all()
    assert robust[2].sum() < robust[0].sum()


@pytest.mark.parametrize("clip", [(0.0, 1.0), None])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_perturbations_never_exceed_epsilon(net, images, labels, norm, clip):
    for epsilon in (0.001, 0.1, 0.7):
        attack = CwPgdSettings(method="cw_pgd", steps=10, step_size=epsilon)
        threat = ThreatSettings(norm=norm, epsilon=epsilon)
        table = evaluate(net, images, labels, attack, threat=threat, clip=clip)
        assert table.perturbation_norm.max() <= epsilon * (1 + 1e-5) + 1e-6
        assert table.perturbation_norm[:80].min() > 0
        assert not table.perturbation_norm[80:].any()  # wrong when clean


def test_a_larger_epsilon_lowers_robust_accuracy(net, images, labels):
    robust = [
        evaluate(net, images, labels, threat=ThreatSettings(epsilon=epsilon)).robust_accuracy
        for epsilon in (0.01, 0.05, 0.2)
    ]
    assert robust[0] > robust[1] > robust[2]


def test_the_clean_attack_changes_nothing(net, images, labels):
    table = evaluate(net, images, labels, CleanSettings(method="clean"), threat=THREAT)
    np.testing.assert_array_equal(table.adversarial_prediction, table.clean_prediction)
    assert table.clean_accuracy == table.robust_accuracy == 80 / 101
    assert not table.perturbation_norm.any()
    assert not table.success.any()


def test_the_model_and_the_images_are_left_as_they_were(net, images, labels):
    pixels, before = images.clone(), {name: value.clone() for name, value in net.state_dict().items()}
    net[1].weight.requires_grad_(False)
    try:
        with torch.no_grad():
            evaluate(net, pixels, labels, threat=THREAT)
        flags = [parameter.requires_grad for parameter in net.parameters()]
        assert flags == [False, True, True, True]
    finally:
        net[1].weight.requires_grad_(True)
    assert torch.equal(pixels, images)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not net.training
    torch.testing.assert_close(dict(net.state_dict()), before, rtol=0, atol=0)


def test_arrays_lists_and_small_integers_are_taken(net, images, labels):
    expected = evaluate(net, images, labels, threat=THREAT).adversarial_prediction
    pixels = images.double().numpy()
    for given in (labels.to(torch.int32), labels.to(torch.uint8), labels.numpy().astype(np.int16), labels.tolist()):
        np.testing.assert_array_equal(evaluate(net, pixels, given, threat=THREAT).adversarial_prediction, expected)


def test_images_and_labels_that_do_not_fit_are_refused(net, images, labels):
    broken = images.clone()
    broken[50, 0, 1, 1] = torch.nan
    cases = [
        (broken, labels, "finite images"),
        (images * 255, labels, r"images in \[0, 1\]"),
        ((images * 255).to(torch.int32), labels, "divide by 255"),
        (images, labels[:-1], "one label for each of 101 images"),
        (images[:0], labels[:0], "at least 1"),
        (images, torch.full_like(labels, 4), r"labels in \[0, 4\), got 4\.\.4"),
        (images, torch.full_like(labels, -1), r"labels in \[0, 4\), got -1"),
        (images, labels + 0.5, "integer labels"),
    ]
    for bad_images, bad_labels, message in cases:
        with pytest.raises(DataError, match=message):
            evaluate(net, bad_images, bad_labels, threat=THREAT)


def test_models_that_would_be_mismeasured_are_refused(net, images, labels):
    in_train_mode = nn.Sequential(net, nn.Dropout(0.5)).eval()
    in_train_mode[1].train()
    with pytest.raises(DataError, match=r"train mode; call model\.eval\(\)"):
        evaluate(in_train_mode, images, labels, threat=THREAT)
    with pytest.raises(DataError, match="remove the softmax"):
        evaluate(nn.Sequential(net, nn.Softmax(1)).eval(), images, labels, threat=THREAT)
    with pytest.raises(DataError, match=r"shape \[16, K\]"):
        evaluate(nn.Sequential(net, nn.Linear(4, 1), nn.Flatten(0)).eval(), images, labels, threat=THREAT)
    diverged = nn.Linear(4, 4)
    nn.init.constant_(diverged.weight, torch.inf)
    with pytest.raises(DataError, match="diverged"):
        evaluate(nn.Sequential(net, diverged).eval(), images, labels, threat=THREAT)

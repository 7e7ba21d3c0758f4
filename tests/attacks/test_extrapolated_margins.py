"""Margins that follow from those of a few rows: exact where the ratio of margin to lead is, counted, and refused."""

from functools import partial

import numpy as np
import pytest
import torch
from linear_truth import closed_form_margins, linear_model, predictions, random_images
from scipy.stats import spearmanr
from torch import nn

from pumalib import deepfool_margins, extrapolated_margins
from pumalib.attacks.extrapolation import Extrapolation, Looks, rows_to_measure
from pumalib.errors import DataError
from pumalib.models.features import features_and_logits
from pumalib.models.network import Network

MEASURE = partial(deepfool_margins, clip=None, bisection_steps=25)


class Counting(nn.Module):
    """Counts the images that go forward through a network."""

    def __init__(self, module):
        super().__init__()
        self.module, self.count = module, 0

    def forward(self, images):
        self.count += len(images)
        return self.module(images)


def looks(features, lead):
    lead = np.asarray(lead, float)
    return Looks(np.asarray(features, np.float32)[:, None], lead, np.zeros(len(lead), np.int64))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_margins_of_two_classes_of_a_linear_model_are_exact(norm):
    """The ratio of margin to lead is one number there, so that any neighbours give it."""
    model = linear_model(num_classes=2)
    images = random_images(300)
    labels = predictions(model, images)
    labels[::4] = 1 - labels[::4]
    flip = torch.where(torch.arange(300) % 4 == 0, -1, 1).numpy()
    exact = flip * closed_form_margins(model, images, predictions(model, images), norm)
    found = extrapolated_margins(model, images, labels, estimate=partial(MEASURE, norm=norm), clip=None)
    assert 20 < found.measured.sum() < 40
    np.testing.assert_allclose(found.table.margin, exact, rtol=1e-3, atol=1e-5)
    assert found.held_back.agreement > 0.9999
    assert found.held_back.error < 1e-3


def test_margins_whose_ratio_is_one_for_each_class_follow_from_neighbours_of_that_class():
    """By hand: the label's logit leads by 2 |x| where x is below 0, by 10 x above; all margins are |x|."""
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 2, bias=False)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model[2].weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 10.0]]))
    images = torch.cat([torch.linspace(-0.9, -0.3, 200), torch.linspace(0.3, 0.9, 200)])[:, None]
    labels = (images[:, 0] > 0).long()
    found = extrapolated_margins(model, images, labels, estimate=MEASURE, clip=None, fraction=0.2)
    np.testing.assert_allclose(found.table.margin, images[:, 0].abs().numpy(), rtol=1e-3)


def test_measured_rows_have_the_margins_of_the_estimator_and_the_others_their_sign(digits, digits_net):
    images, labels = digits[0], digits[1].clone()
    labels[::9] = (labels[::9] + 3) % 10
    whole = deepfool_margins(digits_net, images, labels)
    found = extrapolated_margins(digits_net, images, labels)
    table, measured = found.table, found.measured
    np.testing.assert_allclose(table.margin[measured], whole.margin[measured], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(table.converged[measured], whole.converged[measured])
    np.testing.assert_array_equal(table.prediction, whole.prediction)
    assert (np.sign(table.margin) == np.sign(whole.margin)).all()
    assert (table.iterations[~measured] == 0).all()
    assert table.converged[~measured].all()
    true = spearmanr(table.margin[~measured], whole.margin[~measured]).statistic
    assert true > 0.9
    assert found.held_back.agreement == pytest.approx(true, abs=0.05)
    error = np.abs(table.margin - whole.margin)[~measured].mean() / np.abs(whole.margin).mean()
    assert found.held_back.error == pytest.approx(error, abs=0.05)


def test_passes_are_those_that_the_network_sees(digits, digits_net):
    network = Counting(digits_net).eval()
    images, labels = digits[0][:600], digits[1][:600]
    deepfool_margins(network, images[:1], labels[:1], max_iterations=1)
    found = extrapolated_margins(network, images, labels, batch_size=70)
    forwards = found.table.forwards
    assert (forwards[~found.measured] == 1).all()
    assert (found.table.backwards[~found.measured] == 0).all()
    network.count = 0
    own = deepfool_margins(network, images[torch.from_numpy(found.measured)], labels[torch.from_numpy(found.measured)])
    check = network.count - own.forwards.sum()
    np.testing.assert_array_equal(forwards[found.measured], own.forwards + 1)
    network.count = 0
    extrapolated_margins(network, images, labels, batch_size=70)
    assert network.count == forwards.sum() + 2 * check  # each of the two doors tries the network on a few images
    whole = deepfool_margins(network, images, labels)
    passes = found.table.forwards + found.table.backwards
    assert passes.sum() < 0.16 * (whole.forwards + whole.backwards).sum()


def test_the_draw_takes_the_same_share_of_each_stratum_and_at_least_one_row():
    strata = np.repeat([0, 1, 2, 3], [100, 40, 15, 2])
    drawn = rows_to_measure(strata, 0.1, seed=0)
    assert [int(drawn[strata == stratum].sum()) for stratum in range(4)] == [10, 4, 2, 1]
    np.testing.assert_array_equal(drawn, rows_to_measure(strata, 0.1, seed=0))
    assert (drawn != rows_to_measure(strata, 0.1, seed=1)).any()


def test_the_share_is_that_of_each_source_and_class_and_the_batch_size_changes_nothing(digits, digits_net):
    images, labels = digits[0][:900], digits[1][:900]
    source = np.arange(900) % 3 == 0
    first, second = (
        extrapolated_margins(digits_net, images, labels, source=source.astype(int), batch_size=size)
        for size in (64, 900)
    )
    np.testing.assert_array_equal(first.measured, second.measured)
    np.testing.assert_allclose(first.table.margin, second.table.margin, rtol=1e-3, atol=1e-6)
    for name in range(10):
        for kind in (True, False):
            inside = (labels.numpy() == name) & (source == kind)
            assert abs(first.measured[inside].sum() - 0.1 * inside.sum()) <= 0.5


def test_what_is_held_back_is_extrapolated_from_the_other_folds_alone():
    """By hand, with one neighbour on a line: the ratio is 2 but for the last row, where it is 6."""
    features = np.arange(10, dtype=np.float64) * 100
    lead, margin = np.arange(1, 11, dtype=np.float64), 2.0 * np.arange(1, 11)
    margin[9] = 60.0  # of lead 10
    known = Extrapolation(looks(features, lead), margin, np.ones(10, bool), neighbours=1, seed=0)
    # Row 9 is guessed as 20, and so off by 40. Row 8 lies between rows 7 and 9, and may take the ratio of either: it is
    # exact, or off by 36. All others are exact.
    assert known.held_back.num_rows == 10
    total = float(np.abs(margin).sum())
    off = known.held_back.error * total
    assert min(abs(off - 40), abs(off - 40 - 36)) < 1e-9
    assert known.held_back.agreement == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(known.margins(looks([900.0, 0.0], [1.0, -3.0])), [6.0, -6.0])


def test_rows_that_say_nothing_are_no_neighbours():
    """Bounds, margins of another sign than their lead, and leads within rounding."""
    features, lead = np.arange(12.0), np.full(12, 1.0)
    margin, converged = np.full(12, 0.5), np.ones(12, bool)
    converged[3], margin[3] = False, 9.0
    margin[5] = -0.5
    lead[7], margin[7] = 1e-9, 0.1
    known = Extrapolation(looks(features, lead), margin, converged, neighbours=2, seed=0)
    assert known.held_back.num_rows == 9
    assert known.held_back.error == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(known.margins(looks([3.0, 5.0, 7.0], [1.0, 2.0, -4.0])), [0.5, 1.0, -2.0])


def test_too_few_measured_rows_are_refused():
    with pytest.raises(DataError, match="for 10 neighbours when a fifth is held back, got 12 that converged among 12"):
        Extrapolation(looks(range(12), range(1, 13)), np.ones(12), np.ones(12, bool), neighbours=10, seed=0)


def test_margins_that_do_not_follow_are_refused(digits, digits_net):
    message = r"rank correlation with measured ones is at least 0.999, got 0\.9\d\d on \d+ measured rows"
    with pytest.raises(DataError, match=message):
        extrapolated_margins(digits_net, digits[0], digits[1], least_agreement=0.999)


def test_odd_arguments_are_refused_in_one_sentence(digits, digits_net):
    images, labels = digits[0][:300], digits[1][:300]
    with pytest.raises(ValueError, match=r"expected fraction in \(0, 1\)"):
        extrapolated_margins(digits_net, images, labels, fraction=1.0)
    with pytest.raises(DataError, match="expected one source for each of 300 images"):
        extrapolated_margins(digits_net, images, labels, source=[0, 1])
    with pytest.raises(DataError, match="measures margins to their end, got one with up_to"):
        extrapolated_margins(digits_net, images, labels, estimate=partial(deepfool_margins, up_to=0.1))


def test_features_are_what_goes_into_the_last_linear_layer(digits, digits_net):
    images = digits[0][:7]
    features, logits = features_and_logits(Network(digits_net), images)
    with torch.no_grad():
        torch.testing.assert_close(features, digits_net[:-1](images))
        torch.testing.assert_close(logits, digits_net(images))
    assert not any(module._forward_hooks for module in digits_net.modules())


def test_a_network_without_a_linear_layer_at_its_end_has_its_logits_as_features():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 6), nn.Conv1d(1, 3, 6)

        def forward(self, points):
            return self.last(self.first(points)[:, None])[..., 0]

    network = Network(Pooled().eval())
    features, logits = features_and_logits(network, torch.rand(5, 4))
    assert logits.shape == (5, 3)
    torch.testing.assert_close(features, logits)

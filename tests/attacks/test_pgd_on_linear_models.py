"""PGD on linear models: an image is fooled exactly where its closed-form margin is below epsilon."""

import numpy as np
import pytest
from linear_truth import BOX, closed_form_margins, exact_margins, linear_model, predictions, random_images

from pumalib.attacks.settings import CwPgdSettings, PgdSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.evaluation.evaluate import evaluate

ATTACKS = {"cw_pgd": CwPgdSettings, "pgd": PgdSettings}


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("method", ATTACKS)
def test_binary_images_are_fooled_exactly_where_the_margin_is_below_epsilon(method, norm, scale):
    model = linear_model(num_classes=2, scale=scale)
    images = random_images(300, low=0.3, high=0.7)
    labels = predictions(model, images)
    margins = closed_form_margins(model, images, labels, norm)
    epsilon = float(np.median(margins))
    is_clear = np.abs(margins / epsilon - 1) > 0.002
    assert is_clear.mean() > 0.97
    for clip in (None, BOX):
        table = evaluate(
            model,
            images,
            labels,
            ATTACKS[method](method=method),
            threat=ThreatSettings(norm=norm, epsilon=epsilon),
            clip=clip,
        )
        assert (table.success == (margins < epsilon))[is_clear].all()
        robust = (table.adversarial_prediction == labels.numpy())[is_clear].mean()
        assert robust == pytest.approx((margins >= epsilon)[is_clear].mean())


@pytest.mark.parametrize("clip", [None, BOX])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("method", "share"), [("cw_pgd", 0.96), ("pgd", 0.90)])
def test_ten_class_images_are_fooled_only_where_the_margin_is_below_epsilon_and_nearly_always_there(
    method, share, norm, clip
):
    # Either loss may climb toward a class that is likelier but farther than the nearest: so not always.
    model = linear_model(scale=5.0)
    images = random_images(80)
    labels = predictions(model, images)
    margins = exact_margins(model, images, labels, norm, clip)
    epsilon = float(np.median(margins))
    threat = ThreatSettings(norm=norm, epsilon=epsilon)
    table = evaluate(model, images, labels, ATTACKS[method](method=method), threat=threat, clip=clip)
    assert not table.success[margins > epsilon * 1.002].any()
    assert table.success[margins < epsilon * 0.998].mean() >= share
    assert table.clean_accuracy == 1.0

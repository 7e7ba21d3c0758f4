import numpy as np
import pytest

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.images import LabelledImages
from pumalib.learning.inputs import LearningInputs, OnStep
from pumalib.learning.settings import TriLevelSettings

EPSILON = 0.1


def toy_rows(count: int, seed: int) -> LabelledImages:
    """One pixel that stands far apart for the two classes, and is often wrong; 15 that stand near, and never are.

    The robust pixel is at 0.5 -+ 0.3 and points to the other class in a tenth of the rows; the others are at
    0.5 -+ 0.06 with little noise, nearer than an attack of 0.1 moves them.
    """
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    signs = 2.0 * labels[:, None] - 1
    robust = np.where(generator.random((count, 1)) < 0.1, -signs, signs) * 0.3
    weak = signs * 0.06 + generator.normal(scale=0.02, size=(count, 15))
    pixels = 0.5 + np.concatenate([robust, weak], 1)
    return LabelledImages((pixels * 255).round().astype(np.uint8).reshape(count, 4, 4, 1), labels.astype(np.int64))


class StopError(Exception):
    """Raised where a test stops a learning."""


def stop_at(last: int) -> OnStep:
    """Return what stops a learning after a step."""

    def on_step(step: int) -> None:
        if step == last:
            raise StopError

    return on_step


@pytest.fixture
def settings() -> TriLevelSettings:
    return TriLevelSettings.model_validate(
        {
            "method": "tri_level",
            "pool": "real",
            "architectures": [{"name": "mlp", "width": 8}, {"name": "mlp", "width": 12}],
            "steps": 24,
            "unrolled_steps": 2,
            "batch_size": 16,
            "networks": 3,
            "max_age": 12,
            "attack_steps": 3,
            "attack_batch_size": 32,
            "step_size": 0.02,
            "probe_every": 8,
        }
    )


@pytest.fixture
def inputs() -> LearningInputs:
    rows = toy_rows(40, 0)
    return LearningInputs(rows.images, rows.labels, 2, ThreatSettings(epsilon=EPSILON), validation=toy_rows(30, 1))

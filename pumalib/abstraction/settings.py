"""The settings of the abstraction model: its features, students, descent and report. Imports no torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from pumalib.reporting.section_settings import Section, SectionSettings
from pumalib.settings import Amount, PositiveAmount, Settings, refuse_repeats

StudentName = Literal["mean", "ridge"]
STUDENTS: tuple[StudentName, ...] = ("mean", "ridge")

LearnedFor = Literal["mean", "ridge", "both"]
LEARNED_FOR: dict[LearnedFor, tuple[StudentName, ...]] = {"mean": ("mean",), "ridge": ("ridge",), "both": STUDENTS}
"""The students whose robust loss, on average, finds the data."""


class RobustFeatureSettings(Settings):
    """The robust feature of a row with label y: ``b mean y + deviation g``, with g ~ N(0, 1) and b = 1 or -1."""

    probability: float = Field(default=1.0, gt=0.5, le=1)
    """Probability of b = 1."""
    mean: PositiveAmount = 1.0
    """Its size."""
    deviation: Annotated[Amount, Field(ge=0)] = 0.0
    """Standard deviation of its Gaussian part. 0 with a probability below 1: the feature of Tsipras et al. 2019."""


class DescentSettings(Settings):
    """How data are learned: Adam on the robust loss of the student, its rate falling linearly to 0."""

    steps: int = Field(default=300, gt=0)
    """Steps."""
    learning_rate: PositiveAmount = 0.05
    """At the first step."""


class AbstractionSettings(Settings):
    """The model (Tsipras et al. 2019) and the grid: every training at every epsilon."""

    num_rows: int = Field(default=500, gt=1)
    """Rows of the natural data, and of the learned data that start from them."""
    num_weak: int = Field(default=100, gt=0)
    """Weak features: ``N(weak_mean y, 1)`` each."""
    weak_mean: PositiveAmount
    """Mean of a weak feature, by the label's sign: an attack of twice this epsilon turns it round."""
    robust: RobustFeatureSettings = RobustFeatureSettings()
    """The robust feature."""
    epsilons: Annotated[tuple[Annotated[Amount, Field(ge=0)], ...], Field(min_length=1), AfterValidator(refuse_repeats)]
    """L-inf radii, on the scale of the features."""
    ridge_penalty: PositiveAmount = 0.01
    """Penalty of the ridge student; the mean student has none."""
    descent: DescentSettings = DescentSettings()
    """How data are learned."""

    @model_validator(mode="after")
    def _refuse_constant_feature(self) -> AbstractionSettings:
        if self.robust.probability == 1 and self.robust.deviation == 0:
            raise ValueError(
                "expected a probability below 1 or a deviation above 0 under robust: without either the feature is the "
                "label and no loss has a minimum"
            )
        return self


class AbstractionCurvesSettings(SectionSettings):
    """A figure of clean and robust accuracy against epsilon, a line per training, and a page with every number."""

    section: ClassVar[Section] = "Accuracy of students"

    kind: Literal["abstraction_curves"] = "abstraction_curves"
    """Which report this is."""
    student: StudentName = "mean"
    """Student that trains naturally; the adversarial line is the logistic one in any case."""
    learned_for: LearnedFor = "both"
    """Students whose robust loss the learned data were found by."""

"""The settings of the perceptron theory: its grid, its students, its reports. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from pumalib.reporting.section_settings import Section, SectionSettings
from pumalib.settings import Amount, PositiveAmount, Settings, refuse_repeats

StudentName = Literal["logistic", "online", "max_margin", "hard_margin"]
TeacherName = Literal["axis", "dense", "random"]
StrategyName = Literal["pe", "pd"]
Metric = Literal["one_minus_overlap", "angle_error"]

MIN_FIT_POINTS = 3
"""Alphas below which no decay is fitted. A choice of ours."""


_Once = [Field(min_length=1), AfterValidator(refuse_repeats)]


class LogisticSettings(Settings):
    """A student that minimises the logistic loss on FGSM examples of its own weights, with a small penalty."""

    penalty: PositiveAmount = 1e-10
    """Half of it times the squared norm of the weights joins the mean loss. Without it separable data have no minimum;
    the smaller it is, the nearer the student is to a hard margin."""
    steps: int = Field(default=500, gt=0)
    """Newton steps at most; where they do not suffice, the table says so."""
    tolerance: float = Field(default=1e-8, gt=0, lt=1)
    """How far the loss is above its minimum at the end, relative to it."""


class OnlineSettings(Settings):
    """Rosenblatt's perceptron: one pass, a row at a time, from zero weights. Nothing to set."""


class MaxMarginSettings(Settings):
    """A student that maximises its robust margin: a linear support vector machine on FGSM examples."""

    cost: PositiveAmount = 1.0
    """Price of a unit of margin lacking; a higher one is nearer to a hard margin, and takes more steps."""
    steps: int = Field(default=4000, gt=0)
    """Steps of the accelerated dual ascent at most; where they do not suffice, the table and the job's log say so."""
    tolerance: float = Field(default=0.005, ge=0, lt=1)
    """Relative duality gap at which a curve's ascent ends."""


class HardMarginSettings(Settings):
    """A student of the largest robust margin exactly, with every row on the right side. Nothing to set."""


class StudentsSettings(Settings):
    """The students of a study: those that are named, `{}` for one with its defaults."""

    logistic: LogisticSettings | None = None
    """Least logistic loss."""
    online: OnlineSettings | None = None
    """One pass of the perceptron rule."""
    max_margin: MaxMarginSettings | None = None
    """Large robust margins, at a price for each row that lacks them."""
    hard_margin: HardMarginSettings | None = None
    """Largest robust margin, every row on the right side; infeasible where there is none."""

    @property
    def names(self) -> tuple[StudentName, ...]:
        """Names of the students there are."""
        every: tuple[StudentName, ...] = ("logistic", "online", "max_margin", "hard_margin")
        return tuple(name for name in every if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _refuse_none(self) -> StudentsSettings:
        if not self.names:
            raise ValueError(
                "expected at least one of logistic, online, max_margin and hard_margin under students, got none"
            )
        return self


class PerceptronSettings(Settings):
    """The grid: every student learns from every teacher, at every epsilon, from every pruned set (PUMA, section 2)."""

    num_features: int = Field(default=200, gt=1)
    """K, the length of an input."""
    students: StudentsSettings
    """What learns."""
    teachers: Annotated[tuple[TeacherName, ...], *_Once] = ("axis",)
    """What is learned: `axis` (1, 0, 0, ...), `dense` (equal weights), `random` (uniform on the sphere, per seed)."""
    epsilons: Annotated[tuple[Annotated[Amount, Field(ge=0)], ...], *_Once] = (0.0, 0.001, 0.01)
    """L-inf radii of FGSM training, on the scale of the inputs, which have deviation 1. Each is computed with and
    without removing margins of at most epsilon first."""
    strategies: Annotated[tuple[StrategyName, ...], *_Once] = ("pe", "pd")
    """`pe` drops the highest margins, `pd` the lowest; no pruning stands always beside them."""
    kept_fractions: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], *_Once]
    """Shares that pruning keeps."""
    alphas: Annotated[tuple[PositiveAmount, ...], *_Once]
    """Rows after pruning over K."""
    shards: int = Field(default=1, gt=0)
    """Jobs that the seeds of one student and teacher are spread over; no part of the result."""

    def slice_of(self, student: StudentName) -> dict[str, Any]:
        """Return what the errors of one student depend on, beside the teacher and the seeds."""
        own = {"students": {student: getattr(self.students, student).model_dump()}}
        return {**self.model_dump(exclude={"students", "teachers", "shards"}), **own}


class ErrorCurvesSettings(SectionSettings):
    """A figure of the error against alpha: a panel a strategy, a line a kept fraction."""

    section: ClassVar[Section] = "Errors of students"

    kind: Literal["error_curves"] = "error_curves"
    """Which report this is."""
    student: StudentName
    """Student whose errors are drawn."""
    teacher: TeacherName = "axis"
    """Teacher it learned from."""
    epsilon: Annotated[Amount, Field(ge=0)]
    """L-inf radius it was trained with; one of the grid's."""
    is_filtered: bool = False
    """Whether margins of at most epsilon were removed first."""
    metric: Metric = "one_minus_overlap"
    """1 - R for the overlap R of student and teacher, or arccos(R) / pi."""
    fit_from_alpha: PositiveAmount = 2.0
    """Smallest alpha that the fits of the decay use."""


class DecaySettings(SectionSettings):
    """A table of how every curve of a student and teacher decays, and a figure of the best that pruning reaches."""

    section: ClassVar[Section] = "Errors of students"

    kind: Literal["decay"] = "decay"
    """Which report this is."""
    student: StudentName
    """Student whose errors are fitted."""
    teacher: TeacherName = "axis"
    """Teacher it learned from."""
    metric: Metric = "angle_error"
    """1 - R for the overlap R of student and teacher, or arccos(R) / pi."""
    fit_from_alpha: PositiveAmount = 2.0
    """Smallest alpha that the fits use."""


PerceptronReportSettings = Annotated[ErrorCurvesSettings | DecaySettings, Field(discriminator="kind")]
"""Any report of a perceptron study."""

"""Settings of scores. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from pumalib.attacks.settings import DeepfoolOptions
from pumalib.attacks.threat_settings import Norm
from pumalib.models.settings import ArchitectureSettings, CheckpointWeights
from pumalib.settings import Name, NameOrNames, PixelAmount, Settings, UserObject


class ModelReference(Settings):
    """The model a score looks through: a run of this study, or a checkpoint of this library or from elsewhere."""

    run: Name | None = None
    """Name under `runs`."""
    seed: int | None = None
    """Seed of that run; none: the same seed as the score's."""
    checkpoint: str | None = None
    """Path of a `model.safetensors` written by this library or, with `architecture`, of a file from elsewhere."""
    architecture: ArchitectureSettings | None = None
    """Network of a checkpoint from elsewhere: safetensors if its name ends so, else a torch file of tensors alone."""
    weights: CheckpointWeights | None = None
    """Which weights of a checkpoint from elsewhere that holds both `model` and `averaged` ones."""

    @model_validator(mode="before")
    @classmethod
    def _expand_name(cls, value: Any) -> Any:
        return {"run": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> ModelReference:
        if (self.run is None) == (self.checkpoint is None):
            given = "both" if self.run is not None else "neither"
            raise ValueError(f"expected exactly one of run and checkpoint, got {given}")
        if self.seed is not None and self.run is None:
            raise ValueError("expected seed only with run")
        self._check_checkpoint()
        return self

    def _check_checkpoint(self) -> None:
        if self.architecture is not None and self.checkpoint is None:
            raise ValueError("expected architecture only with checkpoint; a run brings its own")
        if self.weights is not None and self.architecture is None:
            raise ValueError("expected weights only with a checkpoint and its architecture")
        if self.checkpoint is not None and self.architecture is None and not self.checkpoint.endswith(".safetensors"):
            raise ValueError(
                f"expected the architecture of {self.checkpoint}, no model.safetensors of this library, got none"
            )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Let editors accept the bare name as well."""
        return {"anyOf": [{"type": "string"}, handler(schema)]}


class _ScoreSettings(Settings):
    model: ModelReference
    """The model looked through: the name of a run, `{run: ..., seed: ...}` or `{checkpoint: path, ...}`."""
    pool: Name | None = None
    """Pool to score; none: the pool of `defaults`."""
    shards: int = Field(default=1, gt=0)
    """Jobs the pool is divided over; changes the speed, not the result."""
    batch_size: int | None = Field(default=None, gt=0)
    """Images at once, none: 500, and fewer of images larger than 32 x 32 x 3; changes the speed, not the result."""


class MarginSettings(_ScoreSettings):
    """A signed distance to the decision boundary."""

    norm: Norm | None = None
    """`linf` or `l2`; none: the threat's norm."""


EXTRAPOLATED_MODULE = "pumalib.scores.extrapolated"
"""What takes the margins of most rows from those of a share."""


class ExtrapolateSettings(Settings):
    """Measure a share of the rows; the margins of all others follow from the nearest of these."""

    measured: float = Field(default=0.1, gt=0, lt=1)
    """Share of the rows that are measured, the same of each class and source, and at least one row of each."""
    neighbours: int = Field(default=10, gt=0)
    """Measured rows that each other row's ratio of margin to logit margin is the mean of."""
    least_agreement: float = Field(default=0.9, ge=-1, le=1)
    """Rank correlation of extrapolated margins with measured ones that were held back; below it the job fails."""
    seed: int = Field(default=0, ge=0)
    """Seed of the draw of the rows to measure."""


class _BisectedMarginSettings(MarginSettings):
    bisection_steps: int = Field(default=10, ge=0)
    """The crossing is enclosed as narrowly as by so many halvings of the segment from the image to the point found."""
    up_to: PixelAmount | None = None
    """Distance from which on margins need not be exact, pixel scale; none: all are measured to their end."""
    extrapolate: ExtrapolateSettings | None = None
    """Measure a share of the rows, and extrapolate the margins of the others; none: all rows are measured."""

    @model_validator(mode="after")
    def _check_extrapolation(self) -> _BisectedMarginSettings:
        if self.extrapolate is not None and self.up_to is not None:
            raise ValueError("expected up_to or extrapolate, got both; bounds say nothing of other rows' margins")
        if self.extrapolate is not None and self.shards > 1:
            raise ValueError(
                f"expected one shard with extrapolate, got {self.shards}; rows need the measured ones of all shards"
            )
        return self

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave newer keys out where there is none: such scores are what they were before there were the keys."""
        values: dict[str, Any] = handler(self)
        newer = ("up_to", "extrapolate")
        return {key: value for key, value in values.items() if key not in newer or value is not None}


class DeepfoolSettings(_BisectedMarginSettings, DeepfoolOptions):
    """Signed DeepFool margins (Moosavi-Dezfooli et al. 2016; the sign is our choice)."""

    method: Literal["deepfool"] = "deepfool"


class DeepfoolPublishedSettings(MarginSettings, DeepfoolOptions):
    """DeepFool as Moosavi-Dezfooli et al. (2016) published it: nothing added, and 0 where a row is misclassified."""

    method: Literal["deepfool_published"] = "deepfool_published"
    num_candidates: int = Field(default=9, gt=0)
    """Other classes looked at, the most likely ones at the image: with the predicted one ten, as the authors do."""


class FastMarginSettings(_BisectedMarginSettings):
    """PUMA's Algorithm 1, with its errata corrected."""

    method: Literal["fast_margin"] = "fast_margin"
    step_size: PixelAmount = 1 / 255
    """Step on the pixel scale."""
    max_iterations: int = Field(default=200, gt=0)
    """Gradient steps per sample."""


class RefinedMarginSettings(_BisectedMarginSettings, DeepfoolOptions):
    """DeepFool's crossing, moved along the boundary toward the image: tighter, at less than three times the cost."""

    method: Literal["refined_margin"] = "refined_margin"
    refinement_steps: int = Field(default=8, ge=0)
    """Gradient steps along the boundary, and three quarters of them along others; 0: none, and no restarts."""
    restarts: int = Field(default=2, ge=0)
    """Boundaries of other classes followed at most, where they may be nearer; rightly classified rows alone."""


class CustomScoreSettings(_ScoreSettings):
    """A score of one's own: `module:function`, called as `function(model, images, labels, **options)`."""

    method: UserObject
    """`module:function`; gets images float32 [B, C, H, W] in [0, 1] and labels int64 [B], returns [B] numbers."""
    higher_is: Literal["easier", "harder"]
    """Whether a higher score means an easier or a harder row."""
    options: dict[str, float | int | str | bool] = Field(default_factory=dict)
    """Keyword arguments of the function."""


class FeatureScoreSettings(_ScoreSettings):
    """A score of features before the last linear layer, in which all rows are looked at together, by one job."""

    @model_validator(mode="after")
    def _check_shards(self) -> FeatureScoreSettings:
        if self.shards != 1:
            raise ValueError(f"expected one shard, as rows are compared with each other, got {self.shards}")
        return self


class ClassCenterSettings(FeatureScoreSettings):
    """Distance between a row's features and the centre of its class (Moderate, Xia et al. 2023)."""

    method: Literal["class_center"] = "class_center"
    center: Literal["median", "mean"] = "median"
    """Of each feature over the rows of a class: the median, as the authors' code has it, or the mean, as their text."""


class KCenterSettings(FeatureScoreSettings):
    """Place in k-center's greedy order (Sener & Savarese 2018): each next row is the farthest from those before it."""

    method: Literal["k_center"] = "k_center"
    scope: Literal["union", "per_class"] = "union"
    """`union`: one order over the pool. `per_class`: one in each class, for cuts of that scope."""
    centers: int | None = Field(default=None, gt=0)
    """Rows that are placed, of the pool or of each class; those after them go by their distance. None: all rows."""
    seed: int = Field(default=0, ge=0)
    """Seed of the draw of the first row."""


class FileScoreSettings(Settings):
    """Scores, or rows to keep, from a CSV or HDF5 file of one's own."""

    method: Literal["file"] = "file"
    path: str
    """The file, which ends in .csv, .h5 or .hdf5; `{seed}` in it stands for the seed."""
    column: str | None = None
    """Column of scores; none: the file lists rows, and a listed row has score 1, any other 0."""
    rows_by: Literal["row", "file"] = "row"
    """What names a row: column `row`, its number in the pool, or column `file`, the path of its image in the folder."""
    higher_is: Literal["easier", "harder"] = "harder"
    """Whether a higher score means an easier or a harder row."""
    pool: Name | None = None
    """Pool to score; none: the pool of `defaults`."""

    @model_validator(mode="after")
    def _check(self) -> FileScoreSettings:
        if not self.path.endswith((".csv", ".h5", ".hdf5")):
            raise ValueError(f"expected a path that ends in .csv, .h5 or .hdf5, got {self.path}")
        return self

    def path_of(self, seed: int) -> str:
        """Return the path of the file of a seed."""
        return self.path.replace("{seed}", str(seed))


class TrackedScore(Settings):
    """A score of what runs gathered while they trained; it belongs to their pool."""

    gathered: ClassVar[str]
    tracked: NameOrNames
    """The run whose `track` is read, or a list of runs to average over."""
    first_epoch: int = Field(default=1, gt=0)
    """First epoch that counts, among the tracked ones."""
    last_epoch: int | None = Field(default=None, gt=0)
    """Last epoch that counts; none: the last tracked one."""

    @model_validator(mode="after")
    def _check(self) -> TrackedScore:
        if len(set(self.tracked)) != len(self.tracked):
            raise ValueError(f"expected distinct runs under tracked, got {', '.join(self.tracked)}")
        if self.last_epoch is not None and self.last_epoch < self.first_epoch:
            raise ValueError(
                f"expected last_epoch of at least first_epoch, got {self.last_epoch} after {self.first_epoch}"
            )
        return self

    @property
    def quantities(self) -> tuple[str, ...]:
        """What its runs must track; any one of these will do, the first is taken."""
        return (self.gathered,)


class ClassificationDifficultySettings(TrackedScore):
    """Share of epochs, or of visits, in which a row is misclassified (PUMA eq. 1)."""

    method: Literal["classification_difficulty"] = "classification_difficulty"
    counted: Literal["epochs", "visits"] | None = None
    """Over tracked epochs (`track: correct`) or over visits (`track: visits`); none: epochs where they are tracked."""

    @model_validator(mode="after")
    def _check_window(self) -> ClassificationDifficultySettings:
        if self.counted == "visits" and (self.first_epoch != 1 or self.last_epoch is not None):
            raise ValueError(
                "expected no first_epoch or last_epoch with counted: visits, which counts the whole training"
            )
        return self

    @property
    def quantities(self) -> tuple[str, ...]:
        """What its runs must track; any one of these will do, the first is taken."""
        if self.counted is None:
            return ("correct", "visits")
        return ("correct",) if self.counted == "epochs" else ("visits",)


class ForgettingSettings(TrackedScore):
    """How often a row is forgotten, right after one tracked epoch and wrong after the next (Toneva et al. 2019)."""

    gathered: ClassVar[str] = "correct"
    method: Literal["forgetting"] = "forgetting"


class El2nSettings(TrackedScore):
    """Mean EL2N over epochs and runs (Paul et al. 2021)."""

    gathered: ClassVar[str] = "el2n"
    method: Literal["el2n"] = "el2n"


class GrandSettings(TrackedScore):
    """Mean GraNd over epochs and runs (Paul et al. 2021)."""

    gathered: ClassVar[str] = "grand"
    method: Literal["grand"] = "grand"


class AignSettings(TrackedScore):
    """Mean input-gradient norm over epochs and runs (AIGN, of EasyCore)."""

    gathered: ClassVar[str] = "aign"
    method: Literal["aign"] = "aign"


class MeanLossSettings(TrackedScore):
    """Mean cross-entropy over epochs and runs."""

    gathered: ClassVar[str] = "loss"
    method: Literal["mean_loss"] = "mean_loss"


class RandomSettings(Settings):
    """Numbers that mean nothing: uniform in [0, 1), by seed and name of the score."""

    method: Literal["random"] = "random"
    pool: Name | None = None
    """Pool to score; none: the pool of `defaults`."""


MeasuredScoreSettings = (
    Annotated[DeepfoolSettings, Tag("deepfool")]
    | Annotated[DeepfoolPublishedSettings, Tag("deepfool_published")]
    | Annotated[FastMarginSettings, Tag("fast_margin")]
    | Annotated[RefinedMarginSettings, Tag("refined_margin")]
)
"""Margins, and other scores that look at one row at a time through a trained model."""

_OwnScoreSettings = Annotated[CustomScoreSettings, Tag("custom")]

_FeatureScoreSettings = (
    Annotated[ClassCenterSettings, Tag("class_center")] | Annotated[KCenterSettings, Tag("k_center")]
)

LookingScoreSettings = MeasuredScoreSettings | _FeatureScoreSettings | _OwnScoreSettings
"""Scores that look at the pool through a trained model, shard by shard."""

TrackedScoreSettings = (
    Annotated[ClassificationDifficultySettings, Tag("classification_difficulty")]
    | Annotated[ForgettingSettings, Tag("forgetting")]
    | Annotated[El2nSettings, Tag("el2n")]
    | Annotated[GrandSettings, Tag("grand")]
    | Annotated[AignSettings, Tag("aign")]
    | Annotated[MeanLossSettings, Tag("mean_loss")]
)
"""Scores of what runs gathered while they trained."""

AnyScoreSettings = (
    MeasuredScoreSettings
    | _FeatureScoreSettings
    | TrackedScoreSettings
    | Annotated[RandomSettings, Tag("random")]
    | Annotated[FileScoreSettings, Tag("file")]
    | _OwnScoreSettings
)


def _kind(value: Any) -> str:
    method = value.get("method") if isinstance(value, dict) else getattr(value, "method", None)
    return "custom" if isinstance(method, str) and ":" in method else str(method)


ScoreSettings = Annotated[AnyScoreSettings, Discriminator(_kind)]


def score_module(settings: AnyScoreSettings) -> str:
    """Return the module of a score, by convention; a user's own is loaded by `custom`."""
    name = "custom" if isinstance(settings, CustomScoreSettings) else settings.method
    return f"pumalib.scores.{name}"


def user_module(settings: CustomScoreSettings) -> str:
    """Return the user's own module behind a score."""
    return settings.method.partition(":")[0]


def whole_score_rule(settings: AnyScoreSettings) -> Literal["score", "tracked_score", "file_score"]:
    """Return the rule that writes the table of a whole pool."""
    if looks_through_a_model(settings):
        return "score"
    return "file_score" if isinstance(settings, FileScoreSettings) else "tracked_score"


def looks_through_a_model(settings: AnyScoreSettings) -> bool:
    """Say whether a score looks at the pool through a trained model, shard by shard."""
    return not isinstance(settings, TrackedScore | RandomSettings | FileScoreSettings)

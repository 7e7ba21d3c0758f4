"""Settings of scores. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, GetJsonSchemaHandler, Tag, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from pumalib.attacks.settings import Norm
from pumalib.models.settings import ArchitectureSettings, CheckpointWeights
from pumalib.settings import Name, PositiveAmount, Settings


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
    batch_size: int = Field(default=500, gt=0)
    """Images at once; changes the speed, not the result."""


class _MarginSettings(_ScoreSettings):
    norm: Norm | None = None
    """`linf` or `l2`; none: the threat's norm."""
    bisection_steps: int = Field(default=10, ge=0)
    """Halvings of the segment from the image to the point found."""


class DeepfoolSettings(_MarginSettings):
    """Signed DeepFool margins."""

    method: Literal["deepfool"]
    max_iterations: int = Field(default=50, gt=0)
    """Gradient iterations a sample."""
    overshoot: float = Field(default=0.02, ge=0)
    """Share by which each perturbation is stretched to cross."""
    num_candidates: int = Field(default=10, gt=0)
    """Other classes looked at, the most likely ones."""


class FastMarginSettings(_MarginSettings):
    """PUMA's Algorithm 1, errata mended."""

    method: Literal["fast_margin"]
    step_size: PositiveAmount = 1 / 255
    """Step on the pixel scale."""
    max_iterations: int = Field(default=200, gt=0)
    """Gradient steps a sample."""


class CustomScoreSettings(_ScoreSettings):
    """A score of one's own: `module:function`, called as `function(model, images, labels, **options)`."""

    method: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    """`module:function`; gets images float32 [B, C, H, W] in [0, 1] and labels int64 [B], returns [B] numbers."""
    higher_is: Literal["easier", "harder"]
    """Whether a higher score means an easier or a harder row."""
    options: dict[str, float | int | str | bool] = Field(default_factory=dict)
    """Keyword arguments of the function."""


def _kind(value: Any) -> str:
    method = value.get("method") if isinstance(value, dict) else getattr(value, "method", None)
    return "custom" if isinstance(method, str) and ":" in method else str(method)


ScoreSettings = Annotated[
    Annotated[DeepfoolSettings, Tag("deepfool")]
    | Annotated[FastMarginSettings, Tag("fast_margin")]
    | Annotated[CustomScoreSettings, Tag("custom")],
    Discriminator(_kind),
]


def score_module(settings: DeepfoolSettings | FastMarginSettings | CustomScoreSettings) -> str:
    """Return the module of a score, by convention; a user's own is loaded by `custom`."""
    name = "custom" if isinstance(settings, CustomScoreSettings) else settings.method
    return f"pumalib.scores.{name}"


def user_module(settings: DeepfoolSettings | FastMarginSettings | CustomScoreSettings) -> str | None:
    """Return the user's own module behind a score, if any."""
    return settings.method.partition(":")[0] if isinstance(settings, CustomScoreSettings) else None

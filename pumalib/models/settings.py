"""Which architecture a run trains: its settings, and the checks that need no model to be built."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from pumalib.errors import ConfigError
from pumalib.files.user_modules import PATTERN, load_user_object
from pumalib.setting_errors import nearest
from pumalib.settings import Amount, PositiveAmount, Settings

ImageShape = tuple[int, int, int]
"""(height, width, channels) of one image, the order in which image files hold it."""

Activation = Literal["relu", "silu"]

StridedPadding = Literal["both", "end"]

CheckpointWeights = Literal["model", "averaged"]
"""Which weights of a checkpoint that holds both: those the optimiser left, or their average over training."""

_WIDE_RESNET = re.compile(r"wrn-([1-9]\d*)-([1-9]\d*)")
_TIMM = "timm:"
_MODULES = {
    "mlp": "pumalib.models.mlp",
    "convnet": "pumalib.models.convnet",
    "small-cnn": "pumalib.models.small_cnn",
    "resnet-18": "pumalib.models.resnet",
    "preactresnet-18": "pumalib.models.preact_resnet",
}
_WIDE_RESNET_MODULE = "pumalib.models.wide_resnet"
_TOTAL_STRIDES = {
    "pumalib.models.convnet": 4,
    "pumalib.models.small_cnn": 4,
    "pumalib.models.resnet": 8,
    "pumalib.models.preact_resnet": 8,
    _WIDE_RESNET_MODULE: 4,
}
NORMALISED = ("convnet", "resnet-18", "preactresnet-18", "wrn-")
"""How the names of our architectures with batch normalisation begin; their training steps cannot be unrolled."""
_WITH_WIDTH = ("mlp", "convnet", "small-cnn")
_EXAMPLES = (*_MODULES, "wrn-28-10", "wrn-70-16")


_DEEPEST, _WIDEST = 1000, 100
"""Of wide residual networks; far above any that was ever trained."""


def _expect_wide_resnet(name: str) -> None:
    """Refuse a name that is not of the form wrn-<depth>-<width>, or no depth of 6n + 4."""
    match = _WIDE_RESNET.fullmatch(name)
    if match is None:
        raise ValueError(f'expected "wrn-<depth>-<width>" such as "wrn-28-10", got "{name}"')
    depth, factor = int(match[1]), int(match[2])
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f'expected a depth of 6n + 4 (10, 16, 22, 28, ...), got {depth} in "{name}"')
    if depth > _DEEPEST or factor > _WIDEST:
        raise ValueError(f'expected a depth of at most {_DEEPEST} and a width of at most {_WIDEST}, got "{name}"')


def _module_of(name: str) -> str:
    """Return the defining module; a ValueError here becomes pydantic's or a ConfigError."""
    if name in _MODULES:
        return _MODULES[name]
    if name.startswith(_TIMM) and name != _TIMM:
        return "pumalib.models.timm_adapter"
    if PATTERN.fullmatch(name):
        return name.partition(":")[0]
    if name.startswith("wrn"):
        _expect_wide_resnet(name)
        return _WIDE_RESNET_MODULE
    hint = nearest(name, _EXAMPLES)
    raise ValueError(f'expected an architecture, "timm:<name>" or "<module>:<class>", got "{name}"{hint}')


def architecture_origin(name: str) -> Literal["built-in", "timm", "user"]:
    """Say who defines the architecture: this library, timm, or the user's own module."""
    if name.startswith(_TIMM):
        return "timm"
    return "user" if ":" in name else "built-in"


class ArchitectureSettings(Settings):
    """An image classifier; a bare name such as ``mlp`` stands for ``{name: mlp}``.

    Example:
        >>> ArchitectureSettings(name="preactresnet-18", mean=(0.49, 0.48, 0.45), std=(0.25, 0.24, 0.26)).activation
        'relu'
    """

    name: str
    """mlp, convnet, small-cnn, resnet-18, preactresnet-18, wrn-<depth>-<width>, timm:<name> or <module>:<class>."""
    activation: Activation = "relu"
    """Activation of the built-in architectures; DM uses silu for its wide ones."""
    mean: tuple[Annotated[Amount, Field(allow_inf_nan=False)], ...] | None = None
    """Mean of each channel, pixel scale [0, 1], subtracted inside the model; with ``std`` or not at all."""
    std: tuple[PositiveAmount, ...] | None = None
    """Standard deviation of each channel, pixel scale [0, 1], divided by inside the model."""
    width: Annotated[int, Field(gt=0, le=65_536)] | None = None
    """Hidden units of mlp (default 256), base channels of convnet (32) or small-cnn (16); not for the others."""
    strided_padding: StridedPadding = "both"
    """Where the strided convolutions of wrn-<depth>-<width> pad: at both sides, or at the end alone (right and bottom),
    as in Gowal et al. 2020 and DM."""

    @model_validator(mode="before")
    @classmethod
    def _expand_bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        _module_of(name)
        return name

    @model_validator(mode="after")
    def _check_normalisation(self) -> ArchitectureSettings:
        if (self.mean is None) != (self.std is None):
            missing = "mean" if self.mean is None else "std"
            raise ValueError(f"expected both mean and std or neither, got no {missing}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and not 0 <= min(values, default=0) <= max(values, default=0) <= 1:
                raise ValueError(
                    f"expected {name} on the pixel scale [0, 1], got {list(values)}; divide by 255 if it is of 0..255"
                )
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise ValueError(f"expected mean and std alike in length, got {len(self.mean)} and {len(self.std)}")
        return self

    @model_validator(mode="after")
    def _check_options(self) -> ArchitectureSettings:
        if self.width is not None and self.name not in _WITH_WIDTH:
            raise ValueError(f'expected width only with {" or ".join(_WITH_WIDTH)}, got it with "{self.name}"')
        if self.strided_padding != "both" and not self.name.startswith("wrn-"):
            raise ValueError(f'expected strided_padding only with wrn-<depth>-<width>, got it with "{self.name}"')
        if self.activation != "relu" and architecture_origin(self.name) != "built-in":
            raise ValueError(
                f'expected activation only with a built-in architecture, got it with "{self.name}", '
                "which brings its own"
            )
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Let editors accept the bare name as well."""
        return {"anyOf": [{"type": "string"}, handler(schema)]}


def architecture_module(name: str) -> str:
    """Return the full name of the module that defines an architecture (a convention, no registry).

    Raises:
        ConfigError: no such architecture; the message names the nearest one.
    """
    try:
        return _module_of(name)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def check_architecture(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int) -> None:
    """Refuse an architecture that cannot take these images, before any job starts.

    Imports timm or the user's module if the name asks for it, and never torch for a built-in one.

    Args:
        settings: The architecture.
        image_shape: (height, width, channels) of one image.
        num_classes: Number of classes, at least 2.

    Raises:
        ConfigError: with what was expected and what came.
    """
    if num_classes < 2:
        raise ConfigError(f"expected at least 2 classes, got {num_classes}")
    _check_side(settings, image_shape)
    _check_channels(settings, image_shape[2])
    origin = architecture_origin(settings.name)
    if origin == "timm":
        _check_timm_name(settings.name)
    elif origin == "user":
        load_user_class(settings.name)


def _check_side(settings: ArchitectureSettings, image_shape: ImageShape) -> None:
    if min(image_shape) < 1:
        raise ConfigError(f"expected an image shape (height, width, channels) of positive numbers, got {image_shape}")
    minimum = _TOTAL_STRIDES.get(architecture_module(settings.name), 1)
    height, width, _ = image_shape
    if min(height, width) < minimum:
        raise ConfigError(
            f"expected images of at least {minimum} x {minimum} for {settings.name}, got {height} x {width}"
        )
    if settings.strided_padding == "end" and (height % minimum or width % minimum):
        raise ConfigError(
            f"expected image sides that are multiples of {minimum} for {settings.name} with strided_padding end, "
            f"got {height} x {width}; leave strided_padding out"
        )


def _check_channels(settings: ArchitectureSettings, channels: int) -> None:
    if settings.mean is not None and len(settings.mean) != channels:
        raise ConfigError(
            f"expected mean and std of {channels} values, one per image channel, got {len(settings.mean)}"
        )


def _check_timm_name(name: str) -> None:
    try:
        timm = importlib.import_module("timm")
    except ImportError as error:
        raise ConfigError(
            f'architecture "{name}" needs the package timm ({error}); pip install "pumalib[timm]"'
        ) from None
    model_name = name.removeprefix(_TIMM)
    if not timm.is_model(model_name):
        close = difflib.get_close_matches(model_name, timm.list_models(), n=3)
        hint = f"; nearest: {', '.join(close)}" if close else ""
        raise ConfigError(f'expected a model that timm {timm.__version__} knows, got "{model_name}"{hint}')


def load_user_class(name: str) -> Callable[..., Any]:
    """Import the user's own architecture, named "<module>:<class>".

    Raises:
        ConfigError: the module cannot be imported, or has no such class or function.
    """
    loaded: Callable[..., Any] = load_user_object(name, "an architecture")
    return loaded

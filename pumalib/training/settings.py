"""Settings of training. Imports no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from inspect import isabstract
from typing import Annotated, Any, ClassVar, Literal, Self, get_origin

from pydantic import Discriminator, Field, Tag, TypeAdapter, model_validator

from pumalib.settings import PixelAmount, Settings, by_kind, is_none
from pumalib.training.dynamic.settings import DynamicPruningSettings


def _is_one(value: int) -> bool:
    """Leave a value out of params and files, which are then those of before there was such a setting."""
    return value == 1


class ResizedCropSettings(Settings):
    """Crops of random area and aspect ratio, resized to the whole image (Szegedy et al. 2015, section 6)."""

    scale: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest area, as a share of the image's."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Smallest and largest ratio of width to height, drawn evenly on the logarithmic scale."""

    @model_validator(mode="after")
    def _check_ranges(self) -> ResizedCropSettings:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"expected scale [smallest, largest] in (0, 1], got {list(self.scale)}")
        if not 0 < self.ratio[0] <= 1 <= self.ratio[1]:
            raise ValueError(f"expected ratio [smallest, largest] around 1, got {list(self.ratio)}")
        return self


class RecipeSettings(Settings):
    """What every training method has. Defaults are those of Wang et al. 2023, which PUMA trains with."""

    has_attack: ClassVar[bool] = False
    """Whether images are perturbed."""

    method: str
    """The training method."""
    epochs: int = Field(default=400, gt=0)
    """Epochs; one is `samples_per_epoch` draws."""
    samples_per_epoch: int | None = Field(default=None, gt=0)
    """Draws per epoch, rounded up to whole batches; none: as many as the pool has rows, pruned or not."""
    batch_size: int = Field(default=512, gt=0)
    """Rows per step."""
    synthetic_fraction: float = Field(default=0.7, ge=0, le=1)
    """Share of synthetic rows in each batch; without effect on a pool without synthetic rows."""
    learning_rate: float = Field(default=0.2, gt=0)
    """Peak learning rate of SGD with Nesterov momentum."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum under `schedule: constant`; one-cycle moves it between 0.95 and 0.85, as torch's default does."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay."""
    decay_all: bool | Literal["but_normalisation"] = True
    """True: decay every parameter; false: weights alone, neither biases nor normalisation; `but_normalisation`: all but
    the parameters of torch's normalisation layers, as Wang et al. 2023 do for wide networks."""
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    """Learning-rate schedule; one-cycle anneals by cosine."""
    schedule_unit: Literal["epoch", "step"] = "epoch"
    """Step the schedule once an epoch (Wang et al. 2023) or every batch (PUMA's ImageNet runs)."""
    warmup_fraction: float = Field(default=0.025, gt=0, lt=1)
    """Share of one-cycle in which the rate rises."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Label smoothing of the natural term (of the loss itself for `pgd_at` and `natural`)."""
    averaging: float = Field(default=0.995, ge=0, lt=1)
    """Decay tau of the weight average, per step; 0: none. The average is evaluated and saved."""
    averaging_warmup: float = Field(default=0.025, ge=0, lt=1)
    """Share of the steps before averaging starts."""
    channels_last: bool = False
    """Keep images and convolutions in the channels-last layout: faster on GPUs with tensor cores; rounds otherwise."""
    compile: bool = False
    """Compile the network with torch.compile: faster steps after a slow first one. Needs a C++ compiler."""
    crop_padding: int = Field(default=0, ge=0)
    """Pixels of zero padding for random crops; 0: no crops. 4 is usual for photographs of 32 pixels."""
    horizontal_flip: bool = False
    """Flip half of the images; not where left and right mean something, as in digits."""
    random_resized_crop: ResizedCropSettings | None = Field(default=None, exclude_if=is_none)
    """Random crops of random size, resized to the whole image, as is usual for photographs of 224 pixels; none: no such
    crops. Not with `crop_padding`."""
    dynamic_pruning: DynamicPruningSettings | None = Field(default=None, exclude_if=is_none)
    """Leave rows out of single epochs, which are shorter then; none: each epoch has `samples_per_epoch` draws. Not
    beside a policy that finds epsilons during training."""
    history_images: int = Field(default=500, gt=0)
    """Images for the accuracies in the history (validation rows where the dataset has them, else train rows)."""
    history_every: int = Field(default=1, gt=0)
    """Epochs between measurements for the history."""
    keep_every: int | None = Field(default=None, gt=0)
    """Keep the averaged weights after every so many epochs, and after the last; none: those of the model alone. Changes
    no bit of the model."""
    devices: int = Field(default=1, gt=0)
    """Devices of one machine that share each batch; on a CPU, processes. The result is the same up to rounding."""
    nodes: int = Field(default=1, gt=0, exclude_if=_is_one)
    """Machines that share each batch, with so many `devices` each. The result is the same up to rounding."""
    device_images_gib: float = Field(default=4.0, ge=0)
    """Keep the selected images on the device as uint8 when they need no more than this, else memory-map them."""

    @model_validator(mode="after")
    def _has_one_crop(self) -> Self:
        if self.crop_padding and self.random_resized_crop is not None:
            raise ValueError("expected crop_padding or random_resized_crop, got both")
        return self

    @model_validator(mode="before")
    @classmethod
    def _refuse_foreign(cls, values: Any) -> Any:
        for key in values if isinstance(values, dict) else ():
            names = " or ".join(name for name, other in METHODS.items() if key in other.model_fields)
            if key not in cls.model_fields and names:
                method = next(name for name, other in METHODS.items() if other is cls)
                raise ValueError(f"expected {key} only with method {names}, got method {method}")
        return values

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a method that does not say what a draw costs."""
        super().__pydantic_init_subclass__(**kwargs)
        is_method = get_origin(cls.model_fields["method"].annotation) is Literal
        if is_method and isabstract(cls):
            raise TypeError(f"expected outer_passes of {cls.__name__}, got none; write how often a draw passes")

    @property
    @abstractmethod
    def outer_passes(self) -> tuple[int, int]:
        """Forward and backward passes of a draw outside the inner attack, for cost reports."""

    @property
    def on_one_node(self) -> Self:
        """The recipe with all devices counted together: results show their number, not on which machines they are."""
        return self.model_copy(update={"devices": self.devices * self.nodes, "nodes": 1})

    @property
    def augments(self) -> bool:
        """Whether images are cropped or flipped."""
        return self.crop_padding > 0 or self.horizontal_flip or self.random_resized_crop is not None


class NaturalSettings(RecipeSettings):
    """Natural training: no perturbation.

    Source: Wang et al. 2023 for the recipe.

    Example:
        >>> NaturalSettings(epochs=10, learning_rate=0.1).batch_size
        512
    """

    method: Literal["natural"] = "natural"
    """`natural`."""

    @property
    def outer_passes(self) -> tuple[int, int]:
        """The pass of the image."""
        return 1, 1


class SelectiveSettings(Settings):
    """Attack some rows of a batch alone, near ones the likeliest (Selective Adversarial Training, Ye et al. 2025)."""

    fraction: float = Field(gt=0, lt=1)
    """Share of each batch that is attacked, at least one row; the others stand at their images."""
    warmup_epochs: int = Field(default=0, ge=0)
    """Epochs in which these rows are drawn evenly; after them a row's chance is in proportion to 1 / |logit margin|."""


class AttackedRecipeSettings(RecipeSettings):
    """What the methods share that perturb each batch."""

    has_attack = True
    attack_steps: int = Field(default=10, gt=0)
    """Steps of the inner attack."""
    attack_step_size: PixelAmount | None = None
    """Fixed step on the pixel scale; none: 2 |epsilon_i| / 8, so that small radii are not bounced across."""
    attack_precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network's passes in the inner attack. Weights, losses and the outer step stay float32."""
    attack_statistics: Literal["batch", "running"] = "batch"
    """BatchNorm's in the inner attack: of the batch (Wang et al. 2023), or the running ones (TRADES' authors)."""
    selective: SelectiveSettings | None = None
    """Attack near rows alone; none: every row. Needs `attack_statistics: running`, because fewer rows make others."""
    checkpoint: Literal["last", "best"] = "last"
    """Epoch whose averaged weights the model is: the last, or the best: that with the highest robust accuracy on
    validation rows in the history, the earliest of equals (Rice et al. 2020)."""


class PgdAtSettings(AttackedRecipeSettings):
    """Adversarial training on PGD examples (Madry et al. 2018).

    Source: Madry et al. 2018; the other defaults are those of Wang et al. 2023.

    Example:
        >>> PgdAtSettings(epochs=10, attack_steps=7, attack_step_size="2/255").attack_steps
        7
    """

    method: Literal["pgd_at"] = "pgd_at"
    """`pgd_at`."""

    @property
    def outer_passes(self) -> tuple[int, int]:
        """The pass of the perturbed image; to find near rows, one look at all images."""
        return 1 + (self.selective is not None), 1


class TradesSettings(AttackedRecipeSettings):
    """TRADES: the natural loss, and how far an attack moves the prediction (Zhang et al. 2019).

    Source: Zhang et al. 2019; the other defaults are those of Wang et al. 2023.

    Example:
        >>> recipe = TradesSettings(epochs=100, beta=6, crop_padding=4, horizontal_flip=True)
        >>> recipe.beta, recipe.learning_rate
        (6.0, 0.2)
    """

    method: Literal["trades"] = "trades"
    """`trades`."""
    beta: float = Field(default=5.0, ge=0)
    """Weight of the robust term, beta of TRADES; 5 as in Wang et al. 2023."""

    @property
    def outer_passes(self) -> tuple[int, int]:
        """Those of both images; the attack looks at the image once more where it takes other statistics."""
        return 2 + (self.attack_statistics == "running"), 2


def _method_of(values: Any) -> str:
    method = values.get("method", "trades") if isinstance(values, dict) else getattr(values, "method", "trades")
    return str(method)


TrainingSettings = Annotated[
    Annotated[NaturalSettings, Tag("natural")]
    | Annotated[PgdAtSettings, Tag("pgd_at")]
    | Annotated[TradesSettings, Tag("trades")],
    Discriminator(_method_of),
]
"""The recipe of one training; TRADES where no method is named."""

METHODS = by_kind(TrainingSettings, "method")
"""Settings of each method; the module of a method bears its name."""


def keys_of_other_methods(method: str) -> set[str]:
    """Return the settings that mean nothing to a method, so that an inherited one is dropped."""
    known = set(METHODS[method].model_fields) if method in METHODS else set()
    return {name for settings in METHODS.values() for name in settings.model_fields} - known


def method_module(method: str) -> str:
    """Return the module of a training method, by convention."""
    return f"pumalib.training.methods.{method}"


def read_training(settings: Mapping[str, Any]) -> TrainingSettings:
    """Read a recipe of any method."""
    adapter: TypeAdapter[TrainingSettings] = TypeAdapter(TrainingSettings)
    return adapter.validate_python(settings)

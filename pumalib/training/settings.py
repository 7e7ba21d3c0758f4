"""Settings of training. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from pumalib.settings import PositiveAmount, Settings

METHODS = ("natural", "pgd_at", "trades")
_ONLY_FOR = {
    "beta": ("trades",),
    "attack_steps": ("pgd_at", "trades"),
    "attack_step_size": ("pgd_at", "trades"),
    "attack_precision": ("pgd_at", "trades"),
    "attack_statistics": ("pgd_at", "trades"),
}


class TrainingSettings(Settings):
    """The recipe of one training; defaults are those of Wang et al. 2023, which PUMA trains with."""

    method: Literal["natural", "pgd_at", "trades"] = "trades"
    """`trades` (Zhang et al. 2019), `pgd_at` (Madry et al. 2018) or `natural`."""
    beta: float | None = Field(default=None, ge=0)
    """Weight of the TRADES robust term; none: 5. Only for `trades`."""
    epochs: int = Field(default=400, gt=0)
    """Epochs; one is `samples_per_epoch` draws, whatever the size of the pool."""
    samples_per_epoch: int = Field(default=50_000, gt=0)
    """Draws an epoch; rounded up to whole batches."""
    batch_size: int = Field(default=512, gt=0)
    """Rows a step."""
    synthetic_fraction: float = Field(default=0.7, ge=0, le=1)
    """Share of synthetic rows in each batch; without effect on a pool without synthetic rows."""
    learning_rate: float = Field(default=0.2, gt=0)
    """Peak learning rate of SGD with Nesterov momentum."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum under `schedule: constant`; one-cycle moves it between 0.95 and 0.85, as torch's default does."""
    weight_decay: float = Field(default=5e-4, ge=0)
    """Weight decay."""
    decay_all: bool = True
    """Also decay biases and normalisation parameters."""
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
    attack_steps: int | None = Field(default=None, gt=0)
    """Steps of the inner attack; none: 10."""
    attack_step_size: PositiveAmount | None = None
    """Fixed step on the pixel scale; none: 2 |epsilon_i| / 8, so that small radii are not bounced across."""
    attack_precision: Literal["float32", "bfloat16"] | None = None
    """Of the network's passes in the inner attack; none: float32. Weights, losses and the outer step stay float32."""
    attack_statistics: Literal["batch", "running"] | None = None
    """BatchNorm's in the inner attack: of the batch (none; Wang et al. 2023), or the running ones (TRADES' authors)."""
    channels_last: bool = False
    """Keep images and convolutions in the channels-last layout: faster on GPUs with tensor cores; rounds otherwise."""
    compile: bool = False
    """Compile the network with torch.compile: faster steps after a slow first one. Needs a C++ compiler."""
    crop_padding: int = Field(default=4, ge=0)
    """Pixels of zero padding for random crops; 0: no crops."""
    horizontal_flip: bool = True
    """Flip half of the images."""
    history_images: int = Field(default=500, gt=0)
    """Images for the accuracies in the history (validation rows where the dataset has them, else train rows)."""
    history_every: int = Field(default=1, gt=0)
    """Epochs between measurements for the history."""
    devices: int = Field(default=1, gt=0)
    """Devices of one machine that share each batch; on a CPU, processes. The result is the same up to rounding."""
    device_images_gib: float = Field(default=4.0, ge=0)
    """Keep the selected images on the device as uint8 when they need no more than this, else memory-map them."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_foreign(cls, values: Any) -> Any:
        if isinstance(values, dict):
            method = values.get("method", "trades")
            for name, methods in _ONLY_FOR.items():
                if values.get(name) is not None and method in METHODS and method not in methods:
                    raise ValueError(f"expected {name} only with method {' or '.join(methods)}, got method {method}")
        return values

    @property
    def robust_weight(self) -> float:
        """Beta of TRADES."""
        return 5.0 if self.beta is None else self.beta

    @property
    def inner_steps(self) -> int:
        """Steps of the inner attack."""
        return 10 if self.attack_steps is None else self.attack_steps

    @property
    def attacks_in_bfloat16(self) -> bool:
        """Whether the inner attack looks through a network in bfloat16."""
        return self.attack_precision == "bfloat16"

    @property
    def augments(self) -> bool:
        """Whether images are cropped or flipped."""
        return self.crop_padding > 0 or self.horizontal_flip

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches an epoch."""
        return -(-self.samples_per_epoch // self.batch_size)

    @property
    def num_steps(self) -> int:
        """Steps of the whole training."""
        return self.epochs * self.steps_per_epoch


def keys_of_other_methods(method: str) -> set[str]:
    """Return the settings that mean nothing to a method, so that an inherited one is dropped."""
    return {name for name, methods in _ONLY_FOR.items() if method not in methods}


def method_module(method: str) -> str:
    """Return the module of a training method, by convention."""
    return f"pumalib.training.methods.{method}"


def online_module(policy: str) -> str:
    """Return the module of a policy that finds epsilons during training, by convention."""
    return f"pumalib.training.online.{policy}"

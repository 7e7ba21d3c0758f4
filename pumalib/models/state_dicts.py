"""State dicts in files from elsewhere: safetensors, or torch files read as tensors alone and never unpickled freely."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pumalib.errors import ArtifactError, ConfigError
from pumalib.files.artifacts import expect_readable
from pumalib.models.settings import CheckpointWeights

StateDict = dict[str, Tensor]

_MODEL_KEYS = ("state_dict", "model_state_dict", "model", "net")
_AVERAGED_KEYS = (
    "ema_model_state_dict",
    "model_ema_state_dict",
    "ema_state_dict",
    "state_dict_ema",
    "model_ema",
    "ema",
)
_UNAVERAGED_KEY = "unaveraged_model_state_dict"
"""Beside it, ``model_state_dict`` holds the averaged weights (Wang et al. 2023)."""

_COUNTER = "n_averaged"
"""What ``torch.optim.swa_utils.AveragedModel`` adds to a state dict."""

_NUM_NAMED = 5
"""How many keys an error message names."""


def read_state_dict(path: Path, weights: CheckpointWeights | None = None) -> StateDict:
    """Read the state dict of a checkpoint onto the CPU, under the names in the file.

    Args:
        path: A safetensors file if it ends so, else a torch file.
        weights: Which weights of a file that holds both; None: the only ones it holds.

    Raises:
        ArtifactError: no file, damaged, more than tensors inside, or no state dict.
        ConfigError: weights that the file does not hold, or no choice between two.
    """
    if not path.is_file():
        raise ArtifactError(f"expected a checkpoint, found none at {path}")
    expect_readable(path)
    payload = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    found = _state_dicts(payload)
    if not found:
        raise ArtifactError(
            f"expected a state dict in {path}, at the top or under {', '.join((*_MODEL_KEYS, *_AVERAGED_KEYS))}, "
            f"got {_described(payload)}; save model.state_dict() alone and give that file"
        )
    if weights is None and len(found) > 1:
        raise ConfigError(f"expected weights model or averaged, because {path} holds both, got neither; set weights")
    chosen = weights or next(iter(found))
    if chosen not in found:
        raise ConfigError(f"expected {chosen} weights in {path}, got no weights marked so; leave weights out")
    return found[chosen]


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"expected a whole safetensors file at {path}, got: {error}") from error


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ArtifactError(
            f"expected tensors alone in {path}, got a file that is damaged or could run code when read "
            f"({_reason(error)}); save model.state_dict() alone, where the file is trusted, and give that file"
        ) from error
    except Exception as error:  # damaged bytes raise whatever the reader stumbles over
        reason = str(error).partition("\n")[0]
        raise ArtifactError(f"expected a whole torch file at {path}, got: {reason or type(error).__name__}") from error


def _reason(error: pickle.UnpicklingError) -> str:
    """Find the cause in torch's paragraphs of advice, which would have people run the file."""
    match = re.search(r"(Unsupported|Trying to load unsupported) .*?(?=\. |\.?$)", str(error), re.M)
    return match[0] if match else "torch.load with weights_only=True refuses it"


def _state_dicts(payload: Any) -> dict[CheckpointWeights, StateDict]:
    whole = _as_state_dict(payload)
    if whole is not None:
        return {"model": whole}
    nested = payload if isinstance(payload, Mapping) else {}
    is_marked = _as_state_dict(nested.get(_UNAVERAGED_KEY)) is not None
    keys: dict[CheckpointWeights, tuple[str, ...]] = {
        "model": (_UNAVERAGED_KEY,) if is_marked else _MODEL_KEYS,
        "averaged": ("model_state_dict",) if is_marked else _AVERAGED_KEYS,
    }
    found = {kind: _first(nested, names) for kind, names in keys.items()}
    return {kind: tensors for kind, tensors in found.items() if tensors is not None}


def _first(payload: Mapping[str, Any], keys: tuple[str, ...]) -> StateDict | None:
    found = (_as_state_dict(payload.get(key)) for key in keys)
    return next((tensors for tensors in found if tensors is not None), None)


def _as_state_dict(value: Any) -> StateDict | None:
    if not isinstance(value, Mapping) or not value:
        return None
    if not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items()):
        return None
    return {name: tensor for name, tensor in value.items() if name != _COUNTER}


def _described(payload: Any) -> str:
    if not isinstance(payload, Mapping):
        return f"one {type(payload).__name__}"
    names = [str(key) for key in payload]
    rest = len(names) - _NUM_NAMED
    return f"the keys {', '.join(names[:_NUM_NAMED]) or '(none)'}" + (f" and {rest} more" if rest > 0 else "")

"""Weight files: safetensors with the metadata under one key, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import SCHEMA_VERSIONS, expect_readable, expect_version, writing
from pumalib.files.origin import Origin
from pumalib.files.provenance import library_versions
from pumalib.models.weight_digest import DIGEST, add_tensor, start_digest

_KEY = "pumalib"
"""The only metadata key: safetensors writes several in random order, and byte equality would be lost."""

_NUM_NAMED = 3
"""How many tensors an error message names."""


def save_weights(
    model: nn.Module | Mapping[str, Tensor], path: str | os.PathLike[str], metadata: Mapping[str, Any]
) -> None:
    """Write the state dict of a model; equal weights and metadata give equal bytes.

    Args:
        model: Its parameters and persistent buffers are written, wherever they live; or a state dict itself.
        path: The file, put in place by a rename once it is complete; missing folders are made.
        metadata: What JSON can hold, without NaN and infinity; its order does not matter.
    """
    # Copies, because safetensors refuses tensors that share memory (tied weights) or are not contiguous.
    tensors = {
        name: tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)
        for name, tensor in (model.state_dict() if isinstance(model, nn.Module) else model).items()
    }
    text = json.dumps({**metadata, DIGEST: _digest(metadata, tensors)}, sort_keys=True, allow_nan=False)
    with writing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={_KEY: text}))  # its `save_file` lets no one else read the file


def write_weights(
    model: nn.Module | Mapping[str, Tensor],
    path: str | os.PathLike[str],
    kind: str,
    origin: Origin,
    described: Mapping[str, Any],
) -> None:
    """Write the state dict of a model of this library, with what made it.

    Args:
        model: as in `save_weights`.
        path: as in `save_weights`.
        kind: `model` or `generator`.
        origin: what made it.
        described: what is needed to build the network again.
    """
    schema = {"schema": f"puma.{kind}", "schema_version": SCHEMA_VERSIONS[kind]}
    save_weights(model, path, {**schema, **described, **origin.described(path), "library_versions": library_versions()})


def _digest(metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Hash metadata, and names, types, shapes and values of tensors on the CPU."""
    digest = start_digest(metadata)
    for name in sorted(tensors):
        tensor = tensors[name]
        add_tensor(digest, name, str(tensor.dtype).removeprefix("torch."), list(tensor.shape))
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return str(digest.hexdigest())


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what ``save_weights`` was given as metadata, without the weights.

    Raises:
        ArtifactError: the file is missing, damaged, or not written by ``save_weights``.
    """
    return _read(Path(path))[0]


def read_described(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Read what `write_weights` wrote beside the weights.

    Raises:
        ArtifactError: the file is missing, damaged, of another kind, or of a version that this library does not read.
    """
    metadata = read_metadata(path)
    if metadata.get("schema") != f"puma.{kind}":
        raise ArtifactError(f"expected puma.{kind}, got {metadata.get('schema')} at {path}; give the {kind}'s weights")
    expect_version(kind, metadata.get("schema_version"), path)
    if not isinstance(metadata.get("inputs"), dict):
        raise ArtifactError(f"expected what the weights were made from in {path}, got {metadata.get('inputs')!r:.80}")
    return metadata


def expect_tensors(expected: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Refuse a weight file with other names or shapes of tensors, without reading their numbers.

    Raises:
        ArtifactError: it is one.
    """
    with _open(Path(path)) as file:
        found = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    wanted = {name: list(tensor.shape) for name, tensor in expected.items()}
    wrong = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if wrong:
        raise ArtifactError(
            f"{path} does not fit the model: {_some(sorted(wrong))}; trained for another architecture or class count?"
        )


def load_weights(model: nn.Module, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Load weights into a model of the same architecture and return their metadata.

    The model stays as it was if the file is refused.

    Raises:
        ArtifactError: the file is missing, damaged, not from ``save_weights``, or of another architecture.
    """
    metadata, tensors = _read(Path(path))
    wrong = misfit(model.state_dict(), tensors)
    if wrong:
        raise ArtifactError(f"{path} does not fit the model: {wrong}; trained for another architecture or class count?")
    model.load_state_dict(tensors)
    return metadata


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with _open(path) as file:
        metadata = _metadata(file, path)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    digest = metadata.pop(DIGEST, None)
    if digest is not None and digest != _digest(metadata, tensors):
        raise ArtifactError(f"expected the weights at {path} as they were written, got a damaged file; train it again")
    return metadata, tensors


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise ArtifactError(f"expected a weight file, found none at {path}")
    expect_readable(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"expected a whole safetensors file at {path}, got: {error}") from error


def _metadata(file: Any, path: Path) -> dict[str, Any]:
    text = (file.metadata() or {}).get(_KEY)
    if text is None:
        raise ArtifactError(f'expected metadata "{_KEY}" in {path}, got none: the file is from elsewhere')
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f'expected JSON as metadata "{_KEY}" in {path}, got: {error}') from error
    if not isinstance(metadata, dict):
        raise ArtifactError(f'expected a JSON object as metadata "{_KEY}" in {path}, got {text[:80]}')
    return metadata


def misfit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Describe how tensors differ from the expected ones in name, shape or kind of number; empty if they do not."""
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    reshaped = [
        f"{name} (expected {list(expected[name].shape)}, got {list(tensor.shape)})"
        for name, tensor in found.items()
        if name in expected and expected[name].shape != tensor.shape
    ]
    other_kind = [
        f"{name} (expected {_spelled(expected[name])}, got {_spelled(tensor)})"
        for name, tensor in found.items()
        if name in expected and _kind(expected[name]) != _kind(tensor)
    ]
    groups = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": reshaped,
        "of another kind of number": other_kind,
    }
    return "; ".join(f"{kind}: {_some(names)}" for kind, names in groups.items() if names)


_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.int64, torch.int32)


def _kind(tensor: Tensor) -> str:
    """Return `float` or `integer` for numbers of which one width stands for another, else the type itself."""
    if tensor.dtype in _FLOATS:
        return "float"
    return "integer" if tensor.dtype in _INTEGERS else _spelled(tensor)


def _spelled(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _some(names: list[str]) -> str:
    rest = len(names) - _NUM_NAMED
    return ", ".join(names[:_NUM_NAMED]) + (f" and {rest} more" if rest > 0 else "")

"""The digest of a weight file, taken from the bytes of the file. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DIGEST = "digest"
"""Its key among the metadata: a hash of everything else; a changed bit is noticed by it."""

_TORCH_NAMES = {
    "BF16": "bfloat16",
    "BOOL": "bool",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
}
_CHUNK = 1 << 20


def start_digest(metadata: Mapping[str, Any]) -> Any:
    """Return a hash of the metadata, to which `add_tensor` adds the tensors in the order of their names."""
    return hashlib.sha256(json.dumps(metadata, sort_keys=True, allow_nan=False).encode())


def add_tensor(digest: Any, name: str, dtype: str, shape: list[int]) -> None:
    """Add the name of a tensor, its type as torch calls it, and its shape; its bytes are to follow."""
    digest.update(f"{name}:torch.{dtype}:{shape}".encode())


def digest_of_file(path: Path, metadata: Mapping[str, Any]) -> str:
    """Hash metadata, and names, types, shapes and values of the tensors in a safetensors file.

    Args:
        path: of a file that safetensors has opened, and so found whole.
        metadata: of the file, without the digest.

    Raises:
        KeyError: a type that no weight file of this library has.
    """
    digest = start_digest(metadata)
    with open(path, "rb") as file:
        head_bytes = int.from_bytes(file.read(8), "little")
        tensors = json.loads(file.read(head_bytes))
        tensors.pop("__metadata__", None)
        for name in sorted(tensors):
            told = tensors[name]
            add_tensor(digest, name, _TORCH_NAMES[told["dtype"]], told["shape"])
            first, end = told["data_offsets"]
            file.seek(8 + head_bytes + first)
            for block in _blocks(end - first):
                digest.update(file.read(block))
    return str(digest.hexdigest())


def _blocks(size: int) -> Iterator[int]:
    for start in range(0, size, _CHUNK):
        yield min(_CHUNK, size - start)

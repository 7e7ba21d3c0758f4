"""Weight files: their tensors, read without torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from safetensors import safe_open

from pumalib.inspection.inspection import Inspection, Table, distribution
from pumalib.lineage.headers import Header


def describe_weights(header: Header, what: str, facts: dict[str, Any]) -> Inspection:
    """Describe the tensors of a weight file.

    Args:
        header: of the file.
        what: the sentence.
        facts: what the kind adds.
    """
    with safe_open(header.path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    rows = [(name, " x ".join(map(str, tensor.shape)) or "1", str(tensor.dtype)) for name, tensor in tensors.items()]
    shared = {
        "image_shape": header.attributes["image_shape"],
        "classes": len(header.attributes["class_names"]),
        "tensors": len(tensors),
        "numbers": sum(math.prod(tensor.shape) for tensor in tensors.values()),
    }
    floats = [tensor.ravel() for tensor in tensors.values() if np.issubdtype(tensor.dtype, np.floating)]
    weights = distribution("weights", np.concatenate(floats) if floats else [])
    return Inspection(
        what, {**facts, **shared}, (Table("tensors", ("tensor", "shape", "type"), tuple(rows)),), (weights,)
    )

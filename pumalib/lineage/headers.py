"""What a file of any kind says about itself. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from safetensors import SafetensorError, safe_open

from pumalib.artifacts import SCHEMA_VERSIONS, open_artifact
from pumalib.errors import ArtifactError

WEIGHT_VERSIONS = {"model": 1, "generator": 1}
"""Kinds of weight files, and their versions."""

_COMMON = ("schema", "schema_version", "settings", "inputs", "code", "library_versions")
_WEIGHTS_KEY = "pumalib"
_NOUNS = {"scores": "score table", "attack": "attack table", "synthetic": "synthetic set", "learned": "learned set"}
_WITHOUT_HEADER = (".csv", ".json", ".log", ".md", ".png", ".svg", ".tsv", ".txt", ".yaml")


@dataclass(frozen=True)
class Header:
    """What a file says about itself.

    Attributes:
        path: where it lies.
        kind: such as `scores` or `model`; see docs/artifacts.md.
        settings: the slice of the study that made it.
        inputs: fingerprints of what it was made from, by name.
        code: hash of each module that made it.
        library_versions: of the libraries under it.
        attributes: everything else that stands beside the data, such as `pool_fingerprint`.
    """

    path: Path
    kind: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    code: Mapping[str, str]
    library_versions: Mapping[str, str]
    attributes: Mapping[str, Any]

    @property
    def noun(self) -> str:
        """Return the kind as a sentence names it, such as `an attack table`."""
        name = _NOUNS.get(self.kind, self.kind)
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def read_header(path: str | Path) -> Header:
    """Read what an HDF5 or weight file says about itself, without its data.

    Raises:
        ArtifactError: missing, damaged, from elsewhere, or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"expected a file of a study, found nothing at {path}")
    if path.suffix in _WITHOUT_HEADER:
        raise ArtifactError(
            f"expected an HDF5 or safetensors file of a study, got {path}; a text editor or a viewer opens it"
        )
    return _read_weights(path) if path.suffix == ".safetensors" else _read_hdf5(path)


def _read_hdf5(path: Path) -> Header:
    kind = _kind_of(path)
    with open_artifact(path, kind) as file:
        described = {name: json.loads(file.attrs[name]) for name in _COMMON[2:]}
        others = {name: _plain(value) for name, value in file.attrs.items() if name not in _COMMON}
    return Header(path, kind, attributes=others, **described)


def _kind_of(path: Path) -> str:
    try:
        with h5py.File(path, "r") as file:
            schema = str(file.attrs.get("schema", "none"))
    except OSError as error:
        raise ArtifactError(
            f"expected an HDF5 or safetensors file of a study, got a damaged or foreign file at {path} ({error})"
        ) from None
    kind = schema.removeprefix("puma.")
    if kind not in SCHEMA_VERSIONS:
        known = ", ".join(f"puma.{name}" for name in SCHEMA_VERSIONS)
        raise ArtifactError(f"expected one of the schemas {known}, got {schema} at {path}; the file is from elsewhere")
    return kind


def _plain(value: Any) -> Any:
    """Turn an attribute into what JSON holds."""
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _read_weights(path: Path) -> Header:
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(_WEIGHTS_KEY)
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"expected a whole safetensors file at {path}, got: {error}") from None
    if text is None:
        raise ArtifactError(f'expected metadata "{_WEIGHTS_KEY}" in {path}, got none: the file is from elsewhere')
    metadata = json.loads(text)
    kind = str(metadata.get("schema", "none")).removeprefix("puma.")
    if WEIGHT_VERSIONS.get(kind) != metadata.get("schema_version"):
        raise ArtifactError(
            f"expected puma.model or puma.generator, version 1, got {metadata.get('schema')} "
            f"version {metadata.get('schema_version')} at {path}; train it again"
        )
    described = {name: metadata.get(name, {}) for name in _COMMON[2:]}
    others = {name: value for name, value in metadata.items() if name not in _COMMON}
    return Header(path, kind, attributes=others, **described)

"""What a file of any kind says about itself. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import expect_readable, kind_of, open_artifact
from pumalib.models.weight_digest import DIGEST, digest_of_file

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
    with open_artifact(path, None) as file:
        described = {name: json.loads(file.attrs[name]) for name in _COMMON[2:]}
        others = {name: _plain(value) for name, value in file.attrs.items() if name not in _COMMON}
        return Header(path, kind_of(file), attributes=others, **described)


def _plain(value: Any) -> Any:
    """Turn an attribute into what JSON holds."""
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _read_weights(path: Path) -> Header:
    expect_readable(path)
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(_WEIGHTS_KEY)
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"expected a whole safetensors file at {path}, got: {error}") from None
    if text is None:
        raise ArtifactError(f'expected metadata "{_WEIGHTS_KEY}" in {path}, got none: the file is from elsewhere')
    metadata = _whole_metadata(path, text)
    kind = str(metadata.get("schema", "none")).removeprefix("puma.")
    if WEIGHT_VERSIONS.get(kind) != metadata.get("schema_version"):
        raise ArtifactError(
            f"expected puma.model or puma.generator, version 1, got {metadata.get('schema')} "
            f"version {metadata.get('schema_version')} at {path}; train it again"
        )
    described = {name: metadata.get(name, {}) for name in _COMMON[2:]}
    others = {name: value for name, value in metadata.items() if name not in _COMMON}
    return Header(path, kind, attributes=others, **described)


def _whole_metadata(path: Path, text: str) -> dict[str, Any]:
    """Return the metadata of a weight file without its digest, which is held to the file."""
    try:
        metadata: dict[str, Any] = json.loads(text)
        recorded = metadata.pop(DIGEST, None)
        is_whole = recorded is None or recorded == digest_of_file(path, metadata)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactError(f"expected weights of this library at {path}, got a damaged file ({error!r})") from None
    if not is_whole:
        raise ArtifactError(f"expected the weights at {path} as they were written, got a damaged file; train it again")
    return metadata

"""What a file of any kind says about itself. Imports no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import WEIGHTS, expect_readable, expect_version, kind_of, open_artifact
from pumalib.files.origin import Input, inputs_from, results_folder_of
from pumalib.models.weight_digest import DIGEST, digest_of_file

_DESCRIBED = ("settings", "inputs", "code", "library_versions")
_COMMON = ("schema", "schema_version", *_DESCRIBED)
_WEIGHTS_KEY = "pumalib"
_NOUNS = {"scores": "score table", "attack": "attack table", "synthetic": "synthetic set", "learned": "learned set"}
_WITHOUT_HEADER = (".csv", ".json", ".log", ".md", ".png", ".svg", ".tsv", ".txt", ".yaml")


@dataclass(frozen=True)
class Header:
    """What a file says about itself.

    Attributes:
        path: where it lies.
        kind: such as `scores` or `model`; see docs/artifacts.md.
        version: of its schema. Version 1 recorded fingerprints of inputs, and not where they lie.
        settings: the slice of the study that made it.
        inputs: what it was made from, by role; without paths where the file lies elsewhere than it was made.
        code: hash of each module that made it.
        library_versions: of the libraries under it.
        attributes: everything else that stands beside the data, such as `pool_fingerprint`.
    """

    path: Path
    kind: str
    version: int
    settings: Mapping[str, Any]
    inputs: Mapping[str, Input]
    code: Mapping[str, str]
    library_versions: Mapping[str, str]
    attributes: Mapping[str, Any]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of each input, by role."""
        return {role: one.fingerprint for role, one in self.inputs.items()}

    @property
    def run_folder(self) -> Path:
        """Folder that the workflow ran in, as far as the place of the file tells; else the current one."""
        results = results_folder_of(self.path, str(self.attributes.get("place", "")))
        return Path() if results is None else Path(os.path.normpath(results / "../.."))

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
        described = {name: json.loads(file.attrs[name]) for name in _DESCRIBED}
        others = {name: _plain(value) for name, value in file.attrs.items() if name not in _COMMON}
        return _header(path, kind_of(file), int(file.attrs["schema_version"]), described, others)


def _header(path: Path, kind: str, version: int, described: dict[str, Any], others: dict[str, Any]) -> Header:
    folder = results_folder_of(path, str(others.get("place", "")))
    described["inputs"] = inputs_from(described["inputs"], folder)
    return Header(path, kind, version, attributes=others, **described)


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
    if kind not in WEIGHTS:
        raise ArtifactError(
            f"expected puma.model or puma.generator, got {metadata.get('schema')} at {path}; the file is from elsewhere"
        )
    version = metadata.get("schema_version")
    expect_version(kind, version, path)
    described = {name: metadata.get(name, {}) for name in _DESCRIBED}
    others = {name: value for name, value in metadata.items() if name not in _COMMON}
    return _header(path, kind, int(version or 0), described, others)


def _whole_metadata(path: Path, text: str) -> dict[str, Any]:
    """Return the metadata of a weight file without its digest, which is held to the file."""
    try:
        metadata: dict[str, Any] = json.loads(text)
        recorded = metadata.pop(DIGEST, None)
        is_whole = recorded is None or recorded == digest_of_file(path, metadata)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"expected weights of this library at {path}, got a damaged file ({error!r})") from None
    if not is_whole:
        raise ArtifactError(f"expected the weights at {path} as they were written, got a damaged file; train it again")
    return metadata

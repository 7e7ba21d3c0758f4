"""What made a file: settings, inputs and code, as its header records them.

Inputs are recorded by path and by fingerprint. Paths are relative to the results folder of the study, so that a folder
that is moved as a whole still tells where its files came from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Input:
    """One thing that a file was made from.

    Attributes:
        path: where it lies; None: it is known by its fingerprint alone.
        fingerprint: of its content.
        part: which split of a dataset was read; "": all of the file.
    """

    path: Path | None
    fingerprint: str
    part: str = ""


USERS = "files"


def user_role(path: str) -> str:
    """Return the role of a user's own file or folder, which is known by its content and has no header of ours."""
    return f"{USERS} {path}"


@dataclass(frozen=True)
class Origin:
    """What made a file.

    Attributes:
        settings: the slice of the study that made it.
        inputs: what it was made from, by role.
        code: fingerprint of each module that made it, by module name.
        folder: results folder of the study; None: the file's own folder.
        precision: of what a network computed for it: `float32`, or `tf32` where a device was allowed to; None: not
            known, or no network took part.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Input] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    precision: str | None = None

    def described(self, path: str | os.PathLike[str]) -> dict[str, Any]:
        """Return what the header of the file at `path` records.

        Returns:
            `settings`, `inputs` and `code` as JSON holds them, `place`: the file's own path in the results folder, and
            `precision` where it is known.
        """
        known = {} if self.precision is None else {"precision": self.precision}
        return {
            **known,
            "settings": dict(self.settings),
            "inputs": self.inputs_seen_from(path),
            "code": dict(self.code),
            "place": Path(os.path.relpath(path, self._folder_of(path))).as_posix(),
        }

    def inputs_seen_from(self, path: str | os.PathLike[str]) -> dict[str, dict[str, str]]:
        """Return the inputs as the header of the file at `path` records them: with paths in the results folder."""
        folder = self._folder_of(path)
        return {role: _described(one, folder) for role, one in self.inputs.items()}

    def _folder_of(self, path: str | os.PathLike[str]) -> Path:
        return Path(path).parent if self.folder is None else self.folder

    @property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprint of each input, by role."""
        return {role: one.fingerprint for role, one in self.inputs.items()}


NO_ORIGIN = Origin()
"""Of a file that someone makes by hand."""


@dataclass(frozen=True)
class Maker:
    """What a job records of itself in every file that it makes.

    Attributes:
        code: the code fingerprint in the rule's params.
        folder: results folder of the study; None: that of each file.
        precision: see `Origin`.
    """

    code: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    precision: str | None = None

    def origin(self, settings: Mapping[str, Any], inputs: Mapping[str, Input]) -> Origin:
        """Return the origin of a file that this job makes."""
        return Origin(settings, inputs, self.code, self.folder, self.precision)


NOBODY = Maker()
"""Someone who calls the library from elsewhere."""


def _described(one: Input, folder: Path) -> dict[str, str]:
    described = {"fingerprint": one.fingerprint}
    if one.path is not None:
        described["path"] = _relative(one.path, folder)
    if one.part:
        described["part"] = one.part
    return described


def _relative(path: Path, folder: Path) -> str:
    """Return a path from the results folder; what a study names by an absolute path is recorded as it is named."""
    if path.is_absolute() and not folder.is_absolute():
        return path.as_posix()
    return Path(os.path.relpath(path, folder)).as_posix()


def fingerprint_in(inputs: Mapping[str, Any], role: str) -> str:
    """Return the fingerprint that a header recorded of an input; "": none.

    Args:
        inputs: as the header has them: of schema 2, or of schema 1, which recorded fingerprints alone.
        role: of the input.
    """
    recorded = inputs.get(role, "")
    return str(recorded.get("fingerprint", "")) if isinstance(recorded, Mapping) else str(recorded)


def inputs_from(described: Mapping[str, Any], folder: Path | None) -> dict[str, Input]:
    """Return the inputs that a header describes.

    Args:
        described: as in the header.
        folder: results folder that the file lies in; None: not known, and so no path is.
    """
    return {role: _read_input(role, described, folder) for role in described}


def _read_input(role: str, described: Mapping[str, Any], folder: Path | None) -> Input:
    fingerprint, recorded = fingerprint_in(described, role), described[role]
    if not isinstance(recorded, Mapping) or "path" not in recorded or folder is None:
        return Input(None, fingerprint)
    return Input(Path(os.path.normpath(folder / recorded["path"])), fingerprint, str(recorded.get("part", "")))


def results_folder_of(path: Path, place: str) -> Path | None:
    """Return the results folder that a file lies in, by the place it records; None: it lies elsewhere today."""
    parts = Path(place).parts
    absolute = Path(os.path.abspath(path))
    if not parts or absolute.parts[-len(parts) :] != parts:
        return None
    return Path(os.path.normpath(path.parent / Path(*[".."] * (len(parts) - 1))))

"""What each file was made from: which files, and the fingerprints it recorded of them. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pumalib.errors import ArtifactError
from pumalib.lineage.headers import Header

_NEAREST = ("model", "checkpoint", "selection", "score", "track", "generator", "pool", "dataset")
"""Roles in the order in which a chain tells of them; all others follow."""

_ALWAYS = {
    "attack": ("model", "dataset"),
    "generator": ("dataset",),
    "learned": ("pool",),
    "model": ("selection", "pool"),
    "scores": ("pool",),
    "selection": ("pool",),
    "track": ("selection", "pool"),
}
"""Roles that every file of a kind records, whatever its settings; pools and synthetic sets record one or another."""


@dataclass(frozen=True)
class Link:
    """One thing that a file was made from.

    Attributes:
        role: what it is to the file, such as `model`.
        path: where it should lie; None: nothing with the recorded fingerprint is there, `problem` says so.
        recorded: the fingerprint that the file recorded; "": none.
        split: for a dataset, which split was read.
        problem: why there is no path.
    """

    role: str
    path: Path | None
    recorded: str = ""
    split: str = ""
    problem: str = ""


def links_of(header: Header) -> list[Link]:
    """Return what a file was made from, the nearest first; a dataset, or a user's own file, is where the chain ends.

    Inputs that a file knows by their fingerprint alone are no links: another file on the way is held to them.

    Raises:
        ArtifactError: the file does not lie where it was made, or does not record what its kind should.
    """
    _expect_recorded(header)
    links = [
        Link(f"{role} ({one.part})" if one.part else role, one.path, one.fingerprint, one.part)
        for role, one in header.inputs.items()
        if one.path is not None
    ]
    if header.inputs and not links and header.kind != "dataset":
        raise ArtifactError(
            f"expected {header.path} at its place {header.attributes.get('place')} in the results folder of its study, "
            "got it elsewhere; files that belong together are found by their places"
        )
    return sorted(links, key=_distance)


def _expect_recorded(header: Header) -> None:
    """Refuse a file whose chain would end too early without a word."""
    always = () if is_imported(header) else _ALWAYS.get(header.kind, ())
    absent = [repr(role) for role in always if role not in header.inputs]
    if not header.inputs and header.kind != "dataset":
        absent.append("an input")
    if absent:
        raise ArtifactError(
            f"expected {absent[0]} among what {header.noun} records of its origin, found none in {header.path}; "
            "make it again with this version of pumalib"
        )


def is_imported(header: Header) -> bool:
    """Say whether a file is a model that was trained elsewhere: of all that made it, it knows a checkpoint alone."""
    return header.kind == "model" and header.inputs.keys() == {"checkpoint"}


def _distance(link: Link) -> tuple[int, str]:
    kind = link.role.split(" ")[0]
    return (_NEAREST.index(kind) if kind in _NEAREST else len(_NEAREST)), link.role


def input_path(header: Header, role: str) -> Path:
    """Return where an input of a file lies.

    Raises:
        ArtifactError: the file does not lie where it was made, or has no such input.
    """
    one = header.inputs.get(role)
    if one is None or one.path is None:
        raise ArtifactError(
            f"expected to find the {role} of {header.path} by where that file lies, got it outside the results folder "
            "of its study; put it back"
        )
    return one.path

"""The fingerprint of a file's content, taken anew, and whether it is what the file says of itself. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

from pumalib.data.image_groups import fingerprint_of_group
from pumalib.data.selection import read_selection
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import content_fingerprint, file_fingerprint, open_artifact
from pumalib.lineage.headers import Header
from pumalib.scores.table import read_scores


def fingerprint_of(header: Header, split: str = "") -> str:
    """Take the fingerprint by which other files know a file.

    Args:
        header: of the file.
        split: for a dataset, which split is meant.

    Raises:
        ArtifactError: the content is not that of the fingerprint which the file carries, or is damaged.
    """
    match header.kind:
        case "dataset":
            return _images_fingerprint(header, split)
        case "synthetic" | "learned":
            return _images_fingerprint(header, "/")
        case "pool":
            return _pool_fingerprint(header)
        case "selection":
            return read_selection(header.path).fingerprint
        case "scores":
            return scores_fingerprint(header.path)
    return file_fingerprint(header.path)


def scores_fingerprint(path: Path) -> str:
    """Take the fingerprint of the scores in a table, and of which rows have one."""
    table = read_scores(path)
    return content_fingerprint(table.score, table.valid)


def _images_fingerprint(header: Header, group: str) -> str:
    with open_artifact(header.path, header.kind) as file:
        if group not in file:
            raise ArtifactError(f"expected a {group} split in {header.path}, found none; make it again")
        return _expect_carried(fingerprint_of_group(file[group]), str(file[group].attrs["fingerprint"]), header.path)


def _pool_fingerprint(header: Header) -> str:
    """Take it from the sources that the pool names; each of those is held to its own content where it stands."""
    parts = [str(part["fingerprint"]) for part in json.loads(header.attributes["sources"])]
    return _expect_carried(content_fingerprint(*parts), str(header.attributes["pool_fingerprint"]), header.path)


def _expect_carried(found: str, carried: str, path: Path) -> str:
    if found != carried:
        raise ArtifactError(
            f"expected content with the fingerprint {carried[:12]} that the file carries, got {found[:12]} in {path}; "
            "it was changed after it was made: delete it and run again"
        )
    return found

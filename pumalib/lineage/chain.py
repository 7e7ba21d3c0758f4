"""The chain of files behind a file, back to the dataset, with every recorded fingerprint held to what lies there.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from pumalib.errors import ArtifactError, PumaError, ResourceError
from pumalib.files.artifacts import content_fingerprint
from pumalib.files.origin import USERS
from pumalib.files.watched import content_digest
from pumalib.lineage import version_1
from pumalib.lineage.fingerprints import fingerprint_of
from pumalib.lineage.headers import Header, read_header
from pumalib.lineage.links import Link, links_of
from pumalib.lineage.places import place_of
from pumalib.scores.table import ScoreTable, read_scores


@dataclass(frozen=True)
class Node:
    """One file of a chain.

    Attributes:
        role: what it is to the file above it.
        path: where it lies, or should; "": nothing is known of it but its fingerprint.
        header: what it says about itself; None: not there, damaged, or of another library.
        seed: that made it; None: it does not differ from seed to seed.
        recorded: the fingerprint that the file above recorded; "": none.
        found: the fingerprint of its content now; "": could not be taken.
        problems: in what it is not what made the file above.
        inputs: what it was made from; empty where `is_repeated`.
        is_repeated: the file stands in the chain already, further up.
    """

    role: str
    path: str
    header: Header | None
    seed: int | None
    recorded: str
    found: str
    problems: tuple[str, ...]
    inputs: tuple[Node, ...]
    is_repeated: bool = False

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it, the nearest branch first."""
        yield self
        for node in self.inputs:
            yield from node.walk()

    @property
    def all_problems(self) -> list[str]:
        """Problems of the whole chain, each once."""
        return list(dict.fromkeys(problem for node in self.walk() for problem in node.problems))


class Tracer:
    """Follows files back to the datasets; a file that is met again is not followed again."""

    def __init__(self) -> None:
        self._found: dict[tuple[Path, str], tuple[str, tuple[str, ...]]] = {}
        self._followed: set[Path] = set()

    def trace(self, path: Path) -> Node:
        """Return the chain behind a file that must be there.

        Raises:
            ArtifactError: the file is missing, damaged, from elsewhere, or not where a study puts it.
        """
        header = read_header(path)
        chain_links(header)
        return self.follow(Link(header.kind, path))

    def follow(self, link: Link) -> Node:
        """Return the chain behind a link; what is wrong with it is written down, not raised."""
        if link.path is None:
            return _lost(link, link.problem)
        if not link.path.exists():
            return _lost(link, f"expected the {link.role} at {link.path}, found nothing")
        try:
            header = None if _is_foreign(link) else read_header(link.path)
            found, problems = self._fingerprint(link, header)
        except (ArtifactError, ResourceError) as error:
            return _lost(link, str(error))
        is_repeated = link.path in self._followed
        self._followed.add(link.path)
        seed, inputs, of_inputs = (None, (), ()) if header is None else self._origin(header, is_repeated)
        problems = (*problems, *_disagreement(link, found), *of_inputs)
        return Node(link.role, str(link.path), header, seed, link.recorded, found, problems, inputs, is_repeated)

    def _fingerprint(self, link: Link, header: Header | None) -> tuple[str, tuple[str, ...]]:
        """Return the fingerprint of a file's content, and what is wrong with the content; taken once a file."""
        assert link.path is not None
        split = link.split or "train"
        key = (link.path, split)
        if key not in self._found:
            try:
                found = _content_of(link.path) if header is None else fingerprint_of(header, split)
                self._found[key] = (found, ())
            except PumaError as error:
                self._found[key] = ("", (str(error),))
        return self._found[key]

    def _origin(self, header: Header, is_repeated: bool) -> tuple[int | None, tuple[Node, ...], tuple[str, ...]]:
        """Return the seed of a file, what it was made from unless that was told, and what does not agree with it."""
        try:
            seed = _seed_of(header)
            nodes = () if is_repeated else tuple(self.follow(link) for link in chain_links(header))
        except (ArtifactError, ResourceError) as error:
            return None, (), (str(error),)
        check = {"scores": _score_problems, "selection": _selection_problems}.get(header.kind)
        return seed, nodes, tuple(check(header, nodes)) if check and nodes else ()


def chain_links(header: Header) -> list[Link]:
    """Return what a file was made from, whatever the version of its schema.

    Raises:
        ArtifactError: it does not lie where it was made.
    """
    return version_1.links_of(header) if header.version == 1 else links_of(header)


def _content_of(path: Path) -> str:
    """Read a user's own file or folder whole, without what was remembered of it."""
    with TemporaryDirectory() as memory:
        return content_digest(path, Path(memory))


def _lost(link: Link, problem: str) -> Node:
    """Return the node of a file that is not there or cannot be read."""
    return Node(link.role, str(link.path or ""), None, None, link.recorded, "", (problem,), ())


def _disagreement(link: Link, found: str) -> tuple[str, ...]:
    """Hold the fingerprint that was recorded of a file to that of its content, where both are known."""
    if not link.recorded or not found or found == link.recorded:
        return ()
    recorded = f"expected the {link.role} with the recorded fingerprint {link.recorded[:12]}"
    return (f"{recorded}, got {found[:12]} at {link.path}",)


def _is_foreign(link: Link) -> bool:
    """Say whether a file is a user's own: images, or a checkpoint of another library."""
    if link.role.split(" ")[0] == USERS:
        return True
    if link.role != "checkpoint" or link.path is None:
        return False
    try:
        read_header(link.path)
    except ArtifactError:
        return True
    return False


def _seed_of(header: Header) -> int | None:
    """Return the seed that made a file."""
    if header.kind == "dataset":
        return int(header.attributes["split_seed"])
    return place_of(header.path).seed


def _score_problems(header: Header, nodes: tuple[Node, ...]) -> Iterator[str]:
    """Hold a score table to its tracks, whose fingerprint it has together, and to its shards, row by row."""
    tracks = [node for node in nodes if node.role.startswith("track")]
    if tracks and all(node.found for node in tracks):
        found = content_fingerprint(*[node.found for node in tracks])
        recorded = header.inputs["model"].fingerprint
        if found != recorded:
            yield (
                f"expected tracks with the fingerprint {recorded[:12]} that {header.path} recorded, "
                f"got {found[:12]} at {', '.join(node.path for node in tracks)}"
            )
    shards = [node.path for node in nodes if node.role.startswith("shard") and node.found]
    table = read_scores(header.path) if shards else None
    for path in shards:
        assert table is not None
        if not _is_part(read_scores(path), table):
            yield f"expected the rows of {path} in {header.path}, got other scores there"


def _is_part(shard: ScoreTable, table: ScoreTable) -> bool:
    rows = slice(shard.first_row, shard.first_row + len(shard.score))
    is_same = np.array_equal(shard.score, table.score[rows], equal_nan=True)
    return is_same and np.array_equal(shard.valid, table.valid[rows])


def _selection_problems(header: Header, nodes: tuple[Node, ...]) -> Iterator[str]:
    """Hold a selection to the models that its scores were looked through."""
    for node in nodes:
        name = node.role.removeprefix("score ")
        model = header.inputs.get(f"model of score {name}")
        if node.header is None or model is None or node.header.kind != "scores":
            continue
        found = node.header.attributes["model_fingerprint"]
        if found != model.fingerprint:
            yield (
                f"expected score {name} through the model {model.fingerprint[:12]} that {header.path} recorded, "
                f"got {found[:12] or 'none'} at {node.path}"
            )

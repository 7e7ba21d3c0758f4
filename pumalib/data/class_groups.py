"""Groups of classes as the classes of a dataset, found by a user's own files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pumalib.data.array_pickles import bytes_of
from pumalib.data.class_trees import Grouping, group_classes, parse_tree
from pumalib.data.settings import ClassTreeSettings
from pumalib.errors import DataError
from pumalib.files.plain_text import visible


class ClassRow(NamedTuple):
    """What became of a class.

    Attributes:
        name: as its source has it: a node of the tree.
        words: its names for people; "": none are known.
        node: of the group that it is in.
        group: name of that group.
        is_kept: whether the group is a class of the dataset; else its rows are left out.
        images: that the size of the group counts.
    """

    name: str
    words: str
    node: str
    group: str
    is_kept: bool
    images: int


@dataclass(frozen=True)
class ClassGroups:
    """Which class went where.

    Attributes:
        rows: one of each class, in the order of the tree.
        num_wanted: groups that were asked for.
        num_divisions: how many groups were divided on the way.
    """

    rows: tuple[ClassRow, ...]
    num_wanted: int
    num_divisions: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the groups that are kept, in label order, which is that of the tree."""
        return tuple(dict.fromkeys(row.group for row in self.rows if row.is_kept))

    def labels_of(self, names: Iterable[str]) -> NDArray[np.int64]:
        """Return the label of the group of each of these classes, int64; -1: its rows are left out."""
        labels = {group: label for label, group in enumerate(self.class_names)}
        found = {row.name: labels[row.group] if row.is_kept else -1 for row in self.rows}
        return np.array([found[name] for name in names], np.int64)

    def told(self, tree: str) -> str:
        """Say in two sentences what was reached.

        Args:
            tree: its path.
        """
        sizes = self.sizes(is_kept=True)
        images, left_out = sum(sizes.values()), self.sizes(is_kept=False)
        return (
            f"{len(self.rows)} classes make {len(sizes)} groups by {tree}, {self.num_wanted} were wanted: "
            f"{min(sizes.values()):,} to {max(sizes.values()):,} images each, {images:,} of "
            f"{images + sum(left_out.values()):,} in all. Groups left out: {len(left_out)}"
        )

    def sizes(self, is_kept: bool) -> dict[str, int]:
        """Return the images of each group that is kept, or left out, in the order of the tree."""
        found: dict[str, int] = {}
        for row in self.rows:
            if row.is_kept == is_kept:
                found[row.group] = found.get(row.group, 0) + row.images
        return found


def find_groups(settings: ClassTreeSettings, images: Mapping[str, int]) -> ClassGroups:
    r"""Read a tree of classes from your own files, and divide the classes into groups of similar size.

    Args:
        settings: which files, and how many groups.
        images: how many images each class has, by name.

    Returns:
        The group of each class, and which groups are kept.

    Raises:
        DataError: a tree that is none, a class that is not in it, too few groups, or words that are not one node and
            its names a line.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from pumalib.data.settings import ClassTreeSettings
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tree = Path(folder) / "is_a.txt"
        ...     _ = tree.write_text("thing animal\nthing tool\nanimal cat\nanimal dog\ntool saw\n")
        ...     groups = find_groups(ClassTreeSettings(tree=str(tree), groups=2), {"cat": 50, "dog": 60, "saw": 80})
        >>> groups.class_names
        ('animal', 'tool')
    """
    tree = parse_tree(_text_of(settings.tree), settings.tree)
    grouping = group_classes(tree, images, settings.groups, settings.largest)
    words = {} if settings.words is None else parse_words(_text_of(settings.words), settings.words)
    return ClassGroups(tuple(_rows(grouping, images, words)), settings.groups, grouping.num_divisions)


def _rows(grouping: Grouping, images: Mapping[str, int], words: Mapping[str, str]) -> Iterable[ClassRow]:
    names = group_names([group.node for group in grouping.groups], words)
    for group, name in zip(grouping.groups, names, strict=True):
        for each in group.classes:
            yield ClassRow(each, words.get(each, ""), group.node, name, group.is_kept, images[each])


def group_names(nodes: Sequence[str], words: Mapping[str, str]) -> list[str]:
    """Return a name for people of each node: the first of its words, with the node behind it where two would be alike.

    Args:
        nodes: each once.
        words: names of nodes, separated by commas; a node without any is its own name.
    """
    first = [words.get(node, "").partition(",")[0].strip() or node for node in nodes]
    names = [
        name if first.count(name) == 1 or name == node else f"{name} ({node})"
        for name, node in zip(first, nodes, strict=True)
    ]
    return names if len(set(names)) == len(names) else list(nodes)


def parse_words(text: str, name: str) -> dict[str, str]:
    """Read names for people, by node, out of lines of a node, a tab and its names; blank lines are passed over.

    Args:
        text: the lines.
        name: what messages call the file.

    Raises:
        DataError: a line without a tab or without a node, or a node that comes twice.
    """
    words: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        node, tab, names = (part.strip(" ") for part in line.partition("\t"))
        if not line.strip():
            continue
        if not tab or not node:
            raise DataError(f"expected a node, a tab and its names in each line, got none in line {number} of {name}")
        if node in words:
            raise DataError(f"expected each node once, got {node} again in line {number} of {name}")
        words[node] = visible(" ".join(names.split()))
    return words


def _text_of(path: str) -> str:
    try:
        return bytes_of(Path(path)).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"expected text in UTF-8 at {path}, got other bytes") from None

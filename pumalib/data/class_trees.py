"""Trees of classes, and the groups of similar size that they divide classes into.

A tree is a text file as WordNet's `is_a.txt`: a line is a parent and its child, such as `n00001930 n00002684`. Groups
are found from the top down. At first, each root of the tree is a group. The most populous group is divided into its
children until enough groups are of similar size.

Source: PUMA, Appendix C, which makes 100 groups of ImageNet-21K's classes, the largest at most five times the smallest.
What the paper leaves open is our choice:

* A node that stands under several parents belongs to the first of them in the file, so each class counts once.
* Of equally populous groups, the first in the order of the tree is divided. A group of one class stays, and the most
  populous of the others is divided in its place.
* A node that has images of its own keeps them as a group of its own when it is divided: dividing loses no image.
* A group that is too large is divided, and one that is too small is left out. So a set of groups counts only if no
  larger group could still be divided. The largest such set within the ratio is kept; of equally large sets, the one
  with the most images, which is one alone. Without this rule, many small groups would often win: of Tiny-ImageNet's
  200 classes, 16 groups would keep 7,800 of 40,000 images instead of 31,000.
* Groups are left out at the end alone, not while others are divided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from pumalib.errors import DataError

_NUM_NAMED = 5
"""How many classes a message names."""


@dataclass(frozen=True)
class ClassTree:
    """Nodes below one another.

    Attributes:
        parents: the parent of each node that has one.
        order: position of each node in the order of the tree: a node before all below it, children as in the file.
        name: what messages call the tree, such as the path of its file.
    """

    parents: Mapping[str, str]
    order: Mapping[str, int]
    name: str


class Group(NamedTuple):
    """Classes below one node of the tree.

    Attributes:
        node: the node. One that was divided and has images of its own is the group of these alone.
        classes: in the order of the tree.
        size: images.
        is_kept: whether it is of similar size to the others that are kept.
    """

    node: str
    classes: tuple[str, ...]
    size: int
    is_kept: bool


class Grouping(NamedTuple):
    """Classes divided into groups.

    Attributes:
        groups: those kept and those left out, in the order of the tree.
        num_divisions: how many groups were divided on the way.
    """

    groups: tuple[Group, ...]
    num_divisions: int

    @property
    def kept(self) -> tuple[Group, ...]:
        """Those that are kept, in the order of the tree."""
        return tuple(group for group in self.groups if group.is_kept)


def parse_tree(text: str, name: str) -> ClassTree:
    """Read a tree out of lines of a parent and a child; blank lines are passed over.

    Args:
        text: the lines.
        name: what messages call the tree, such as the path of its file.

    Raises:
        DataError: a line that is not two words, no line at all, or a node that is below itself.
    """
    edges = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if len(words) not in (0, 2):
            raise DataError(
                f"expected two words a line, a parent and its child, got {len(words)} in line {number} of {name}"
            )
        edges += [(words[0], words[1])] if words else []
    if not edges:
        raise DataError(f"expected lines of a parent and its child, got none in {name}")
    _expect_no_cycle(edges, name)
    parents: dict[str, str] = {}
    for parent, child in edges:
        parents.setdefault(child, parent)
    return ClassTree(parents, _order(edges, parents), name)


def _expect_no_cycle(edges: Iterable[tuple[str, str]], name: str) -> None:
    """Refuse a node below itself, by any of its parents: also by those that do not count."""
    above: dict[str, list[str]] = {}
    for parent, child in edges:
        above.setdefault(child, []).append(parent)
    try:
        TopologicalSorter(above).prepare()
    except CycleError as error:
        raise DataError(
            f"expected a class tree without a cycle, got {' -> '.join(error.args[1])} in {name}; take out one of these "
            "lines"
        ) from None


def _order(edges: Iterable[tuple[str, str]], parents: Mapping[str, str]) -> dict[str, int]:
    nodes = dict.fromkeys(node for edge in edges for node in edge)
    children: dict[str, list[str]] = {}
    for child in dict.fromkeys(child for _, child in edges):
        children.setdefault(parents[child], []).append(child)
    order: dict[str, int] = {}
    waiting = [node for node in reversed(nodes) if node not in parents]
    while waiting:
        node = waiting.pop()
        order[node] = len(order)
        waiting += reversed(children.get(node, []))
    return order


def group_classes(tree: ClassTree, images: Mapping[str, int], num_groups: int, largest: float) -> Grouping:
    """Divide classes into at least so many groups of similar size.

    Args:
        tree: that has each class as a node.
        images: how many each class has, at least 1.
        num_groups: how many groups are wanted, at least 2; there may be more, as a division makes several at once. A
            single root is therefore always divided.
        largest: the largest group kept has at most this many times the images of the smallest, at least 1.

    Raises:
        DataError: a class that is not in the tree or has no images, or a tree that does not give so many groups.
    """
    _expect_known(tree, images)
    division, most = _Division(tree, images), 0
    while True:
        found, smallest = most_alike(division.sizes, largest, division.largest_divisible)
        most = max(most, found)
        if found >= num_groups:
            return Grouping(_groups(division, images, smallest, largest), division.num_divisions)
        if not division.divide():
            raise DataError(
                f"expected {num_groups} groups of which the largest has at most {largest:g} times the images of the "
                f"smallest, got at most {most} from {tree.name}; lower groups to {most}, or raise largest"
                if most > 1
                else f"expected a tree that divides {len(images)} classes, got one group at most from {tree.name}"
            )


def _expect_known(tree: ClassTree, images: Mapping[str, int]) -> None:
    unknown = [name for name in images if name not in tree.order]
    if unknown:
        raise DataError(f"expected every class in the class tree {tree.name}, got none of {_some(unknown)}")
    empty = [name for name, count in images.items() if count < 1]
    if empty:
        raise DataError(f"expected a train image at least of each class, got none of {_some(empty)}")


def most_alike(sizes: Mapping[int, int], largest: float, divisible: int = 0) -> tuple[int, int]:
    """Find the largest set of groups of similar size; of equally large sets, the one with the most images.

    A set is all groups from some size to `largest` times that size. Of two that are equally large, the one whose
    smallest group is larger has the more images.

    Args:
        sizes: how many groups there are of each size, in images, at least 1.
        largest: the largest group of a set has at most this many times the images of the smallest.
        divisible: size of the largest group that can be divided, which may not be too large for the set.

    Returns:
        How many groups it has, and the size of its smallest; (0, 0): there is none.
    """
    numerator, denominator = _exact(largest).as_integer_ratio()
    ascending = sorted(sizes)
    best, held, end = (0, 0), 0, 0
    for smallest in ascending:
        while end < len(ascending) and ascending[end] * denominator <= smallest * numerator:
            held += sizes[ascending[end]]
            end += 1
        if divisible * denominator <= smallest * numerator:
            best = max(best, (held, smallest))
        held -= sizes[smallest]
    return best


def _exact(largest: float) -> Fraction:
    """Return a ratio as it was written: 1.15 times 20 images are 23, which floats miss."""
    return Fraction(repr(float(largest)))


def _groups(division: _Division, images: Mapping[str, int], smallest: int, largest: float) -> tuple[Group, ...]:
    order = division.tree.order
    classes: dict[str, list[str]] = {node: [] for node in sorted(division.parts, key=order.__getitem__)}
    for name in sorted(images, key=order.__getitem__):
        classes[division.part_of(name)].append(name)
    sizes = division.parts
    return tuple(
        Group(node, tuple(names), sizes[node], smallest <= sizes[node] <= _exact(largest) * smallest)
        for node, names in classes.items()
    )


class _Division:
    """The groups that there are at a time, from the roots down; nodes without images are passed over."""

    def __init__(self, tree: ClassTree, images: Mapping[str, int]) -> None:
        self.tree = tree
        self.num_divisions = 0
        self._own = images
        self._below = dict(images)
        self._children: dict[str, list[str]] = {}
        self._num_classes = Counter(images.keys())
        for node in sorted(_with_all_above(tree, images), key=tree.order.__getitem__, reverse=True):
            parent = tree.parents.get(node)
            if parent is not None:
                self._below[parent] = self._below.get(parent, 0) + self._below[node]
                self._num_classes[parent] += self._num_classes[node]
                self._children.setdefault(parent, []).append(node)
        self.parts = {node: count for node, count in self._below.items() if node not in tree.parents}
        self.sizes = Counter(self.parts.values())
        self._divisible = [self._urgency(node) for node in self.parts if self._num_classes[node] > 1]
        heapify(self._divisible)

    @property
    def largest_divisible(self) -> int:
        """Images of the most populous group of several classes; 0: there is none."""
        return -self._divisible[0][0] if self._divisible else 0

    def divide(self) -> bool:
        """Divide the most populous group of several classes into its children; return whether there was one."""
        if not self._divisible:
            return False
        node = heappop(self._divisible)[-1]
        self._remove(node)
        if node in self._own:
            self._add(node, self._own[node])
        for child in self._children[node]:
            self._add(child, self._below[child])
            if self._num_classes[child] > 1:
                heappush(self._divisible, self._urgency(child))
        self.num_divisions += 1
        return True

    def part_of(self, name: str) -> str:
        """Return the node of the group that a class is in: the nearest above it, or itself."""
        while name not in self.parts:
            name = self.tree.parents[name]
        return name

    def _urgency(self, node: str) -> tuple[int, int, str]:
        return -self._below[node], self.tree.order[node], node

    def _remove(self, node: str) -> None:
        size = self.parts.pop(node)
        self.sizes[size] -= 1
        if not self.sizes[size]:
            del self.sizes[size]

    def _add(self, node: str, size: int) -> None:
        self.parts[node] = size
        self.sizes[size] += 1


def _with_all_above(tree: ClassTree, classes: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in classes:
        node: str | None = name
        while node is not None and node not in found:
            found.add(node)
            node = tree.parents.get(node)
    return found


def _some(names: list[str]) -> str:
    rest = len(names) - _NUM_NAMED
    return ", ".join(names[:_NUM_NAMED]) + (f" and {rest} more" if rest > 0 else "")

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumalib.data.class_trees import ClassTree, Grouping, group_classes, most_alike, parse_tree
from pumalib.errors import DataError

ANIMALS = """
thing animal
thing tool
animal dog
animal cat
tool hammer
dog poodle
dog terrier
"""


def tree_of(text: str) -> ClassTree:
    return parse_tree(text, "is_a.txt")


def told(grouping: Grouping) -> dict[str, tuple[str, ...]]:
    return {group.node: group.classes for group in grouping.kept}


def test_one_root_is_divided_at_once() -> None:
    found = group_classes(tree_of(ANIMALS), {"poodle": 4, "terrier": 4, "cat": 4, "hammer": 3}, 2, 5)
    assert told(found) == {"animal": ("poodle", "terrier", "cat"), "tool": ("hammer",)}
    assert [(group.node, group.size, group.is_kept) for group in found.groups] == [
        ("animal", 12, True),
        ("tool", 3, True),
    ]
    assert found.num_divisions == 1


def test_several_roots_are_groups_before_any_is_divided() -> None:
    found = group_classes(tree_of("a a1\na a2\nb b1"), {"a1": 1, "a2": 1, "b1": 2}, 2, 1)
    assert told(found) == {"a": ("a1", "a2"), "b": ("b1",)}
    assert found.num_divisions == 0


def test_the_most_populous_is_divided_until_there_are_enough_of_similar_size() -> None:
    images = {"poodle": 4, "terrier": 5, "cat": 4, "hammer": 3}
    found = group_classes(tree_of(ANIMALS), images, 3, 3)
    assert told(found) == {"dog": ("poodle", "terrier"), "cat": ("cat",), "tool": ("hammer",)}
    found = group_classes(tree_of(ANIMALS), images, 3, 2)
    assert told(found) == {"poodle": ("poodle",), "terrier": ("terrier",), "cat": ("cat",), "tool": ("hammer",)}
    assert [group.size for group in found.groups] == [4, 5, 4, 3]


def test_groups_that_are_too_small_are_left_out_and_told() -> None:
    found = group_classes(tree_of(ANIMALS), {"poodle": 40, "terrier": 50, "cat": 40, "hammer": 3}, 3, 2)
    assert told(found) == {"poodle": ("poodle",), "terrier": ("terrier",), "cat": ("cat",)}
    assert [(group.node, group.size) for group in found.groups if not group.is_kept] == [("tool", 3)]


def test_a_group_that_is_too_large_is_divided_not_left_out() -> None:
    """Two small groups stand beside `big` from the start, and two are wanted."""
    tree = tree_of("r s0\nr s1\nr big\nbig b0\nbig b1\nbig b2")
    found = group_classes(tree, {"s0": 1, "s1": 1, "b0": 30, "b1": 30, "b2": 30}, 2, 5)
    assert told(found) == {"b0": ("b0",), "b1": ("b1",), "b2": ("b2",)}
    assert [group.node for group in found.groups if not group.is_kept] == ["s0", "s1"]


def test_one_large_class_that_cannot_be_divided_does_not_stand_in_the_way() -> None:
    found = group_classes(tree_of("r huge\nr a\nr b\nb b1\nb b2"), {"huge": 1000, "a": 5, "b1": 6, "b2": 7}, 2, 3)
    assert told(found) == {"a": ("a",), "b": ("b1", "b2")}
    assert [group.node for group in found.groups if not group.is_kept] == ["huge"]


def test_of_equally_populous_groups_the_first_of_the_tree_is_divided() -> None:
    found = group_classes(tree_of("r b\nr a\na a1\na a2\nb b1\nb b2"), dict.fromkeys(["a1", "a2", "b1", "b2"], 1), 3, 5)
    assert list(told(found)) == ["b1", "b2", "a"]


def test_a_leaf_under_several_parents_counts_once_under_the_first_of_the_file() -> None:
    text = "r pet\nr wild\nwild cat\npet cat\npet dog\nwild wolf"
    found = group_classes(tree_of(text), {"cat": 2, "dog": 3, "wolf": 1}, 2, 5)
    assert told(found) == {"pet": ("dog",), "wild": ("cat", "wolf")}
    assert [group.size for group in found.groups] == [3, 3]


def test_an_inner_node_with_several_parents_belongs_to_the_first_with_all_below_it() -> None:
    found = group_classes(tree_of("r a\nr b\nb x\na x\nx x1\nx x2\na a1"), {"x1": 1, "x2": 1, "a1": 1}, 2, 5)
    assert told(found) == {"a": ("a1",), "b": ("x1", "x2")}


def test_images_of_an_inner_node_stay_a_group_of_their_own_when_it_is_divided() -> None:
    images = {"dog": 5, "poodle": 4, "terrier": 4, "cat": 5, "hammer": 6}
    whole = group_classes(tree_of(ANIMALS), images, 3, 3)
    assert told(whole)["dog"] == ("dog", "poodle", "terrier")
    divided = group_classes(tree_of(ANIMALS), images, 4, 3)
    assert told(divided) == {
        "dog": ("dog",),
        "poodle": ("poodle",),
        "terrier": ("terrier",),
        "cat": ("cat",),
        "tool": ("hammer",),
    }
    assert divided.groups[0].size == 5


def test_nodes_without_images_are_passed_over() -> None:
    found = group_classes(tree_of(ANIMALS), {"poodle": 1, "hammer": 1}, 2, 1)
    assert told(found) == {"animal": ("poodle",), "tool": ("hammer",)}


def test_a_ratio_is_taken_as_it_is_written() -> None:
    assert 1.15 * 100 < 115  # as floats have it
    assert most_alike({100: 1, 115: 1}, 1.15) == (2, 100)
    assert most_alike({100: 1, 116: 1}, 1.15) == (1, 116)
    assert most_alike({}, 2) == (0, 0)


LAST = ["furniture=3", "implement=9", "comic book=1"]
WORDNET = {
    "physical entity": ["object", "matter=13"],
    "object": ["whole", "geological formation=5"],
    "whole": ["animal", "artifact", "fruit=5"],
    "artifact": ["consumer goods=17", "covering=6", "instrumentality", "scoreboard=1", "structure=18", "teddy=1"],
    "instrumentality": ["chain=1", "container=22", "conveyance=5", "device=25", "equipment=9", *LAST],
    "animal": ["vertebrate", "invertebrate=23"],
    "vertebrate": ["goldfish=1", "amphibian=3", "diapsid=2", "aquatic bird=4", "mammal"],
    "mammal": ["koala=1", "placental"],
    "placental": ["dugong=1", "carnivore=13", "guinea pig=1", "ungulate=6", "primate=3", "elephant=1"],
}
"""The top of WordNet above the 200 classes of Tiny-ImageNet, and how many of them are below each node."""


def wordnet() -> tuple[ClassTree, dict[str, int]]:
    """Return the tree with a class of one image for each that is counted, and these classes."""
    lines, classes = [], []
    for parent, children in WORDNET.items():
        for child in children:
            name, _, count = child.replace(" ", "_").partition("=")
            lines.append(f"{parent.replace(' ', '_')} {name}")
            below = [f"{name}{index}" for index in range(int(count or 0))]
            lines += [f"{name} {each}" for each in below]
            classes += below
    return tree_of("\n".join(lines)), dict.fromkeys(classes, 1)


def test_the_top_of_wordnet_over_tiny_imagenet_gives_6_9_10_13_and_14_groups() -> None:
    tree, images = wordnet()
    assert sum(images.values()) == 200
    found = {wanted: group_classes(tree, images, wanted, 5) for wanted in range(5, 15)}
    assert {wanted: len(each.kept) for wanted, each in found.items()} == {
        5: 6, 6: 6, 7: 9, 8: 9, 9: 9, 10: 10, 11: 13, 12: 13, 13: 13, 14: 14
    }  # fmt: skip
    assert [len(found[wanted].groups) for wanted in (6, 9, 10, 13, 14)] == [17, 18, 22, 23, 28]
    assert sum(group.size for group in found[14].kept) == 176


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected lines of a parent and its child, got none in is_a.txt"),
        ("\n  \n", "expected lines of a parent and its child, got none in is_a.txt"),
        ("a b\na b c", "expected two words a line, a parent and its child, got 3 in line 2 of is_a.txt"),
        ("a b\n\nc", "expected two words a line, a parent and its child, got 1 in line 3 of is_a.txt"),
        ("r a\na b\nb a", "expected a class tree without a cycle, got a -> b -> a in is_a.txt"),
        ("b c\nc a\na b\nr d", "expected a class tree without a cycle, got c -> a -> b -> c in is_a.txt"),
        ("r a\na a", "expected a class tree without a cycle, got a -> a in is_a.txt"),
    ],
)
def test_a_file_that_is_no_tree_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError) as refused:
        tree_of(text)
    assert message in str(refused.value)


def test_a_cycle_that_only_a_second_parent_closes_is_refused_too() -> None:
    with pytest.raises(DataError, match=r"without a cycle, got (a -> b -> a|b -> a -> b) in"):
        tree_of("r a\nr b\nb a\na b")


@pytest.mark.parametrize(
    ("images", "wanted", "largest", "message"),
    [
        ({"cat": 1, "cow": 1}, 2, 5, "every class in the class tree is_a.txt, got none of cow"),
        (
            {f"x{index}": 1 for index in range(8)},
            2,
            5,
            "every class in the class tree is_a.txt, got none of x0, x1, x2, x3, x4 and 3 more",
        ),
        ({"cat": 1, "hammer": 0}, 2, 5, "expected a train image at least of each class, got none of hammer"),
        (
            {"poodle": 4, "terrier": 5, "cat": 4, "hammer": 1},
            4,
            2,
            "expected 4 groups of which the largest has at most 2 times the images of the smallest, got at most 3 from "
            "is_a.txt; lower groups to 3, or raise largest",
        ),
        ({"poodle": 4}, 2, 5, "expected a tree that divides 1 classes, got one group at most from is_a.txt"),
    ],
)
def test_classes_that_the_tree_does_not_know_or_divide_are_refused(
    images: dict[str, int], wanted: int, largest: float, message: str
) -> None:
    with pytest.raises(DataError) as refused:
        group_classes(tree_of(ANIMALS), images, wanted, largest)
    assert message in str(refused.value)


def test_a_deep_tree_is_read_without_recursion() -> None:
    lines = [f"n{depth} n{depth + 1}" for depth in range(5000)] + [f"n{depth} leaf{depth}" for depth in range(5000)]
    images = {f"leaf{depth}": 1 for depth in range(5000)}
    assert len(group_classes(tree_of("\n".join(lines)), images, 5000, 1).kept) == 5000


Partition = frozenset[frozenset[str]]
Forest = tuple[dict[int, list[int]], list[int], dict[str, int]]
"""Children of each node, roots, and the images of classes."""


@st.composite
def small_trees(draw: st.DrawFn) -> Forest:
    """Draw a forest of at most ten nodes."""
    count = draw(st.integers(2, 10))
    above = [draw(st.integers(-1, node - 1)) for node in range(count)]
    above[1] = 0  # a line at least
    children: dict[int, list[int]] = {node: [] for node in range(count)}
    for node, parent in enumerate(above):
        if parent >= 0:
            children[parent].append(node)
    roots = [node for node, parent in enumerate(above) if parent < 0 and (children[node] or parent >= 0)]
    known = [node for node in range(count) if above[node] >= 0 or children[node]]
    classes = [node for node in known if not children[node] or draw(st.booleans())]
    return children, roots, {f"n{node}": draw(st.integers(1, 12)) for node in classes}


def classes_below(node: int, children: dict[int, list[int]], images: dict[str, int]) -> frozenset[str]:
    own = {f"n{node}"} & set(images)
    return frozenset(own).union(*(classes_below(child, children, images) for child in children[node]))


def partitions_below(node: int, children: dict[int, list[int]], images: dict[str, int]) -> Iterator[Partition]:
    """Yield every way to take a node whole, or its own classes and a way for each of its children."""
    whole = classes_below(node, children, images)
    if not whole:
        yield frozenset()
        return
    yield frozenset({whole})
    own = [frozenset({frozenset({f"n{node}"})})] if f"n{node}" in images else []
    for parts in product(*(partitions_below(child, children, images) for child in children[node])):
        if children[node]:
            yield frozenset(chain.from_iterable([*own, *parts]))


def is_within(sizes: tuple[int, ...], largest: int) -> bool:
    return max(sizes) <= largest * min(sizes)


@given(drawn=small_trees(), wanted=st.integers(2, 5), largest=st.integers(1, 4))
def test_groups_are_a_partition_and_the_largest_set_within_the_ratio_of_all_subsets(
    drawn: Forest, wanted: int, largest: int
) -> None:
    children, roots, images = drawn
    tree = tree_of("\n".join(f"n{parent} n{child}" for parent in children for child in children[parent]))
    most = most_groups(tree, images, largest)
    if most < wanted:
        told = f"got at most {most} from" if most > 1 else "got one group at most from"
        with pytest.raises(DataError, match=told):
            group_classes(tree, images, wanted, largest)
        return
    found = group_classes(tree, images, wanted, largest)
    ways = [
        frozenset(chain.from_iterable(each))
        for each in product(*(partitions_below(r, children, images) for r in roots))
    ]
    assert frozenset(frozenset(group.classes) for group in found.groups) in ways
    assert Counter(name for group in found.groups for name in group.classes) == Counter(images.keys())
    assert all(group.size == sum(images[name] for name in group.classes) for group in found.groups)

    divisible = {group.node for group in found.groups if len(group.classes) > 1 and has_parts(group.node, drawn)}
    divided = {node for node in children if was_divided(node, found, drawn)}
    sizes_divided = [sum(images[name] for name in classes_below(node, children, images)) for node in divided]
    assert min(sizes_divided, default=99) >= max((g.size for g in found.groups if g.node in divisible), default=0)

    best = max(
        (len(chosen), sum(group.size for group in chosen))
        for count in range(1, len(found.groups) + 1)
        for chosen in combinations(found.groups, count)
        if is_within(tuple(group.size for group in chosen), largest)
        and not any(
            group.size > max(each.size for each in chosen) and group.node in divisible
            for group in found.groups
            if group not in chosen
        )
    )
    assert (len(found.kept), sum(group.size for group in found.kept)) == best
    assert len(found.kept) >= wanted
    assert is_within(tuple(group.size for group in found.kept), largest)


def most_groups(tree: ClassTree, images: dict[str, int], largest: int) -> int:
    """Return the largest number of groups that is given; there are no more than classes."""
    given = [1]
    for wanted in range(2, len(images) + 1):
        with suppress(DataError):
            group_classes(tree, images, wanted, largest)
            given.append(wanted)
    return given[-1]


def has_parts(node: str, drawn: Forest) -> bool:
    children, _, images = drawn
    return any(classes_below(child, children, images) for child in children[int(node[1:])])


def was_divided(node: int, found: Grouping, drawn: Forest) -> bool:
    below = classes_below(node, drawn[0], drawn[2])
    return bool(below) and not any(below <= set(group.classes) for group in found.groups)

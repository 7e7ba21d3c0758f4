from collections.abc import Callable

import pytest
from matplotlib.colors import to_hex

from pumalib.data.class_groups import ClassGroups, ClassRow
from pumalib.reporting.kinds.class_groups import bars_of, class_table, draw_groups, groups_page, groups_parts
from pumalib.reporting.parts import ReportParts

GROUPS = ClassGroups(
    (
        ClassRow("n3", "poodle, poodle dog", "n1", "dog", True, 40),
        ClassRow("n4", "terrier", "n1", "dog", True, 20),
        ClassRow("n7", "", "n7", "n7", False, 5),
        ClassRow("n5", "tabby | cat", "n2", "cat", True, 30),
    ),
    2,
    1,
)


def many(count: int, num_left_out: int = 0) -> ClassGroups:
    kept = [ClassRow(f"n{index}", "", f"n{index}", f"n{index}", True, 100 + index) for index in range(count)]
    left_out = [ClassRow(f"x{index}", "", f"x{index}", f"x{index}", False, 1) for index in range(num_left_out)]
    return ClassGroups((*kept, *left_out), count, 1)


def test_the_table_has_every_class_in_the_order_of_the_tree() -> None:
    table = class_table(GROUPS)
    assert list(table.columns) == ["class", "words", "node", "group", "images", "kept"]
    assert table["class"].tolist() == ["n3", "n4", "n7", "n5"]
    assert table["images"].tolist() == [40, 20, 5, 30]
    assert table["kept"].tolist() == [True, True, False, True]


def test_a_bar_a_group_in_the_order_of_the_tree_and_those_left_out_are_grey() -> None:
    assert bars_of(GROUPS) == [("dog", 60, 2, True), ("n7", 5, 1, False), ("cat", 30, 1, True)]
    (axes,) = draw_groups(bars_of(GROUPS)).axes
    assert [patch.get_width() for patch in axes.patches] == [60, 5, 30]
    assert [to_hex(patch.get_facecolor()) for patch in axes.patches] == ["#0072b2", "#b3b3b3", "#0072b2"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dog", "n7", "cat"]
    assert [text.get_text() for text in axes.texts] == ["60", "5", "30"]
    assert axes.yaxis_inverted()  # the first group of the tree stands on top


@pytest.mark.parametrize(("count", "columns"), [(16, [16]), (47, [24, 23]), (100, [34, 34, 32])])
def test_many_groups_stand_in_columns_each_with_its_name(count: int, columns: list[int]) -> None:
    figure = draw_groups(bars_of(many(count)))
    assert [len(axes.patches) for axes in figure.axes] == columns
    names = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert names == [f"n{index}" for index in range(count)]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    assert figure.get_size_inches()[1] / max(columns) > 0.12  # letters of 6 points are 0.083 inches high


def test_long_names_and_dollars_do_not_break_the_picture() -> None:
    row = ClassRow("n1", "", "n1", "$a$ name of far too many letters to stand", True, 3)
    (axes,) = draw_groups(bars_of(ClassGroups((row,), 2, 0))).axes
    (label,) = axes.get_yticklabels()
    assert label.get_text() == r"\$a\$ name of far too many…"


def test_the_page_tells_what_was_reached_and_lists_groups_and_classes() -> None:
    page = groups_page(GROUPS, bars_of(GROUPS))
    assert (
        "4 classes make 2 groups; 2 were wanted. The largest has 60 images, the smallest 30: 2.00 times as many. "
        "90 of 95 images stay. Groups left out (grey): 1."
    ) in page
    assert "| dog | 2 | 60 | yes |\n| n7 | 1 | 5 | no |\n| cat | 1 | 30 | yes |" in page
    assert "| n5 | tabby \\| cat | cat | 30 | yes |" in page
    assert "| n7 |  | n7 | 5 | no |" in page


def test_of_very_many_groups_those_left_out_are_not_drawn_and_the_page_says_so() -> None:
    parts = groups_parts(many(250, 100))
    assert sum(len(axes.patches) for axes in parts.figure.axes) == 250
    assert parts.text.startswith("The figure shows the 250 groups that are kept alone.")
    page = groups_parts(many(1001)).text
    assert "The CSV lists all 1,001 classes." in page
    assert "| n1000 | 1 | 1100 | yes |" in page


def test_all_files_are_equal_over_two_draws(
    drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]],
) -> None:
    written = drawn_twice(lambda: groups_parts(GROUPS))
    assert b"n5,tabby | cat,n2,cat,30,True\n" in written["f.csv"]

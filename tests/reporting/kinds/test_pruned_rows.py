import numpy as np
import pytest

from pumalib.inspection.samples import Samples
from pumalib.reporting.kinds.pruned_rows import chosen_blocks, pruned_page, rows_drawn
from pumalib.reporting.settings.pruned_rows import PrunedRowsSettings


def rows(hardness: np.ndarray | None) -> Samples:
    """Return six rows of a selection: two that a cut removed, the rest kept."""
    return Samples(
        rows=np.arange(6),
        class_names=("a", "b"),
        labels=np.array([0, 1, 0, 1, 0, 1]),
        groups=np.array(["pruned: easiest 30 % by m", "pruned: easiest 30 % by m", "kept", "kept", "kept", "kept"]),
        images=lambda positions: np.zeros((len(positions), 4, 4, 1), np.uint8),
        predictions={},
        values={"epsilon": np.full(6, 0.1)} if hardness is None else {"m": -hardness, "epsilon": np.full(6, 0.1)},
        hardness=hardness,
    )


def test_the_easiest_and_hardest_of_what_is_pruned_come_before_those_of_what_is_kept() -> None:
    blocks = chosen_blocks(rows(np.array([0.1, 0.0, 0.5, 0.9, 0.7, 0.3])), 3)
    assert {block.heading: block.positions.tolist() for block in blocks} == {
        "pruned: easiest 30 % by m (easiest first)": [1, 0],
        "pruned: easiest 30 % by m (hardest first)": [0, 1],
        "kept (easiest first)": [5, 2, 4],
        "kept (hardest first)": [3, 4, 2],
    }


def test_rows_that_no_score_orders_are_drawn() -> None:
    blocks = chosen_blocks(rows(None), 2)
    assert [block.positions.tolist() for block in blocks] == [[0, 1], [4, 5]]
    groups = [set(rows(None).groups[block.positions]) for block in blocks]
    assert [len(group) for group in groups] == [1, 1]
    assert all(block.heading.endswith("(drawn at random)") for block in blocks)


@pytest.mark.parametrize(("hardness", "order"), [(np.arange(6.0), "the hardest by `m`"), (None, "drawn at random")])
def test_page_and_list_tell_what_is_drawn(hardness: np.ndarray | None, order: str) -> None:
    chosen = rows(hardness)
    page = pruned_page(chosen, PrunedRowsSettings(kind="pruned_rows", run="puma", count=2))
    assert "| pruned: easiest 30 % by m | 2 |" in page
    assert "| kept | 4 |" in page
    assert order in page
    drawn = rows_drawn(chosen, chosen_blocks(chosen, 2))
    assert drawn.columns.tolist()[:4] == ["block", "row", "group", "label"]
    assert len(drawn) == (4 if hardness is None else 8)

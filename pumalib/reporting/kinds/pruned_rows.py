"""What a run prunes and what it keeps, as images: the easiest and the hardest rows of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from pumalib.inspection.kinds.selection import KEPT, samples
from pumalib.inspection.samples import Samples, drawn, ordered, row_table
from pumalib.lineage.headers import read_header
from pumalib.reporting.contact_sheet import Block, draw_contact_sheet
from pumalib.reporting.files import markdown_table
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.pruned_rows import PrunedRowsSettings


def chosen_blocks(rows: Samples, count: int) -> list[Block]:
    """Return the rows to draw: of those that each cut removed, and of those kept, the easiest and the hardest.

    Groups without rows are left out; where no score says which rows are hard, rows are drawn at random.

    Args:
        rows: of a selection.
        count: how many at most of each.
    """
    groups = sorted(set(rows.groups.tolist()), key=lambda group: (group == KEPT, group))
    blocks = []
    for group in groups:
        if rows.hardness is None:
            blocks.append(Block(f"{group} (drawn at random)", drawn(rows, count, group)))
            continue
        sides = [(side, ordered(rows, side, count, group)) for side in ("easiest", "hardest")]
        blocks += [Block(f"{group} ({side} first)", positions) for side, positions in sides if len(positions)]
    return blocks


def rows_drawn(rows: Samples, blocks: list[Block]) -> pd.DataFrame:
    """Return a row per image drawn: block, row, group, source, label, and what else is known of it."""
    tables = [row_table(block.heading, rows, block.positions) for block in blocks]
    drawn = pd.concat(
        [pd.DataFrame(table.rows, columns=list(table.columns)).assign(block=table.name) for table in tables],
        ignore_index=True,
    )[["block", *tables[0].columns]]
    if rows.sources is not None:
        drawn.insert(3, "source", np.concatenate([rows.sources[block.positions] for block in blocks]))
    return drawn


def pruned_page(rows: Samples, settings: PrunedRowsSettings) -> str:
    """Return how many rows of each group there are, and what stands above an image."""
    groups, counts = np.unique(rows.groups, return_counts=True)
    cells = [[str(group), str(count)] for group, count in zip(groups, counts, strict=True)]
    scores = [name for name in rows.values if name != "epsilon"]
    order = f"by `{scores[0]}`" if scores else "drawn at random, because no score orders them"
    return "\n\n".join(
        [
            markdown_table(["rows", "how many"], cells),
            f"What `{settings.run}` prunes and keeps: up to {settings.count} rows of each group, the easiest and the "
            f"hardest {order}. Above an image: its row in the pool, its label, what the scored model predicts (red "
            "where that is not the label), its source, its values; epsilon (pixel scale) where it is kept.",
        ]
    )


def make(settings: PrunedRowsSettings, *, selection: Path) -> ReportParts:
    """Make the contact sheet from a selection.

    Args:
        settings: of the report.
        selection: selection file of the run, in the folder of its study, which holds the pool and the scores.

    Raises:
        ArtifactError: If the selection, the pool or a score is missing or damaged.
    """
    rows = samples(read_header(selection))
    blocks = chosen_blocks(rows, settings.count)
    across = 1 if rows.hardness is None else 2  # the easiest beside the hardest
    sheet = draw_contact_sheet(rows, blocks, f"rows of {settings.run}", across)
    return ReportParts(rows_drawn(rows, blocks), sheet, "Rows pruned and kept", pruned_page(rows, settings))

"""Rows whose label the margin model denies, as images and as a list: suspected label errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pumalib.inspection.samples import row_table
from pumalib.inspection.suspects import MARGIN, Detection, Suspects, detection, find_suspects
from pumalib.lineage.headers import read_header
from pumalib.reporting.contact_sheet import Block, draw_contact_sheet
from pumalib.reporting.files import markdown_table
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.suspects import SuspectsSettings


def listed(suspects: Suspects) -> pd.DataFrame:
    """Return a row per suspect, worst first: row, group (source), label, what the model says, margin, file."""
    table = row_table("suspects", suspects.rows, suspects.positions)
    return pd.DataFrame(table.rows, columns=list(table.columns))


def draw(suspects: Suspects, settings: SuspectsSettings) -> Figure:
    """Draw the worst suspects; where there are none, the rows with the lowest margins."""
    positions, heading = suspects.positions[: settings.count], "lowest margins first"
    if not len(positions):
        margins = suspects.rows.values[MARGIN]
        positions, heading = np.argsort(margins, kind="stable")[: settings.count], "no suspects; lowest margins first"
    block = Block(heading, positions, names_groups=True)
    return draw_contact_sheet(suspects.rows, [block], f"suspects by {settings.score}")


def page(suspects: Suspects, settings: SuspectsSettings) -> str:
    """Return how many suspects each source has, what a suspect is, and how well planted labels are found."""
    sources = suspects.rows.groups
    counts = []
    for source in dict.fromkeys(sources.tolist()):
        total, own = int((sources == source).sum()), int((sources[suspects.positions] == source).sum())
        counts.append([str(source), str(total), str(own), f"{100 * own / total:.1f}"])
    found = detection(suspects)
    return "\n\n".join(
        [
            markdown_table(["rows", "how many", "suspects", "share (%)"], counts),
            f"A suspect is a row whose margin by `{settings.score}` is negative: the margin model gives it another "
            "class than its label, and PUMA attacks it backwards. The lower the margin, the farther the row lies in "
            "the other class. Most suspects of a weak model are hard rows with a right label; look before you drop "
            "any. A model that was trained on a row may have learned its wrong label, and then does not suspect it.",
            *([] if found is None else [_told(found, suspects)]),
        ]
    )


def _told(found: Detection, suspects: Suspects) -> str:
    share = found.num_wrong / len(suspects.rows.rows)
    return (
        f"Wrong labels were planted in this pool: {found.num_wrong} rows ({100 * share:.1f} %). {found.num_found} of "
        f"them are suspects: recall {100 * found.recall:.1f} %, precision {100 * found.precision:.1f} %. Average "
        f"precision of low margins over all rows: {found.average_precision:.3f}; of a random order: {share:.3f}."
    )


def make(settings: SuspectsSettings, *, score: Path) -> ReportParts:
    """Make the list and the contact sheet.

    Args:
        settings: of the report.
        score: score file, in the folder of its study, which holds the pool.

    Raises:
        ArtifactError: If the score or the pool is missing or damaged.
    """
    suspects = find_suspects(read_header(score))
    return ReportParts(listed(suspects), draw(suspects, settings), "Suspects", page(suspects, settings))

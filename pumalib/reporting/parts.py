"""The parts of a report, and the four files that they are written to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pumalib.reporting.figures import save_figure
from pumalib.reporting.files import markdown_image, write_csv, write_text


@dataclass(frozen=True)
class ReportParts:
    """What a kind of report makes.

    Attributes:
        table: the numbers, for the CSV.
        figure: on an Agg canvas.
        title: of the figure, where the page cannot show it.
        text: of the page, below the figure.
        text_above: of the page, above the figure; empty: none.
    """

    table: pd.DataFrame
    figure: Figure
    title: str
    text: str
    text_above: str = ""


@dataclass(frozen=True)
class ReportFiles:
    """Where a report goes."""

    csv: Path
    markdown: Path
    png: Path
    svg: Path


def write_parts(parts: ReportParts, files: ReportFiles) -> None:
    """Write the figure (PNG, SVG), the numbers (CSV) and the page (Markdown)."""
    save_figure(parts.figure, files.png, files.svg)
    write_csv(files.csv, parts.table)
    image = markdown_image(files.markdown, files.png, parts.title)
    write_text(files.markdown, "\n\n".join(part for part in (parts.text_above, image, parts.text) if part))

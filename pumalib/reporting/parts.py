"""The parts of a report, and the files that they are written to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pumalib.reporting.figures import save_figure
from pumalib.reporting.files import markdown_image, write_csv, write_json, write_text


@dataclass(frozen=True)
class ReportParts:
    """What a kind of report makes.

    Attributes:
        table: the numbers, for the CSV.
        figure: on an Agg canvas.
        title: of the figure, where the page cannot show it.
        text: of the page, below the figure.
        text_above: of the page, above the figure; empty: none.
        page: writes a web page of its own to a path; None: the one for browsers is made of the Markdown.
        json: the numbers for other programs; None: the CSV alone.
    """

    table: pd.DataFrame
    figure: Figure
    title: str
    text: str
    text_above: str = ""
    page: Callable[[Path], None] | None = None
    json: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ReportFiles:
    """Where a report goes; `html` where it writes its own web page, `json` where it writes its numbers so too."""

    csv: Path
    markdown: Path
    png: Path
    svg: Path
    html: Path | None = None
    json: Path | None = None


def write_parts(parts: ReportParts, files: ReportFiles) -> None:
    """Write figure (PNG, SVG), numbers (CSV) and page (Markdown); a web page of its own and JSON where it has them."""
    save_figure(parts.figure, files.png, files.svg)
    write_csv(files.csv, parts.table)
    if parts.json is not None and files.json is not None:
        write_json(files.json, parts.json)
    image = markdown_image(files.markdown, files.png, parts.title)
    link = ""
    if parts.page is not None and files.html is not None:
        parts.page(files.html)
        link = f"[{files.html.name}]({files.html.name}) has every row as a picture. Open it in a browser."
    write_text(files.markdown, "\n\n".join(part for part in (link, parts.text_above, image, parts.text) if part))

"""Writing the page: its data as JSON and base64, its sheets, its style and its script, in one file.

Nothing in it is asked of a network: a browser is told to refuse that (Content-Security-Policy). Imports no torch.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from pumalib.browsing.assets import SCRIPTS, asset
from pumalib.browsing.collection import Collection, in_order, sampled
from pumalib.browsing.sheets import COLUMNS, Layout, layout_of, moved_sheets, sheets_of
from pumalib.files.artifacts import writing
from pumalib.files.plain_text import visible

_DATA = "<!-- @data@ -->"


@dataclass(frozen=True)
class Tab:
    """Rows of a page.

    Attributes:
        whole: all of them.
        shown: those on the page, in the order of the first value; where they are fewer, the page says so.
        seed: of that sample.
    """

    whole: Collection
    shown: Collection
    seed: int = 0

    @classmethod
    def of(
        cls, whole: Collection, count: int, seed: int = 0, prepare: Callable[[Collection], Collection] | None = None
    ) -> Tab:
        """Return a tab of at most `count` rows; `prepare` may add to those that are shown."""
        shown = sampled(whole, count, seed)
        return cls(whole, in_order(shown if prepare is None else prepare(shown)), seed)


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        title: above all.
        facts: what stands below it, one after another.
        tabs: its rows.
    """

    title: str
    facts: tuple[str, ...]
    tabs: tuple[Tab, ...]

    def write(self, path: Path) -> None:
        """Write the page; equal content gives equal bytes."""
        layouts = [layout_of(tab.shown.images(np.zeros(1, np.int64)).shape[1:]) for tab in self.tabs]
        described = {
            "title": visible(self.title),
            "facts": [visible(fact) for fact in self.facts],
            "collections": [
                describe(tab.shown, layout) | _extent(tab) for tab, layout in zip(self.tabs, layouts, strict=True)
            ],
        }
        before, after = _filled(asset("browse.html"), self.title).split(_DATA)
        with writing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(before)
            _write_data(file, "page-data", _json(described))
            for number, (tab, layout) in enumerate(zip(self.tabs, layouts, strict=True)):
                _write_sheets(file, number, tab.shown, layout)
            file.write(after)


def _write_sheets(file: TextIO, number: int, rows: Collection, layout: Layout) -> None:
    for place, sheet in enumerate(sheets_of(rows, layout)):
        _write_data(file, f"sheet-{number}-{place}", base64.b64encode(sheet).decode())
    if rows.moved is None:
        return
    largest = []
    for place, (sheet, changes) in enumerate(moved_sheets(rows.moved, rows, layout)):
        _write_data(file, f"moved-{number}-{place}", base64.b64encode(sheet).decode())
        largest.append(changes)
    _write_data(file, f"changes-{number}", _packed(np.concatenate([np.empty(0, np.float32), *largest]), "<f4"))


def describe(rows: Collection, layout: Layout) -> dict[str, Any]:
    """Return a collection as the script reads it: columns in base64, everything else in words."""
    return {
        "name": visible(rows.name),
        "classes": [visible(name) for name in rows.class_names],
        "rows": _packed(rows.rows, "<u4"),
        "labels": _packed(rows.labels, "<u2"),
        "facets": [
            {"name": name, "names": [visible(each) for each in facet.names], "codes": _packed(facet.codes, "<u2")}
            for name, facet in rows.facets.items()
        ],
        "predictions": [{"name": name, "codes": _packed(each, "<u2")} for name, each in rows.predictions.items()],
        "values": [
            {"name": name, "numbers": _packed(column, "<f4"), "cuts": list(rows.cuts.get(name, ()))}
            for name, column in rows.values.items()
        ],
        "moved": None
        if rows.moved is None
        else {
            "positions": _packed(rows.moved.positions, "<u4"),
            "predictions": _packed(rows.moved.predictions, "<u2"),
        },
        "files": None if rows.files is None else [str(name) for name in rows.files],
        "layout": {
            "height": layout.height,
            "width": layout.width,
            "pitchHeight": layout.pitch_height,
            "pitchWidth": layout.pitch_width,
            "columns": COLUMNS,
            "mediaType": layout.media_type,
        },
        "notes": [visible(note) for note in (*rows.notes, *_notes_on(layout))],
    }


def _notes_on(layout: Layout) -> list[str]:
    """Say what pictures lost on their way into the page."""
    if layout.is_smaller:
        return [f"Pictures are made smaller, to {layout.width} x {layout.height} pixels, and compressed (JPEG)."]
    return [] if layout.is_exact else ["Pictures are compressed (JPEG): single pixels may differ a little."]


def _extent(tab: Tab) -> dict[str, Any]:
    """Return how many rows there are, by class and first facet, and whether the page shows them all."""
    whole, shown = tab.whole, tab.shown
    strata = " and ".join(("class", *whole.facets))
    sample = (
        f"A sample: {len(shown):,} of {len(whole):,} rows, drawn in proportion to {strata} (seed {tab.seed}). Numbers "
        "of rows below are of the sample; shares of a class are of all rows."
    )
    return {"total": len(whole), "sample": sample if len(shown) < len(whole) else "", "whole": whole.counts().tolist()}


def _packed(column: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(column.astype(dtype).tobytes()).decode()


def _json(value: Any) -> str:
    """Return JSON that no text in it ends the script element of."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _write_data(file: TextIO, name: str, text: str) -> None:
    file.write(f'<script type="text/plain" id="{name}">{text}</script>\n')


def _filled(template: str, title: str) -> str:
    """Put style, script and title into the template; the title last, because it is a user's own words."""
    parts = {
        "/* @style@ */": asset("browse.css"),
        "/* @script@ */": "\n".join(map(asset, SCRIPTS)),
        "@title@": html.escape(visible(title)),
    }
    for mark, text in parts.items():
        template = template.replace(mark, text, 1)
    return template

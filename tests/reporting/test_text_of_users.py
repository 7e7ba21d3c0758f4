"""Words that a user chose are text in pages, tables and figures, whatever they look like elsewhere."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown import markdown
from PIL import Image

from pumalib.reporting.files import as_text, markdown_table, write_csv
from pumalib.reporting.kinds.margin_classes import classes_parts
from pumalib.reporting.margin_counts import Margins
from pumalib.reporting.parts import ReportFiles, write_parts
from pumalib.reporting.web_page import write_web_page

NAMES = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![x](../secret.txt)",
    "![x](/dev/zero)",
    "[click](javascript:alert(1))",
    "t|shirt",
    "`code` *bold* &lt; \\",
    "$x^$",
    "line\nbreak",
    "\x1b[31mred",
]


def page_of(tmp_path: Path, text: str, images: tuple[Path, ...] = ()) -> str:
    write_web_page("title", text, images, tmp_path / "page.html")
    return (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_cell_and_text(tmp_path: Path, name: str) -> None:
    page = page_of(tmp_path, markdown_table(["class", "rows"], [[as_text(name), "7"]]))
    assert page.count("<td") == 2
    assert "<script" not in page
    assert "<img" not in page
    assert "<a " not in page
    assert "\x1b" not in page


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_text_for_other_readers_of_markdown(name: str) -> None:
    shown = markdown(f"a {as_text(name)} b", extensions=["tables"])
    assert not any(f"<{tag}" in shown for tag in ("script", "img", "a ", "code", "strong", "em"))


def test_plain_names_stay_as_they_are() -> None:
    for name in ("T-shirt/top", "Ankle boot", "snake_case_name", "100 %", "Größe (klein)", "猫"):
        assert as_text(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "text <b onclick='x()'>bold</b>",
        "<div>\n<script src='//x'></script>\n</div>",
        "<javascript:alert(1)>",
    ],
)
def test_html_in_a_page_is_shown_as_text(tmp_path: Path, text: str) -> None:
    page = page_of(tmp_path, text)
    assert "&lt;" in page
    assert not any(f"<{tag}" in page for tag in ("script", "b ", "div", "a "))


def test_links_run_nothing_and_images_are_those_that_were_drawn(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "drawn.png")
    (tmp_path / "secret.png").write_bytes(b"secret")
    text = (
        "![mine](drawn.png) ![other](secret.png) ![up](../drawn.png) ![zero](/dev/zero)\n\n"
        "[a](javascript:x) [b](JAVASCRIPT:x) [c](data:text/html,x) [d]( vbscript:x) [e](https://e.org) [f](results.csv)"
    )
    page = page_of(tmp_path, text, (tmp_path / "drawn.png",))
    assert page.count("data:image/png;base64,") == 1
    assert "c2VjcmV0" not in page
    assert page.count('src=""') == 3
    assert page.count('href=""') == 4
    assert 'href="https://e.org"' in page
    assert 'href="results.csv"' in page


def test_cells_are_no_formulas(tmp_path: Path) -> None:
    words = ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "plain", "a=b"]
    write_csv(tmp_path / "table.csv", pd.DataFrame({"class": words, "value": [-1.5] * len(words)}))
    lines = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert [line["class"] for line in lines] == [f"'{word}" for word in words[:5]] + words[5:]
    assert {line["value"] for line in lines} == {"-1.5"}


def test_a_report_with_such_names_is_drawn(tmp_path: Path) -> None:
    count = len(NAMES)
    values = np.linspace(-0.1, 0.3, 4 * count).astype(np.float32)
    margins = Margins("margin", values, np.zeros(4 * count, np.uint8), np.ones(4 * count, np.bool_), "linf")
    parts = classes_parts(margins, np.arange(4 * count) % count, NAMES, 0.1)
    files = ReportFiles(*[tmp_path / f"classes.{suffix}" for suffix in ("csv", "md", "png", "svg")])
    write_parts(parts, files)
    page = page_of(tmp_path, files.markdown.read_text(encoding="utf-8"), (files.png,))
    assert "<script" not in page
    assert "<script" not in files.svg.read_text(encoding="utf-8")
    assert page.count("<img") == 1

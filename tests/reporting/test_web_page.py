"""Web pages that need no other file."""

import base64
import re
from pathlib import Path

import pytest
import yaml

from pumalib.reporting.web_page import write_settings_page, write_web_page

SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='3' height='2'/>"


def test_page_holds_its_images_and_tables(tmp_path: Path) -> None:
    (tmp_path / "a&b.svg").write_text(SVG)
    text = "![A figure](a&b.svg)\n\n| run | \\|x\\| |\n| :-- | --: |\n| `a` | 1 < 2 |\n\n**Warning:** few."
    write_web_page("x < y", text, [tmp_path / "a&b.svg"], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    (source,) = re.findall(r'<img alt="A figure" src="data:image/svg\+xml;base64,([^"]+)"', page)
    assert base64.b64decode(source).decode() == SVG
    assert "<title>x &lt; y</title>" in page
    assert re.findall(r"<t[hd].*?>(.*?)</t[hd]>", page) == ["run", "|x|", "<code>a</code>", "1 &lt; 2"]
    assert "<strong>Warning:</strong> few." in page
    assert not re.search(r"<script|https?:|url\(", page)


def test_a_missing_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.png"):
        write_web_page("x", "![A figure](gone.png)", [tmp_path / "gone.png"], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_settings_are_yaml_in_their_order(tmp_path: Path) -> None:
    settings = {"study": "mine", "seeds": [0, 1], "runs": {"b": {"name": "<b>"}, "a": None}}
    write_settings_page("mine", settings, tmp_path / "settings.html")
    (listed,) = re.findall(r"<pre><code>(.*?)</code></pre>", (tmp_path / "settings.html").read_text(), re.DOTALL)
    read = yaml.safe_load(listed.replace("&lt;", "<").replace("&gt;", ">"))
    assert read == settings
    assert list(read["runs"]) == ["b", "a"]

"""A page of Markdown as one HTML file that needs no other: its images are inside, and it has no script.

HTML in the Markdown is shown as text, whoever wrote it. Only pictures that the workflow drew are put inside, and links
lead to pages of the web, of the study, or of the page itself.
"""

from __future__ import annotations

import base64
import html
import mimetypes
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml
from markdown import Markdown

from pumalib.reporting.files import write_text

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 90rem; margin: 1.5rem auto; padding: 0 1rem; }
p, li { max-width: 68rem; }
h1 { font-size: 1.4rem; }
h2, h3, h4 { font-size: 1.1rem; }
img { display: block; max-width: min(100%, 50rem); margin: 1rem 0; }
p:has(> img + img) { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
table { display: block; overflow-x: auto; border-collapse: collapse; margin: 1rem 0; }
table { font-size: 13px; font-variant-numeric: tabular-nums; }
table { background:
  linear-gradient(to right, #fff 40%, #fff0) left / 2rem 100% no-repeat local,
  linear-gradient(to left, #fff 40%, #fff0) right / 2rem 100% no-repeat local,
  linear-gradient(to right, #0003, #0000) left / 0.7rem 100% no-repeat scroll,
  linear-gradient(to left, #0003, #0000) right / 0.7rem 100% no-repeat scroll; }
th, td { border-bottom: 1px solid #ddd; padding: 0.25rem 0.6rem; }
th { vertical-align: bottom; }
@media (max-width: 40rem) { td { white-space: nowrap; } }
code { background: #f2f2f2; border-radius: 3px; padding: 0 0.2rem; }
pre code { display: block; padding: 0.8rem; overflow-x: auto; }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>"""
_IMAGE = re.compile(r'(<img [^>]*src=")([^"]*)"')
_LINK = re.compile(r'(<a [^>]*href=")([^"]*)"')
_LEADS_ELSEWHERE = re.compile(r"(?!https?:)[^/?#]*:")
"""Begins like `javascript:`."""


def write_web_page(title: str, text: str, images: Collection[Path], output: Path) -> None:
    """Write Markdown with tables as HTML.

    Args:
        title: of the page.
        text: Markdown; its images are named as files beside the page.
        images: the pictures that may be inside.
        output: the file to write.
    """
    drawn = {image.name: image for image in images}

    def embed(match: re.Match[str]) -> str:
        image = drawn.get(html.unescape(match[2]))
        return f'{match[1]}{_data_uri(image) if image else ""}"'

    def lead(match: re.Match[str]) -> str:
        return f'{match[1]}{"" if _LEADS_ELSEWHERE.match(html.unescape(match[2]).strip()) else match[2]}"'

    body = _LINK.sub(lead, _IMAGE.sub(embed, _as_html(text)))
    write_text(output, _PAGE.format(title=html.escape(title), style=_STYLE, body=body))


def write_settings_page(study: str, settings: Mapping[str, Any], output: Path) -> None:
    """Write the settings of a study as a web page, in YAML, in their order."""
    listed = yaml.safe_dump(dict(settings), sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    write_web_page(f"Settings of {study}", indent(listed, " " * 4), [], output)


def _as_html(text: str) -> str:
    """Convert Markdown, with HTML in it as text."""
    converter = Markdown(extensions=["tables"])
    converter.preprocessors.deregister("html_block")
    for name in ("html", "entity", "autolink", "automail"):
        converter.inlinePatterns.deregister(name)
    return str(converter.convert(text))


def _data_uri(image: Path) -> str:
    kind, _ = mimetypes.guess_type(image.name)
    return f"data:{kind};base64,{base64.b64encode(image.read_bytes()).decode()}"

"""A page of Markdown as one HTML file that needs no other: its images are inside, and it has no script."""

from __future__ import annotations

import base64
import html
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml
from markdown import markdown

from pumalib.reporting.files import write_text

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
body { max-width: 68rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; }
h2, h3, h4 { font-size: 1.1rem; }
img { display: block; max-width: min(100%, 50rem); margin: 1rem 0; }
table { display: block; overflow-x: auto; border-collapse: collapse; margin: 1rem 0; }
table { font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: 0.25rem 0.6rem; }
th { vertical-align: bottom; }
td { white-space: nowrap; }
code { background: #f2f2f2; border-radius: 3px; padding: 0 0.2rem; }
pre code { display: block; padding: 0.8rem; overflow-x: auto; }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>"""
_IMAGE = re.compile(r'(<img [^>]*src=")([^"]+)"')


def write_web_page(title: str, text: str, folder: Path, output: Path) -> None:
    """Write Markdown with tables as HTML.

    Args:
        title: of the page.
        text: Markdown; its images are files.
        folder: what the paths of its images are relative to.
        output: the file to write.
    """

    def embed(match: re.Match[str]) -> str:
        return f'{match[1]}{_data_uri(folder / html.unescape(match[2]))}"'

    body = _IMAGE.sub(embed, markdown(text, extensions=["tables"]))
    write_text(output, _PAGE.format(title=html.escape(title), style=_STYLE, body=body))


def write_settings_page(study: str, settings: Mapping[str, Any], output: Path) -> None:
    """Write the settings of a study as a web page, in YAML, in their order."""
    listed = yaml.safe_dump(dict(settings), sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    write_web_page(f"Settings of {study}", indent(listed, " " * 4), output.parent, output)


def _data_uri(image: Path) -> str:
    kind, _ = mimetypes.guess_type(image.name)
    return f"data:{kind};base64,{base64.b64encode(image.read_bytes()).decode()}"

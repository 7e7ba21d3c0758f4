"""The page's own HTML, CSS and JavaScript, which lie beside this module. Imports no NumPy."""

from __future__ import annotations

import hashlib
from importlib.resources import files

SCRIPTS = ("data.js", "filters.js", "value.js", "grid.js", "row.js", "controls.js")
"""In the order in which they make one script."""
NAMES = ("browse.html", "browse.css", *SCRIPTS)


def asset(name: str) -> str:
    """Return the text of one of these files."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def asset_digests() -> dict[str, str]:
    """Return a 16-digit hash of each, so that an edit of one makes pages again as an edit of a module does."""
    return {name: hashlib.sha256(asset(name).encode()).hexdigest()[:16] for name in NAMES}

"""Reading a page of `puma browse` as its script does, in Python."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def told_by(path: Path) -> dict[str, Any]:
    """Return what the page says, columns still in base64."""
    (text,) = re.findall(r'<script type="text/plain" id="page-data">(.*?)</script>', path.read_text(), re.DOTALL)
    told: dict[str, Any] = json.loads(text)
    return told


def numbers(packed: str, dtype: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(packed), dtype)


def picture(path: Path, name: str) -> NDArray[np.uint8]:
    """Return a sheet [H, W] or [H, W, C]."""
    (text,) = re.findall(rf'<script type="text/plain" id="{name}">(.*?)</script>', path.read_text(), re.DOTALL)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def tile(path: Path, collection: int, position: int, layout: dict[str, Any], kind: str = "sheet") -> NDArray[np.uint8]:
    """Return the thumbnail of a row."""
    sheet = picture(path, f"{kind}-{collection}-{position // 256}")
    line, place = divmod(position % 256, layout["columns"])
    top, left = line * layout["pitchHeight"], place * layout["pitchWidth"]
    return sheet[top : top + layout["height"], left : left + layout["width"]]

"""Photographs for tests: JPEGs with structure, of any size."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def photograph(seed: int, width: int, height: int) -> Image.Image:
    """Return a smooth colour image with a little noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    noisy = np.asarray(coarse).astype(np.int64) + rng.integers(-8, 9, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def jpeg(seed: int, width: int = 24, height: int = 20, **options: object) -> bytes:
    """Return the bytes of a JPEG."""
    buffer = io.BytesIO()
    photograph(seed, width, height).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def put(root: Path, name: str, content: bytes) -> None:
    """Write a file below a folder."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)

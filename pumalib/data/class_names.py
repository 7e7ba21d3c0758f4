"""The names of classes that files of images carry."""

from __future__ import annotations

import h5py
import numpy as np

from pumalib.errors import ArtifactError


def class_names_in(file: h5py.File) -> tuple[str, ...]:
    """Read the class names of a dataset, a pool or a learned set, in label order.

    Raises:
        ArtifactError: none, or something else than different texts.
    """
    names = file.attrs.get("class_names")
    texts = names.tolist() if isinstance(names, np.ndarray) and names.ndim == 1 else []
    if not texts or len(set(texts)) < len(texts) or not all(isinstance(text, str) for text in texts):
        raise ArtifactError(f"expected different class names in {file.filename}, got {names!r:.80}; make it again")
    return tuple(texts)

import doctest
import importlib
from pathlib import Path

import pytest

import pumalib

PACKAGE = Path(pumalib.__file__).parent
FACE = {
    "deepfool_margins",
    "fast_margins",
    "refined_margins",
    "adaptive_epsilons",
    "select",
    "train",
    "evaluate",
    "load_checkpoint",
}


def modules_with_examples() -> list[str]:
    paths = [path for path in PACKAGE.rglob("*.py") if ">>>" in path.read_text()]
    return sorted(".".join(("pumalib", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in paths)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_give_what_they_say(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_function_of_the_face_has_an_example():
    assert [name for name in sorted(FACE) if ">>>" not in (getattr(pumalib, name).__doc__ or "")] == []


def test_the_face_names_what_it_exports():
    assert all(hasattr(pumalib, name) for name in pumalib.__all__)
    with pytest.raises(AttributeError, match=r"^No pumalib attribute margins$"):
        _ = pumalib.margins

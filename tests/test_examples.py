import doctest
import importlib
from pathlib import Path

import pytest

import pumalib
from pumalib.reference.names import entries

PACKAGE = Path(pumalib.__file__).parent
PUBLIC = {f"{each.module}.{each.name}" for found in entries().values() for each in found}
"""Names whose examples tests/reference/test_api_page.py and tests/cli/test_examples_on_files.py run."""


def modules_with_examples() -> list[str]:
    paths = [path for path in PACKAGE.rglob("*.py") if ">>>" in path.read_text()]
    return sorted(".".join(("pumalib", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in paths)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_give_what_they_say(name):
    found = [test for test in doctest.DocTestFinder().find(importlib.import_module(name)) if test.examples]
    assert found
    for test in found:
        if test.name not in PUBLIC:
            assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_the_face_names_what_it_exports():
    assert all(hasattr(pumalib, name) for name in pumalib.__all__)
    with pytest.raises(AttributeError, match=r"^No pumalib attribute margins$"):
        _ = pumalib.margins

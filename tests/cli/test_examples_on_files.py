"""Examples of docstrings that read files of a study, run on a small one in its place."""

import doctest
import importlib
from pathlib import Path

import pytest
from test_commands_on_files import on_small_study

from pumalib.reference.definitions import Definition
from pumalib.reference.names import entries
from pumalib.study.docstrings import parse

ON_FILES = [
    pytest.param(each, id=each.name)
    for found in entries().values()
    for each in found
    if "results/" in parse(each.text).sections.get("Example", "")
]


@pytest.mark.parametrize("found", ON_FILES)
def test_example_works_on_the_files_of_a_study(copied_study: Path, found: Definition) -> None:
    example = on_small_study(parse(found.text).sections["Example"])
    known = {found.name: getattr(importlib.import_module(found.module), found.name)}
    test = doctest.DocTestParser().get_doctest(example, known, found.name, None, 0)
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0

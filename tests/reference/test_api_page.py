"""The page of public names: it is complete, and each name says what a reader needs."""

import ast
import doctest
import importlib
import json
import re
from pathlib import Path

import pytest

import pumalib
from pumalib.reference.definitions import Definition, Function, arguments, face, fields, find
from pumalib.reference.key_groups import is_settings
from pumalib.reference.names import SECTIONS, TYPES, entries
from pumalib.reference.page import as_page
from pumalib.study.docstrings import Docstring, parse

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/api.md"
FOR_USERS = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
"""CONTRIBUTING.md is left out: what it builds on is no part of what is promised."""
LISTED = [each for title, found in entries().items() for each in found if title not in (TYPES, "Errors")]
ALL = [each for found in entries().values() for each in found]
PUBLISHED = {
    *("deepfool_margins", "refined_margins", "fast_margins", "published_deepfool_margins", "extrapolated_margins"),
    *("adaptive_epsilons", "train", "evaluate", "crossed_mean", "crossed_difference", "resampled_mean"),
    *("TradesSettings", "PgdAtSettings", "NaturalSettings", "OnlineMarginEpsilon", "IaatEpsilon", "CatEpsilon"),
    *("CwPgdSettings", "PgdSettings", "SquareSettings", "MinimumNormSettings", "AutoattackSettings", "Estimate"),
}
"""What follows a publication, or says that it does not."""
RAISES_NOTHING = {"size_of", "draw_contact_sheet", "text_histogram", "use_precision", "keep_freed_memory"}
ON_PIXELS = {"epsilon", "epsilons", "gap", "up_to", "step_size", "perturbation_norm", "mean_epsilon", "distance"}
"""Arguments and attributes that are distances between images."""
OF_ARRAYS = ("ArrayLike", "NDArray", "Tensor")


def ids(found: list[Definition]) -> list[object]:
    return [pytest.param(each, id=each.name) for each in found]


def taken(found: Definition) -> dict[str, str]:
    """Return the annotations of what a function takes, or of the fields of a class."""
    if isinstance(found.node, Function):
        given = arguments(found.node)
    else:
        given = fields(found.node) if isinstance(found.node, ast.ClassDef) and not is_settings(found) else []
    return {name.strip("*"): "" if kind is None else ast.unparse(kind) for name, kind, _ in given if name != "*"}


def said(text: Docstring) -> dict[str, str]:
    found = [*text.entries("Args"), *text.entries("Attributes")]
    return {name: entry.text for entry in found for name in entry.name.split(", ")}


def imported_on_pages() -> set[tuple[str, str]]:
    """Return the names that pages for users import or name with their module, each with it."""
    notebook = json.loads((ROOT / "docs/open-the-files.ipynb").read_text())
    texts = [page.read_text() for page in FOR_USERS if page != PAGE]
    texts += ["".join(cell["source"]) for cell in notebook["cells"]]
    found = set()
    for text in texts:
        for module, names in re.findall(r"from (pumalib[\w.]*) import ([\w, ]+)", text):
            found |= {(module, name.strip()) for name in names.split(",")}
        found |= {(module, name) for module, name in re.findall(r"`(pumalib[\w.]*)\.(\w+)[`(]", text)}
    return found


def test_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == as_page(), "run `make api`"


def test_every_name_of_the_library_stands_on_the_page() -> None:
    headings = re.findall(r"^##+ (.*)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert sorted(set(pumalib.__all__) - {heading.strip("`") for heading in headings}) == []
    addresses = [heading.lower().replace("`", "") for heading in headings]
    assert sorted(name for name in addresses if addresses.count(name) > 1) == []


def test_every_name_that_other_pages_import_stands_on_the_page() -> None:
    known = {(each.module, each.name) for each in ALL}
    missing = []
    for module, name in imported_on_pages():
        home = face().get(name, "") if module == "pumalib" else module
        is_module = (ROOT / module.replace(".", "/") / name).with_suffix(".py").exists()
        definition = None if is_module or not home or home.count(".") == 0 else find_or_none(home, name)
        if definition is not None and (definition.module, definition.name) not in known:
            missing.append(f"{module}.{name}")
    assert missing == []
    assert len(imported_on_pages()) > 20


def find_or_none(module: str, name: str) -> Definition | None:
    path = ROOT / module.replace(".", "/")
    return find(module, name) if path.with_suffix(".py").is_file() else None


def test_sections_name_each_name_once() -> None:
    names = [name for found in SECTIONS.values() for name in found]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("found", ids(ALL))
def test_name_is_described(found: Definition) -> None:
    assert parse(found.text).summary.endswith((".", ":")), found.text
    assert set(said(parse(found.text))) == set(taken(found))


@pytest.mark.parametrize("found", ids(ALL))
def test_arrays_have_shapes_and_distances_have_units(found: Definition) -> None:
    text = said(parse(found.text))
    kinds = taken(found)
    assert [name for name, kind in kinds.items() if any(of in kind for of in OF_ARRAYS) and "[" not in text[name]] == []
    units = ("pixel scale", "units of the images")
    assert [name for name in ON_PIXELS & set(kinds) if not any(unit in text[name] for unit in units)] == []


@pytest.mark.parametrize("found", ids([each for each in ALL if isinstance(each.node, Function)]))
def test_function_says_what_it_returns_and_raises(found: Definition) -> None:
    text = parse(found.text)
    assert isinstance(found.node, Function)
    returns = "" if found.node.returns is None else ast.unparse(found.node.returns)
    assert ("Returns" in text.sections) == (returns != "None")
    assert ("Raises" in text.sections) != (found.name in RAISES_NOTHING)


def test_published_methods_name_their_source() -> None:
    assert sorted(each.name for each in ALL if "Source" in parse(each.text).sections) == sorted(PUBLISHED)


@pytest.mark.parametrize("found", ids(LISTED))
def test_example_is_complete_and_gives_what_it_says(found: Definition) -> None:
    """An example has the name itself, and imports all else. Those on files are run by tests/cli."""
    example = parse(found.text).sections["Example"]
    if "results/" in example:
        return
    known = {found.name: getattr(importlib.import_module(found.module), found.name)}
    test = doctest.DocTestParser().get_doctest(example, known, found.name, None, 0)
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0

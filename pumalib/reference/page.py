"""The public names of the library as a page of Markdown, with signatures, shapes, errors, sources and examples.

`python -m pumalib.reference.page` (or: make api) prints it as docs/api.md. Imports no torch.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from pumalib.reference.definitions import (
    Arguments,
    Definition,
    Function,
    arguments,
    as_python,
    face,
    fields,
    is_property,
    methods,
    named_types,
    signature,
)
from pumalib.reference.key_groups import settings_class
from pumalib.reference.names import entries
from pumalib.settings import Settings
from pumalib.study.docstrings import Docstring, as_line, parse
from pumalib.study.keys import key_table

_HEADER = """# Every function

This page lists what you can import from `pumalib`, with shapes, units, errors and an example that runs. `make api`
writes it from the code, and a test keeps it up to date.

```python
from pumalib import Cut, deepfool_margins, select, train
```

* **Shapes** stand in brackets: [N] rows of a pool, [K] of them that are kept, [B] images of a batch, [C, H, W]
  channels, height and width. Where K counts classes instead, the text says so.
* **Pixel scale** means that black is 0 and white is 1. Margins, epsilons and steps are distances on that scale, in the
  norm of the threat.
* **An argument behind `*`** is given by its name.
* **Errors** stand in the last section. Each is one sentence: what was expected, what came and what to do.
* Names with a longer path (`from pumalib.inspection.files import ...`) serve notebooks. They change more often than
  those of `pumalib` itself."""

Links = Mapping[str, str]
"""The address on the page of each name that stands on it."""

_SETTINGS = "Keyword arguments, which are also keys of a study. Give a group of keys as a mapping."


def as_page() -> str:
    """Return the page."""
    sections = entries()
    headings = _headings([each for found in sections.values() for each in found])
    links = {name: re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for name, heading in headings.items()}
    lines = [_HEADER]
    for title, found in sections.items():
        lines += ["", f"## {title}", "", ", ".join(_linked(f"`{each.name}`", links) for each in found)]
        for each in found:
            lines += ["", f"### {headings[each.name]}", "", *_entry(each, links)]
    return "\n".join(lines) + "\n"


def _headings(found: list[Definition]) -> dict[str, str]:
    """Return the heading of each name; addresses have no capitals, so a second name of the same letters says more."""
    headings: dict[str, str] = {}
    for each in found:
        is_second = each.name.lower() in map(str.lower, headings)
        headings[each.name] = f"`{each.name}` type" if is_second else f"`{each.name}`"
    return headings


def _entry(found: Definition, links: Links) -> list[str]:
    text = parse(found.text)
    links = {name: address for name, address in links.items() if name != found.name}
    lines = [_prose(text.summary, links), *(line for each in text.paragraphs for line in ("", _prose(each, links)))]
    lines += ["", "```python", f"from {_home(found)} import {found.name}", *_code(found), "```", *_types(found, links)]
    settings = settings_class(found)
    if settings is not None:
        lines += _keys(settings, links)
    lines += _bullets("", text, "Args" if isinstance(found.node, Function) else "Attributes", links)
    if isinstance(found.node, ast.ClassDef) and settings is None:
        lines += _members(found.node, links)
    lines += _paragraph("Returns", text, links)
    lines += _bullets("**Raises:**", text, "Raises", links)
    lines += _paragraph("Source", text, links)
    if "Example" in text.sections:
        lines += ["", "**Example:**", "", "```pycon", text.sections["Example"], "```"]
    return lines


def _keys(settings: type[Settings], links: Links) -> list[str]:
    """Return the keys of settings, but for those of settings above them that stand on the page."""
    base = next((each for each in settings.__mro__[1:] if each.__name__ in links and issubclass(each, Settings)), None)
    rest = "" if base is None else f" Also all of {_linked(f'`{base.__name__}`', links)}, with the same defaults."
    return ["", _SETTINGS + rest, *key_table(settings, but_those_of=base)]


def _home(found: Definition) -> str:
    return "pumalib" if face().get(found.name) == found.module else found.module


def _code(found: Definition) -> list[str]:
    """Return the signature of a function or of a class that is called, or the definition of an alias."""
    node = found.node
    if isinstance(node, Function):
        return ["", signature(found.name, arguments(node), node.returns, found.module)]
    if isinstance(node, ast.Assign):
        return ["", as_python(node)]
    if isinstance(node, ast.ClassDef) and settings_class(found) is None and fields(node):
        return ["", signature(found.name, fields(node), None, found.module)]
    return []


def _types(found: Definition, links: Links) -> list[str]:
    """Return links to the types that a signature or an alias names."""
    if settings_class(found) is not None:
        return []
    names = dict.fromkeys(each.name for each in named_types(found) if each.name in links)
    return ["", f"Types: {', '.join(_linked(f'`{name}`', links) for name in names)}."] if names else []


def _members(node: ast.ClassDef, links: Links) -> list[str]:
    """Return a line for each property and method of a class."""
    found = methods(node)
    return ["", *(_member(each, links) for each in found)] if found else []


def _member(function: Function, links: Links) -> str:
    said = _prose(parse(ast.get_docstring(function) or "").summary, links)
    taken: Arguments = [] if is_property(function) else arguments(function)
    name = function.name if is_property(function) else as_line(signature(function.name, taken, function.returns, ""))
    return f"* `{name}`: {said}"


def _paragraph(title: str, text: Docstring, links: Links) -> list[str]:
    said = text.sections.get(title)
    return [] if said is None else ["", f"**{title}:** {_prose(as_line(said), links)}"]


def _bullets(heading: str, text: Docstring, title: str, links: Links) -> list[str]:
    lines = [f"* {_names(each.name, links)}: {_prose(each.text, links)}" for each in text.entries(title)]
    return ["", *([heading, ""] if heading else []), *lines] if lines else []


def _names(names: str, links: Links) -> str:
    return ", ".join(_linked(f"`{name}`", links) for name in names.split(", "))


def _prose(text: str, links: Links) -> str:
    """Return text as Markdown: what it would read as a tag or as emphasis is escaped, and names become links."""
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(_linked(part, links) if part.startswith("`") else _plain(part) for part in parts)


def _plain(text: str) -> str:
    return re.sub(r"\bdocs/([\w-]+\.md)", r"[\1](\1)", re.sub(r"([*<])", r"\\\1", text))


def _linked(code: str, links: Links) -> str:
    name = code.strip("`")
    return f"[`{name}`](#{links[name]})" if name in links else code.replace("``", "`")


if __name__ == "__main__":
    print(as_page(), end="")

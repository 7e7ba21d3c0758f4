"""The page of every key: complete by the settings themselves, with ranges."""

import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field
from test_setting_defaults import every_settings_class

from pumalib.settings import Name, PixelAmount, PixelAmountOrZero, Settings, UserObject
from pumalib.study.key_values import values_of
from pumalib.study.keys import key_table

PAGE = (Path(__file__).parents[2] / "docs/keys.md").read_text(encoding="utf-8")
TABLES = {table.strip() for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.M)}
OF_A_STUDY = sorted(
    {each for each in every_settings_class() if each.__module__.startswith("pumalib.")}, key=lambda each: each.__name__
)
MADE_OF_KEYS = {"Run", "ImportedRun", "RunSettings", "SelectionSettings"}
"""What reading a study makes of its keys, for the jobs: no group of keys itself."""


class Example(Settings):
    """Keys of each kind."""

    share: float = Field(default=0.5, ge=0, lt=1)
    count: int | None = Field(default=None, gt=0)
    radius: PixelAmount | None = None
    bound: PixelAmountOrZero = 0.0
    name: Name = "a"
    code: UserObject = "a:b"
    choice: Literal["x", "y"] | bool = True
    names: Annotated[tuple[Name, ...], Field(min_length=2)] = ("a", "b")
    pair: tuple[float, float] = (0.0, 1.0)
    side: Annotated[int, Field(gt=0, le=65_536)] = 8
    lowest: float = Field(default=0, le=100)
    groups: dict[str, int] = Field(default_factory=dict)
    inner: "dict[str, Settings] | None" = None


@pytest.mark.parametrize(
    ("key", "said"),
    {
        "share": "number in [0, 1)",
        "count": "whole number above 0",
        "radius": "amount above 0",
        "bound": "amount of at least 0",
        "name": "name",
        "code": "`module:name`",
        "choice": "`x`, `y` or true or false",
        "names": "list of at least 2: name",
        "pair": "list of 2: number",
        "side": "whole number in (0, 65,536]",
        "lowest": "number of at most 100",
        "groups": "mapping: whole number",
        "inner": "mapping: mapping",
    }.items(),
)
def test_value_of_a_key_is_told_in_words(key: str, said: str) -> None:
    assert values_of(Example.model_fields[key]) == said


def test_same_keys_of_another_group_are_left_out() -> None:
    class More(Example):
        share: float = Field(default=0.7, ge=0, lt=1)
        """Of all."""
        extra: int = 1
        """One more."""

    assert key_table(More, but_those_of=Example)[3:] == [
        "| `share` | number in [0, 1) | `0.7` | Of all. |",
        "| `extra` | whole number | `1` | One more. |",
    ]


@pytest.mark.parametrize("settings", OF_A_STUDY, ids=lambda each: each.__name__)
def test_every_key_of_every_group_stands_on_the_page(settings: type[Settings]) -> None:
    """Each group has its own table, whether or not the page reaches it by the way that its maker thought of."""
    is_base = settings.__name__.startswith("_") or settings.__subclasses__() or settings.__abstractmethods__
    table = "\n".join(key_table(settings)[1:])
    if table and not is_base and settings.__name__ not in MADE_OF_KEYS:
        assert table in TABLES, f"{settings.__module__}.{settings.__name__}: run `make keys`"


def test_every_key_has_a_range_a_default_and_a_meaning() -> None:
    rows = [row for table in TABLES for row in table.splitlines()[2:]]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    assert len(cells) > 500
    assert [row for row in cells if len(row) != 4 or not all(row)] == []

"""The sections of a study's page, and what stands in one."""

from __future__ import annotations

from inspect import isabstract
from typing import Any, ClassVar, Literal, get_args

from pumalib.settings import Settings

Section = Literal[
    "Gate",
    "Primary contrast",
    "Accuracy",
    "Errors of students",
    "Accuracy of students",
    "Margins and images",
    "Training and cost",
]
"""A section of the page of a study."""

SECTIONS: tuple[Section, ...] = get_args(Section)
"""Every section, in reading order."""


class SectionSettings(Settings):
    """A report that stands in a section of the page."""

    kind: str
    section: ClassVar[Section]
    writes_page: ClassVar[bool] = False
    """Whether it writes its own web page, rather than leaving that to the job that makes them of Markdown."""
    writes_json: ClassVar[bool] = False
    """Whether it also writes its numbers as JSON, for other programs."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a kind without a section, or with one that the page has not."""
        super().__pydantic_init_subclass__(**kwargs)
        section = getattr(cls, "section", "none")
        if not isabstract(cls) and section not in SECTIONS:
            raise TypeError(f"expected a section of {cls.__name__} among {', '.join(SECTIONS)}, got {section}")

"""The page of a study: one README beside its results, which every forge and viewer renders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pumalib.reporting.files import write_text

_RELATIVE_LINK = re.compile(r"\]\((?!\w+:|/|#)([^)]+)\)")
_WARNING = "**Warning:**"
_ALARM = "**Gate failed.**"
"""How a paragraph begins that stands at the head of the page as well."""
_FORMS = ("csv", "md", "png", "svg")


def write_study_page(about: str, table: Path, reports: Sequence[Path], folders: Sequence[str], output: Path) -> None:
    """Write the page: what the study is, every report with its figure, each warning once, and where the files are.

    The verdict of a gate that failed stands above all.

    Args:
        about: a paragraph of Markdown.
        table: the file with every number, beside the page.
        reports: pages (Markdown) of the reports, in the order of the page, in a folder below it.
        folders: names of the folders beside the page.
        output: the file to write.
    """
    sections = _without_repeated_warnings(
        [f"## {report.stem}\n\n{_embedded(report, output.parent)}" for report in reports]
    )
    links = [
        f"* [{table.name}]({table.name}): every number",
        *(f"* {report.stem}: {_forms(report, output.parent)}" for report in reports),
        "* [settings.html](settings.html): every setting, defaults too; for a browser",
        *(f"* [{folder}/]({folder}/)" for folder in folders),
    ]
    alarms = [paragraph for section in sections for paragraph in section.split("\n\n") if paragraph.startswith(_ALARM)]
    parts = [f"# {output.parent.name}", *alarms, about, *sections, "## Files", "\n".join(links)]
    write_text(output, "\n\n".join(parts))


def _embedded(report: Path, folder: Path) -> str:
    """Return a report's page with its headings two levels down, and its links relative to another folder."""
    inside = report.parent.relative_to(folder).as_posix()
    text = _RELATIVE_LINK.sub(rf"]({inside}/\1)", report.read_text(encoding="utf-8").strip())
    return re.sub(r"^(#+ )", r"##\1", text, flags=re.MULTILINE)


def _without_repeated_warnings(sections: Sequence[str]) -> list[str]:
    """Leave out each paragraph of warning that stands in a section above."""
    seen: set[str] = set()
    kept = []
    for section in sections:
        paragraphs = section.split("\n\n")
        kept.append("\n\n".join(each for each in paragraphs if not (each.startswith(_WARNING) and each in seen)))
        seen.update(paragraphs)
    return kept


def _forms(report: Path, folder: Path) -> str:
    beside = report.relative_to(folder)
    forms = [*_FORMS, *(["json"] if report.with_suffix(".json").is_file() else [])]
    return ", ".join(f"[{form}]({beside.with_suffix(f'.{form}').as_posix()})" for form in forms)

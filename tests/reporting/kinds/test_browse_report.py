"""The report of pictures: what each class loses, counted by hand, and the page beside it."""

from pathlib import Path

import browsed_study
import numpy as np
import pandas as pd
import pytest
from browse_page import numbers, told_by

from pumalib.browsing.collection import Collection, Facet
from pumalib.reporting.kinds.browse import by_class, draw, lost_by_class, make, told
from pumalib.reporting.parts import ReportFiles
from pumalib.reporting.settings.browse import BrowseSettings
from pumalib.reporting.stage import write_report

SETTINGS = BrowseSettings(run="mine")


@pytest.fixture(scope="module")
def selection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return browsed_study.of_files(tmp_path_factory.mktemp("study") / "results/files")


def rows_of(labels: list[int], fates: list[int], sources: list[int], names: tuple[str, ...]) -> Collection:
    def images(positions: np.ndarray) -> np.ndarray:
        return np.zeros((len(positions), 2, 2, 1), np.uint8)

    facets = {
        "fate": Facet(("kept", "pruned: easiest", "pruned: random"), np.array(fates)),
        "source": Facet(("real", "synthetic"), np.array(sources)),
    }
    return Collection("rows", np.arange(len(labels)), names, np.array(labels), facets, {}, {}, images)


def test_classes_that_lose_most_come_first_and_sources_without_rows_are_left_out() -> None:
    rows = rows_of([0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 0, 2, 1, 0], [0, 1, 1, 0, 0, 0, 0], ("cat", "do|g"))
    lost = lost_by_class(rows)
    assert lost.to_numpy().tolist() == [
        ["cat", "real", 1, 1, 0],
        ["cat", "synthetic", 2, 1, 1],
        ["do|g", "real", 4, 2, 2],
    ]
    classes = by_class(lost)
    assert classes["share"].to_dict() == {"do|g": 0.5, "cat": pytest.approx(1 / 3)}
    lines = told(classes, SETTINGS).splitlines()
    assert lines[2:5] == [r"| do\|g | 4 | 2 | 50.0 |", "| cat | 3 | 2 | 33.3 |", "| all | 7 | 4 | 42.9 |"]
    bars = draw(classes).axes[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([50, 100 / 3])


def test_of_many_classes_those_that_lose_most_are_shown() -> None:
    labels = list(range(40)) * 2
    fates = [1 if label >= 35 and at < 40 else 0 for at, label in enumerate(labels)]
    classes = by_class(lost_by_class(rows_of(labels, fates, [0] * 80, tuple(f"class {n}" for n in range(40)))))
    text = told(classes, SETTINGS)
    assert "The 30 classes of which `mine` prunes most come first" in text
    assert "| class 39 |" in text
    assert "| class 30 |" not in text
    assert "| all | 80 | 75 | 6.2 |" in text  # of all classes
    assert len(draw(classes).axes[0].patches) == 30


def test_report_writes_the_page_beside_its_table_and_leads_to_it(selection: Path, tmp_path: Path) -> None:
    files = ReportFiles(*(tmp_path / f"look.{suffix}" for suffix in ("csv", "md", "png", "svg", "html")))
    arguments = {"selection": str(selection), "scores": [], "attacks": []}
    write_report({**SETTINGS.model_dump(), "count": 40}, arguments, files)
    assert files.markdown.read_text().startswith("[look.html](look.html) has every row as a picture.")
    table = pd.read_csv(files.csv)
    assert (table["rows"].sum(), table["kept"].sum(), table["pruned"].sum()) == (60, 48, 12)
    assert files.html is not None
    rows = told_by(files.html)["collections"][0]
    assert len(numbers(rows["rows"], "<u4")) == 40
    assert rows["sample"].startswith("A sample: 40 of 60 rows")


def test_scores_asked_for_are_shown_first(selection: Path, tmp_path: Path) -> None:
    other = selection.parents[2] / "scores/other/seed0.h5"
    browsed_study.write_margins(selection.parents[2] / "pools/mine/seed0.h5", other, np.linspace(1, 2, 60))
    parts = make(SETTINGS, selection=selection, scores=[other], attacks=[])
    assert parts.page is not None
    parts.page(tmp_path / "look.html")
    values = told_by(tmp_path / "look.html")["collections"][0]["values"]
    assert [each["name"] for each in values] == ["other", "margin", "epsilon"]

"""The page of a study, and the paragraph that opens it."""

import re
from pathlib import Path

from pumalib.reporting.study_page import write_study_page
from pumalib.study.file import load_study
from pumalib.study.words import describe_study

ROOT = Path(__file__).parents[2]


def test_page_holds_reports_in_order_with_links_from_its_own_place(tmp_path: Path) -> None:
    reports = tmp_path / "mine/reports"
    reports.mkdir(parents=True)
    (reports / "b.md").write_text("![A figure](b.png)\n\n# Title\n\n[far](https://example.org/x) [top](#b)\n")
    (reports / "a.md").write_text("| x |\n| --: |\n")
    write_study_page(
        "About.",
        tmp_path / "mine/results.csv",
        [reports / "b.md", reports / "a.md"],
        ["logs"],
        tmp_path / "mine/README.md",
    )
    page = (tmp_path / "mine/README.md").read_text()
    assert page.startswith("# mine\n\nAbout.\n\n## b\n\n![A figure](reports/b.png)\n\n### Title\n\n")
    assert re.findall(r"^##? .*", page, re.MULTILINE) == ["# mine", "## b", "## a", "## Files"]
    assert "[far](https://example.org/x) [top](#b)" in page
    assert "* b: [csv](reports/b.csv), [md](reports/b.md), [png](reports/b.png), [svg](reports/b.svg)" in page
    assert page.endswith("* [logs/](logs/)\n")


def test_page_says_a_warning_once(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    reports = [tmp_path / f"reports/{name}.md" for name in ("a", "b")]
    reports[0].write_text("One.\n\n**Warning:** few seeds.\n")
    reports[1].write_text("One.\n\n**Warning:** few seeds.\n\n**Warning:** wrong labels.\n")
    write_study_page("About.", tmp_path / "results.csv", reports, [], tmp_path / "README.md")
    page = (tmp_path / "README.md").read_text()
    assert page.count("One.") == 2
    assert re.findall(r"\*\*Warning:.*", page) == ["**Warning:** few seeds.", "**Warning:** wrong labels."]
    assert page.index("few seeds") < page.index("## b") < page.index("wrong labels")


def test_studies_are_told_in_a_paragraph() -> None:
    told = describe_study(load_study(ROOT / "config.yaml"))
    assert "4 runs (`trades`, `random-20`" in told
    assert "seeds 0, 1, 2, 3, 4. Threat: L-inf perturbations of at most 0.1 on" in told
    assert "`digits+10k` (the train rows of `digits` and 10,000 synthetic ones, generator)" in told
    assert describe_study(load_study(ROOT / "studies/abstraction.yaml")).startswith("Study `abstraction`: ")
    assert "`" in describe_study(load_study(ROOT / "studies/digits-rdl.yaml"))

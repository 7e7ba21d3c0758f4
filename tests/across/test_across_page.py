"""The page over several studies: its numbers are those of the studies, and its links lead somewhere."""

import re
from pathlib import Path

import pytest
from made_results import MadeResults

from pumalib.across.finished import finished_study
from pumalib.across.trade_offs import points_by_question
from pumalib.cli.main import main

Capture = pytest.CaptureFixture[str]


def report(*studies: str, out: str = "page.html") -> int:
    return main(["report", *studies, "--out", out])


def cells_of(page: Path) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", page.read_text(), re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(?:<code>)?(.*?)(?:</code>)?</t[hd]>", row) for row in rows]


def test_every_run_stands_there_with_the_differences_of_its_own_study(finished: Path, capsys: Capture) -> None:
    assert report("results/one", "results/two") == 0
    assert capsys.readouterr().out.startswith("page.html: ")
    header, *rows = cells_of(finished / "page.html")
    assert header[:6] == ["study", "run", "dataset", "seeds", "clean (%)", "vs baseline"]
    assert [row[:11] for row in rows] == [
        ["one", "trades", "digits", "5", "100.00 ± 0.00", "-", "cw", "L-inf 0.1", "30.00 ± 0.00", "-", "-"],
        ["one", "puma", "digits", "5", "100.00 ± 0.00", "+0.00 [-5.00, 5.00]", "cw", "L-inf 0.1", "42.00 ± 4.47",
         "+12.34* [7.34, 17.34]", "trades"],
        ["two", "puma", "digits", "3", "100.00 ± 0.00", "-", "cw", "L-inf 0.1", "30.00 ± 0.00", "-", "-"],
    ]  # fmt: skip


def test_page_needs_no_other_file_and_repeats_what_gate_and_primary_contrast_said(finished: Path) -> None:
    assert report("results/one", "results/two") == 0
    page = (finished / "page.html").read_text()
    assert "<strong>Gate passed.</strong> No smaller epsilon beats" in page
    assert "<strong>Primary contrast: better.</strong>" in page
    assert "No gate and no primary contrast: every comparison of this study is exploratory." in page
    assert not re.search(r"<script|src=\"(?!data:)|https?:|url\(", page)
    assert list(finished.glob("*.part*")) == []


def test_links_lead_to_the_files_of_each_study_from_where_the_page_lies(finished: Path) -> None:
    (finished / "pages").mkdir()
    assert report("results/one", "results/two", out="pages/all.html") == 0
    links = re.findall(r'href="([^"]+)"', (finished / "pages/all.html").read_text())
    assert links[0] == "../results/one/README.md"
    assert all((finished / "pages" / link).is_file() for link in links)
    assert "../results/two/results.csv" in links


def test_runs_of_one_dataset_and_attack_share_a_figure_and_others_do_not(finished: Path) -> None:
    other = MadeResults(finished / "results/three")
    other.threat = {"norm": "l2", "epsilon": 0.5}
    other.attack("trades", (0,), [[1, 0]])
    other.collect()
    other.tell_settings()
    studies = [finished_study(f"results/{name}") for name in ("one", "two", "three")]
    figures = points_by_question(studies)
    assert [question.title for question in figures] == ["digits, cw_pgd, L-inf 0.1", "digits, cw_pgd, L2 0.5"]
    found = [[(point.study, point.run, point.robust.mean) for point in points] for points in figures.values()]
    assert found == [[(1, "trades", 0.3), (1, "puma", pytest.approx(0.42)), (2, "puma", 0.3)], [(3, "trades", 0.5)]]


def test_page_has_the_same_bytes_each_time(finished: Path) -> None:
    for name in ("a.html", "b.html"):
        assert report("results/one", "results/two", out=name) == 0
    assert (finished / "a.html").read_bytes() == (finished / "b.html").read_bytes()


def test_study_without_results_is_refused_before_anything_is_written(finished: Path, capsys: Capture) -> None:
    (finished / "results/two/results.csv").unlink()
    assert report("results/one", "results/two") == 1
    told = "Error: expected results/two/results.csv of results/two, found none; run the study first\n"
    assert capsys.readouterr().err == told
    assert report("results/one", "results/gone") == 1
    assert "expected a study file, found nothing at results/gone" in capsys.readouterr().err
    assert not (finished / "page.html").exists()


def test_comparison_that_is_not_there_any_more_is_asked_for(finished: Path, capsys: Capture) -> None:
    (finished / "results/one/reports/table.csv").unlink()
    assert report("results/one", "results/two") == 1
    assert "expected the table of a comparison at results/one/reports/table.csv" in capsys.readouterr().err


def test_one_study_named_twice_and_a_zip_are_wrong_command_lines(finished: Path, capsys: Capture) -> None:
    assert report("results/one", "results/../results/one") == 2
    assert "expected each study once" in capsys.readouterr().err
    assert report("results/one", "results/two", out="page.zip") == 2
    assert "expected --out of a name that ends with .html for several studies" in capsys.readouterr().err


def test_words_of_users_stay_words(finished: Path) -> None:
    made = MadeResults(finished / "results/three")
    made.attack("trades", (0,), [[1, 0]])
    made.collect()
    settings = {"<script>alert(1)</script>": {"source": "digits"}}
    made.tell_settings(datasets=settings, pools={"digits": {"dataset": "<script>alert(1)</script>"}})
    assert report("results/one", "results/three") == 0
    assert "<script" not in (finished / "page.html").read_text()

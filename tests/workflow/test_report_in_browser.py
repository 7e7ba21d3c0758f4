"""Snakemake's report of a study, in Chromium without a network: nothing is missing, and every figure is drawn."""

from pathlib import Path

import pandas as pd
import pytest
from chromium import DRAWN, Visit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def reported(finished, tmp_path_factory) -> tuple[Path, Path]:
    """The report, and the folder of the study's results."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    result = finished.run("--report", str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    return path, finished.folder / "results/tiny"


def test_the_visit_notices_requests_errors_and_broken_images(visit: Visit, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<img src='http://example.org/x.png'><img src='gone.png'><script>nothing()</script>")
    visit.page.goto(page.as_uri())
    assert visit.outside == ["http://example.org/x.png"]
    assert any("nothing is not defined" in error for error in visit.errors)
    assert visit.page.evaluate(DRAWN) == [False, False]


def test_report_opens_without_errors_and_requests_and_tells_of_the_study(visit: Visit, reported) -> None:
    path, _ = reported
    visit.page.goto(path.as_uri())
    visit.page.get_by_role("heading", name="tiny").wait_for()
    told = visit.page.inner_text("#app")
    assert "Threat: L-inf perturbations of at most 0.2" in told
    assert "1 Accuracy: table" in told
    visit.page.locator("svg, canvas").first.wait_for()  # the graph of the workflow
    visit.page.get_by_text("Statistics", exact=True).click()
    visit.page.locator("#runtimes svg, #runtimes canvas").first.wait_for()
    assert (visit.outside, visit.errors) == ([], [])


@pytest.mark.parametrize(("section", "name"), [("1 Accuracy", "table"), ("2 Margins and images", "margins")])
def test_every_report_is_shown_explained_and_as_a_figure_alone(visit: Visit, reported, section, name) -> None:
    path, _ = reported
    visit.open(path, section)
    assert visit.rows == [f"1 {name}"]
    visit.view(name)
    inside = visit.page.frame_locator("iframe")
    inside.get_by_role("heading", name=name).wait_for()
    frame = visit.page.frames[-1]
    assert frame.evaluate(DRAWN) == [True]
    assert frame.evaluate("document.images[0].getBoundingClientRect().width") > 300
    visit.page.get_by_text("figure alone").click()
    visit.view(name)
    figure = visit.page.locator(f"img[src*='filename={name}.svg']")
    figure.wait_for()
    assert figure.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    visit.page.locator("tbody tr").locator("a").nth(1).click()
    caption = visit.page.get_by_text("Its numbers are in the CSV file").locator("xpath=..").inner_text()
    assert "seed" in caption
    assert "results/tiny/reports/" in caption
    assert (visit.outside, visit.errors) == ([], [])


def test_table_has_the_runs_of_the_study(visit: Visit, reported) -> None:
    path, results = reported
    visit.open(path, "1 Accuracy")
    visit.view("table")
    rows = visit.page.frame_locator("iframe").locator("tbody tr")
    rows.first.wait_for()
    table = pd.read_csv(results / "reports/table.csv")
    assert [row.split()[0] for row in rows.all_inner_texts()] == table["run"].tolist()
    for row, accuracy in zip(rows.all_inner_texts(), table["clean_accuracy_mean"], strict=True):
        assert f"{100 * accuracy:.2f}" in row


def test_numbers_are_downloaded_as_they_are_and_settings_are_listed(visit: Visit, reported) -> None:
    path, results = reported
    visit.open(path, "3 Numbers")
    assert visit.rows == ["margins", "table", "the whole study"]
    with visit.page.expect_download() as download:
        visit.view("the whole study")
    assert download.value.suggested_filename == "results.csv"
    assert Path(download.value.path()).read_bytes() == (results / "results.csv").read_bytes()
    visit.open(path, "4 Settings")
    visit.view("tiny")
    listed = visit.page.frame_locator("iframe").locator("pre").inner_text()
    assert "threat: {norm: linf, epsilon: 0.2}" in listed
    assert (visit.outside, visit.errors) == ([], [])

"""Snakemake's report of a study, in Chromium without a network: nothing is missing, and every figure is drawn."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from chromium import CONTRASTS, DRAWN, READABLE, SPILLED, WIDTHS, Visit, visiting

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


@pytest.fixture(scope="module", params=WIDTHS, ids=["phone", "desk"])
def sized(request, chromium: str) -> Iterator[Visit]:
    """A page on a phone, which would show it small if it did not ask for the phone's width, or on a desk."""
    width, height = request.param
    with visiting(chromium, viewport={"width": width, "height": height}, is_mobile=width < 700) as visited:
        yield visited


def test_every_page_of_a_report_is_whole_and_readable(sized: Visit, reported) -> None:
    _, results = reported
    pages = sorted(results.rglob("*.html"))
    assert {page.stem for page in pages} >= {"table", "margins", "settings"}
    for path in pages:
        sized.page.goto(path.as_uri())
        width = sized.page.viewport_size["width"]
        assert sized.page.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [width, width], path
        assert sized.page.evaluate(SPILLED) == [], path
        assert all(sized.page.evaluate(DRAWN)), path
        contrasts = sized.page.evaluate(CONTRASTS)
        assert contrasts
        assert [text for contrast, text in contrasts if contrast < READABLE] == [], path
    assert (sized.outside, sized.errors) == ([], [])


def test_table_that_is_too_wide_scrolls_to_its_last_column(sized: Visit, reported) -> None:
    _, results = reported
    sized.page.goto((results / "reports/table.html").as_uri())
    last = sized.page.locator("thead th").last
    sized.page.evaluate("document.querySelector('table').scrollLeft = 1e6")
    box = last.bounding_box()
    assert box["x"] + box["width"] <= sized.page.viewport_size["width"]
    is_wider = sized.page.evaluate("(table => table.scrollWidth > table.clientWidth)(document.querySelector('table'))")
    assert is_wider == (sized.page.viewport_size["width"] < 700)


def test_report_opens_at_every_width_without_errors(sized: Visit, reported) -> None:
    path, _ = reported
    sized.page.goto(path.as_uri())
    sized.page.get_by_role("heading", name="tiny").wait_for()
    assert (sized.outside, sized.errors) == ([], [])

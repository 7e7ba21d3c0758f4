"""The page over several studies in Chromium: figures are drawn, and a narrow window has nothing beside it."""

from pathlib import Path

import pytest
from chromium import DRAWN, Visit

from pumalib.cli.main import main

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [1280, 390])
def test_page_is_drawn_and_fits_the_window(visit: Visit, finished: Path, width: int) -> None:
    assert main(["report", "results/one", "results/two", "--out", "page.html"]) == 0
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.page.goto((finished / "page.html").as_uri())
    assert visit.page.evaluate(DRAWN) == [True]
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.page.locator("tbody tr").count() == 3
    assert (visit.outside, visit.errors) == ([], [])

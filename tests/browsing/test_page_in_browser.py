"""The page in Chromium: 10,000 rows open at once, filters leave the right ones, and it is read and used everywhere.

What should be left is counted here, from the HDF5 files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import browsed_study
import h5py
import numpy as np
import pytest
from chromium import CONTRASTS, READABLE, SPILLED, WIDTHS, Visit
from numpy.typing import NDArray
from small_study import SmallStudy

from pumalib.cli.main import main

pytestmark = pytest.mark.browser
OPENS_WITHIN_SECONDS = 2
PAINTED = "canvas[data-painted]"


@dataclass(frozen=True)
class Browsed:
    """A page, and the columns of the files that it was made of."""

    page: Path
    margins: NDArray[np.float32]
    kept: NDArray[np.bool_]
    labels: NDArray[np.int64]
    sources: NDArray[np.uint8]
    predictions: NDArray[np.int64]


def browsed(selection: Path, out: Path) -> Browsed:
    assert main(["browse", str(selection), "--out", str(out)]) == 0
    folder = selection.parents[2]
    with (
        h5py.File(selection) as chosen,
        h5py.File(folder / "scores/margin/seed0.h5") as score,
        h5py.File(folder / "pools/mine/seed0.h5") as pool,
        h5py.File(folder / "datasets/mine/seed0.h5") as dataset,
    ):
        labels = pool["labels"][...] if "images" in pool else dataset["train/labels"][...]
        return Browsed(
            out,
            score["score"][...],
            chosen["reason"][...] == -1,
            labels,
            pool["source"][...],
            score["columns/prediction"][...],
        )


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Browsed:
    folder = tmp_path_factory.mktemp("large")
    return browsed(browsed_study.large(folder / "results/large"), folder / "browse.html")


@pytest.fixture(scope="module")
def of_files(tmp_path_factory: pytest.TempPathFactory) -> Browsed:
    folder = tmp_path_factory.mktemp("files")
    return browsed(browsed_study.of_files(folder / "results/files"), folder / "browse.html")


@pytest.fixture
def page(visit: Visit) -> Iterator[Any]:
    """A page of which nothing went wrong, and that asked for nothing."""
    visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield visit.page
    assert (visit.outside, visit.errors) == ([], [])


def go(page: Any, browsed: Browsed, size: tuple[int, int] = (1280, 800)) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(browsed.page.as_uri())
    page.locator(PAINTED).first.wait_for()


def left(page: Any) -> int:
    """Return how many rows the page says it shows."""
    return int(page.inner_text("#status").split(" ")[0].replace(",", ""))


def shown(page: Any) -> list[int]:
    """Return the rows that the filters leave, in order."""
    return [int(row) for row in page.evaluate("state.shown.map((at) => state.rows.rows[at])")]


def number(text: str) -> float:
    return float(text.replace("\N{MINUS SIGN}", "-"))


def tick(page: Any, name: str, value: str) -> None:
    page.locator(f'input[name="{name}"][value="{value}"]').check()


def test_ten_thousand_rows_open_within_two_seconds_of_a_processor(page: Any, large: Browsed) -> None:
    """Of the page's process, all threads together: what a clock says depends on what else the machine does."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def seconds() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(each["value"] for each in metrics if each["name"] == "ProcessTime"))

    go(page, large)  # the first one starts the browser's processes
    start = seconds()
    go(page, large)
    assert left(page) == 10_000
    assert seconds() - start < OPENS_WITHIN_SECONDS


def test_only_cells_that_can_be_seen_exist_and_all_rows_can_be_reached(page: Any, large: Browsed) -> None:
    go(page, large)
    assert page.locator(".cell").count() < 300
    order = np.argsort(large.margins, kind="stable")
    assert shown(page) == order.tolist()
    assert page.locator("#cell-0").get_attribute("aria-label").startswith(f"row {order[0]}, ")
    page.locator("#grid").focus()
    page.keyboard.press("End")
    page.locator("#cell-9999[aria-selected]").wait_for()
    assert page.locator("#cell-9999").get_attribute("aria-label").startswith(f"row {order[-1]}, ")
    assert page.locator(".cell").count() < 300


def test_pictures_are_those_of_their_rows(page: Any, of_files: Browsed) -> None:
    go(page, of_files)
    for place in (0, 30, 59):
        page.evaluate(f"look({place})")
        page.locator(f"#cell-{place} {PAINTED}").wait_for()
        middle = page.evaluate(
            f"[...document.querySelector('#cell-{place} canvas').getContext('2d').getImageData(0, 0, 64, 64).data]"
        )
        found = np.array(middle).reshape(64, 64, 4)[..., :3]
        (row,) = page.evaluate(f"[state.rows.rows[state.shown[{place}]]]")
        with h5py.File(of_files.page.parent / "results/files/datasets/mine/seed0.h5") as file:
            images = file["train/images"] if "images" in file["train"] else None
            assert images is not None
            mean = images[row].astype(float).mean((0, 1))
        np.testing.assert_allclose(found.mean((0, 1)), mean, atol=2)


def test_handles_leave_the_rows_between_them(page: Any, large: Browsed) -> None:
    go(page, large)
    page.fill("#low-number", "-0.05")
    page.press("#low-number", "Enter")
    page.fill("#high-number", "0.2")
    page.press("#high-number", "Enter")
    inside = (large.margins >= np.float64(-0.05)) & (large.margins <= np.float64(0.2))
    assert sorted(shown(page)) == np.flatnonzero(inside).tolist()
    assert left(page) == inside.sum()
    page.locator("#high").focus()
    page.keyboard.press("ArrowLeft")
    high = float(page.input_value("#high-number"))
    assert -0.05 < high < 0.2
    assert left(page) == ((large.margins >= -0.05) & (large.margins <= high)).sum()
    page.keyboard.press("End")  # a handle at its end is open
    assert page.input_value("#high-number") == ""
    assert left(page) == (large.margins >= -0.05).sum()
    page.click("#reset")
    assert left(page) == 10_000


def test_buttons_of_the_cut_leave_what_lies_on_its_sides(page: Any, large: Browsed) -> None:
    go(page, large)
    cut = large.margins[~large.kept].min()  # the easiest fifth went
    page.get_by_role("button", name="Up to the cut").click()
    assert sorted(shown(page)) == np.flatnonzero(large.margins <= cut).tolist()
    page.get_by_role("button", name="From the cut").click()
    assert sorted(shown(page)) == np.flatnonzero(~large.kept).tolist()
    page.click("#reset")
    page.select_option("#sort", "0 near")
    assert np.abs(large.margins[shown(page)[0]] - cut) == 0


def test_each_filter_leaves_the_right_rows_and_counts_the_others(page: Any, large: Browsed) -> None:
    go(page, large)
    expected = np.ones(10_000, bool)
    tick(page, "fate", "kept")
    expected &= large.kept
    assert sorted(shown(page)) == np.flatnonzero(expected).tolist()
    tick(page, "source", "synthetic")
    expected &= large.sources == 1
    assert sorted(shown(page)) == np.flatnonzero(expected).tolist()
    tick(page, "class", "3")
    tick(page, "class", "7")
    counts = [expected & (large.labels == label) for label in range(10)]  # of every class, whichever are ticked
    told = page.locator("#classes tbody td:nth-child(2)").all_inner_texts()
    assert [int(text.replace(",", "")) for text in told] == [int(count.sum()) for count in counts]
    expected &= np.isin(large.labels, [3, 7])
    assert sorted(shown(page)) == np.flatnonzero(expected).tolist()
    page.select_option("select[data-prediction]", "wrong")
    expected &= large.predictions != large.labels
    assert sorted(shown(page)) == np.flatnonzero(expected).tolist()
    page.select_option("select[data-prediction]", "4")
    assert sorted(shown(page)) == np.flatnonzero(expected & (large.predictions == 4)).tolist()
    page.select_option("select[data-prediction]", "right")
    assert (
        left(page) == (large.kept & (large.sources == 1) & np.isin(large.labels, [3, 7]) & (large.margins >= 0)).sum()
    )


def test_classes_say_which_share_is_pruned_and_can_stand_by_it(page: Any, large: Browsed) -> None:
    go(page, large)
    lost = np.array([100 * (~large.kept)[large.labels == label].mean() for label in range(10)])
    cells = "#classes tbody td:nth-child(3)"
    assert page.locator(cells).all_inner_texts() == [f"{share:.1f} %" for share in lost]
    page.click("#class-order")
    assert page.locator(cells).all_inner_texts() == [f"{share:.1f} %" for share in sorted(lost, reverse=True)]


def test_rows_are_found_by_class_number_and_file(page: Any, of_files: Browsed) -> None:
    go(page, of_files)
    page.keyboard.press("/")
    page.keyboard.type("DOG")
    assert sorted(shown(page)) == np.flatnonzero(of_files.labels == 1).tolist()
    page.fill("#query", "17")
    assert 17 in shown(page)
    page.fill("#query", "cat/07")
    assert len(shown(page)) == 1
    page.keyboard.press("Escape")
    assert left(page) == 60


def test_keyboard_moves_opens_copies_and_closes(page: Any, of_files: Browsed) -> None:
    go(page, of_files)
    order = np.argsort(of_files.margins, kind="stable")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    page.locator("#cell-1[aria-selected]").wait_for()
    page.keyboard.press("Enter")
    assert page.inner_text("#detail h2") == f"Row {order[1]}"
    page.keyboard.press("ArrowDown")
    place = int(page.locator("[aria-selected=true].cell").get_attribute("id").removeprefix("cell-"))
    assert place > 1
    assert page.inner_text("#detail h2") == f"Row {order[place]}"
    page.keyboard.press("c")
    page.get_by_text("Copied ").wait_for()
    with h5py.File(of_files.page.parent / "results/files/datasets/mine/seed0.h5") as file:
        name = file["train/files"].asstr()[int(order[place])]
    assert page.evaluate("navigator.clipboard.readText()") == name
    assert page.inner_text("#copied-name") == name
    page.keyboard.press("Escape")
    assert page.locator("#detail").is_hidden()


def test_a_row_tells_all_of_it_and_its_button_copies_the_name(page: Any, of_files: Browsed) -> None:
    go(page, of_files)
    page.locator("#cell-2").click()
    row = int(np.argsort(of_files.margins, kind="stable")[2])
    facts = dict(zip(*[page.locator(f".facts {tag}").all_inner_texts() for tag in ("th", "td")], strict=True))
    names = ("cat", "dog & co")
    assert facts["class"] == names[of_files.labels[row]]
    assert facts["prediction (margin)"] == f"{names[of_files.predictions[row]]} ≠"
    assert (facts["fate"], facts["source"]) == ("kept", "real")
    assert number(facts["margin"]) == pytest.approx(of_files.margins[row], rel=1e-5)
    assert number(facts["epsilon"]) == pytest.approx(-0.1)
    page.click("#copy")
    page.get_by_text("Copied ").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").endswith(".png")


def test_the_name_is_copied_where_a_page_has_no_clipboard(page: Any, of_files: Browsed) -> None:
    go(page, of_files)
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.locator("#cell-2").click()
    page.click("#copy")
    page.get_by_text("Copied ").wait_for()
    page.focus("#query")
    page.keyboard.press("Control+V")
    assert page.input_value("#query") == page.inner_text("#said").removeprefix("Copied ")


def test_rows_that_are_left_are_saved(page: Any, of_files: Browsed) -> None:
    go(page, of_files)
    tick(page, "class", "1")
    with page.expect_download() as download:
        page.click("#save")
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "row,file"
    assert sorted(int(line.split(",")[0]) for line in lines[1:]) == np.flatnonzero(of_files.labels == 1).tolist()
    assert all("dog & co" in line for line in lines[1:])


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 120 digits, 20 of which are perturbed, and of 50 under an attack that kept its points."""
    folder = tmp_path_factory.mktemp("attacked")
    results = folder / "results/small"
    SmallStudy(results).make()
    command = ["browse", f"{results}/selections/puma/seed0.h5", "--attack", f"{results}/attacks/puma/seed0/cw.h5"]
    assert main([*command, "--adversarial", "20", "--device", "cpu", "--out", str(folder / "browse.html")]) == 0
    return folder / "browse.html"


PIXELS = """(picture) => {
  const { width, height } = picture;
  return [...picture.getContext("2d").getImageData(0, 0, width, height).data].filter((_, index) => index % 4 === 0);
}"""


@pytest.mark.parametrize("size", WIDTHS)
def test_clean_and_perturbed_image_stand_beside_their_difference(
    page: Any, attacked: Path, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(attacked.as_uri())
    page.get_by_role("tab", name="cw on puma").click()
    page.evaluate("state.facets[0].add(1); update(); look(0, true)")  # the first that was fooled
    pictures = page.locator("#detail canvas[data-painted]")
    pictures.nth(2).wait_for()
    row, place = page.evaluate("[state.rows.rows[state.shown[0]], state.rows.moved.places.get(state.shown[0])]")
    with h5py.File(attacked.parent / "results/small/attacks/puma/seed0/cw.h5") as file:
        at = int(np.flatnonzero(file["row"][...] == row)[0])
        point, predicted = file["points"][at], int(file["adversarial_prediction"][at])
    with h5py.File(attacked.parent / "results/small/datasets/digits/seed0.h5") as file:
        image = file["test/images"][row]
    assert pictures.nth(0).evaluate(PIXELS) == image.ravel().tolist()
    assert pictures.nth(1).evaluate(PIXELS) == np.rint(255 * point).ravel().tolist()
    largest = np.abs(point - image / 255).max()
    captions = page.locator("#detail figcaption").all_inner_texts()
    assert captions[1:] == [f"perturbed: {predicted}", f"difference \N{MULTIPLICATION SIGN} {0.5 / largest:.3g}"]
    boxes = [pictures.nth(index).bounding_box() for index in range(3)]
    assert len({box["y"] for box in boxes}) == 1
    assert page.evaluate(SPILLED) == []
    assert place >= 0


def test_perturbed_rows_of_the_pool_are_a_filter(page: Any, attacked: Path) -> None:
    page.goto(attacked.as_uri())
    tick(page, "perturbed", "yes")
    assert left(page) == 20
    page.locator("#cell-0").click()
    assert page.locator("#detail figure").count() == 3


@pytest.mark.parametrize("size", WIDTHS)
def test_nothing_is_cut_off(page: Any, of_files: Browsed, size: tuple[int, int]) -> None:
    go(page, of_files, size)

    def expect_whole() -> None:
        assert page.evaluate(SPILLED) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]

    expect_whole()
    assert page.locator(".cell").count() > 20
    page.locator("#cell-2").click()
    expect_whole()
    detail = page.locator("#detail").bounding_box()
    assert 0 <= detail["y"] < detail["y"] + detail["height"] <= size[1] + 1
    page.evaluate("look(50, true)")
    cell = page.locator("#cell-50").bounding_box()
    bottom = page.locator("#detail").bounding_box()["y"] if size[0] < 700 else size[1]
    assert cell["y"] + cell["height"] <= bottom + 1  # the row that is open is not covered
    page.keyboard.press("Escape")
    if size[0] < 700:
        page.click("#open-filters")
        expect_whole()
        tick(page, "class", "1")
        page.click("#close-filters")
        assert left(page) == 30
        assert page.inner_text("#open-filters") == "Filters (1)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", WIDTHS)
def test_text_stands_out_from_its_ground(page: Any, of_files: Browsed, scheme: str, size: tuple[int, int]) -> None:
    page.emulate_media(color_scheme=scheme)
    go(page, of_files, size)
    page.locator("#cell-2").click()
    page.evaluate("showFilters(true)")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 60
    assert [text for contrast, text in contrasts if contrast < READABLE] == []

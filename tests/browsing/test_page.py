"""The page: its columns are those of the rows, words of users are text, and it asks nothing of a network."""

import re
from pathlib import Path

import numpy as np
import pytest
from browse_page import numbers, tile, told_by
from numpy.typing import NDArray

from pumalib.browsing.assets import NAMES, asset, asset_digests
from pumalib.browsing.collection import Collection, Facet, in_order, sampled
from pumalib.browsing.page import Page, Tab

NAN = float("nan")


def rows_of(count: int, classes: tuple[str, ...] = ("cat", "dog"), **others: object) -> Collection:
    """Return rows whose margin falls with their number, every third pruned, every fourth synthetic."""
    at = np.arange(count)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1), np.uint8)
    settled = {
        "name": "train rows",
        "rows": at + 100,
        "class_names": classes,
        "labels": at % len(classes),
        "facets": {
            "fate": Facet(("kept", "cut 0"), (at % 3 == 0).astype(np.int64)),
            "source": Facet(("real", "synthetic"), (at % 4 == 0).astype(np.int64)),
        },
        "predictions": {"prediction (margin)": np.zeros(count, np.int64)},
        "values": {"margin": (-at / 7).astype(np.float32)},
        "images": pixels.__getitem__,
    }
    return Collection(**(settled | others))  # type: ignore[arg-type]


def write(folder: Path, *collections: Collection, count: int = 1000, title: str = "puma-20", seed: int = 0) -> Path:
    path = folder / "page.html"
    Page(title, ("one fact",), tuple(Tab.of(each, count, seed) for each in collections)).write(path)
    return path


def test_columns_of_the_page_are_those_of_the_rows_by_margin(tmp_path: Path) -> None:
    rows = rows_of(600)
    told = told_by(write(tmp_path, rows))["collections"][0]
    order = np.argsort(rows.values["margin"], kind="stable")
    np.testing.assert_array_equal(numbers(told["rows"], "<u4"), rows.rows[order])
    np.testing.assert_array_equal(numbers(told["labels"], "<u2"), rows.labels[order])
    np.testing.assert_array_equal(numbers(told["values"][0]["numbers"], "<f4"), rows.values["margin"][order])
    np.testing.assert_array_equal(numbers(told["facets"][1]["codes"], "<u2"), rows.facets["source"].codes[order])
    for position in (0, 255, 256, 599):
        expected = rows.images(order[[position]])[0, ..., 0]
        np.testing.assert_array_equal(tile(tmp_path / "page.html", 0, position, told["layout"]), expected)
    assert told["whole"] == [[200, 100], [200, 100]]
    assert told["sample"] == ""


def test_rows_without_a_value_come_last_and_stay_without() -> None:
    rows = in_order(rows_of(4, values={"margin": np.array([NAN, 2, -1, np.inf], np.float32)}))
    assert rows.rows.tolist() == [102, 101, 103, 100]
    assert np.isnan(rows.values["margin"][3])


def test_more_rows_than_asked_for_are_sampled_in_proportion_and_the_page_says_so(tmp_path: Path) -> None:
    rows = rows_of(1200)
    told = told_by(write(tmp_path, rows, count=120, seed=3))["collections"][0]
    assert told["sample"].startswith(
        "A sample: 120 of 1,200 rows, drawn in proportion to class and fate and source (seed 3)."
    )
    assert told["total"] == 1200
    shown = numbers(told["rows"], "<u4").astype(int) - 100
    assert len(set(shown)) == 120
    for column in (rows.labels, *(facet.codes for facet in rows.facets.values())):
        np.testing.assert_array_equal(np.bincount(column[shown]), np.bincount(column) / 10)
    assert told["whole"] == [[400, 200], [400, 200]]  # of all rows


def test_a_sample_is_the_same_for_a_seed_and_another_for_another() -> None:
    rows = rows_of(500)
    first, again, other = (sampled(rows, 50, seed).rows.tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert sampled(rows, 500, 0) is rows


def test_words_of_users_are_text_and_end_no_script(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><!--"
    files = np.array([evil, "b.png"], object)
    page = write(tmp_path, rows_of(2, (evil, "\x1b[31mred"), files=files), title=evil)
    text = page.read_text()
    assert text.count("<script>") == 1
    assert "alert(1)</title>" not in text
    assert "\x1b" not in text
    told = told_by(page)
    assert told["title"] == evil
    assert told["collections"][0]["classes"] == [evil, "\\u001b[31mred"]
    assert set(told["collections"][0]["files"]) == {evil, "b.png"}


def test_page_names_nothing_outside_and_forbids_it(tmp_path: Path) -> None:
    text = write(tmp_path, rows_of(3)).read_text()
    addresses = set(re.findall(r"\b(?:https?:)?//[\w.]+", re.sub(r"(?m)^ *// .*$| // .*$", "", text)))
    assert addresses <= {"http://www.w3.org"}  # the name of SVG, which is asked of nobody
    assert re.search(r"Content-Security-Policy\" content=\"default-src 'none'", text)
    assert not re.search(r"<(?:link|img|iframe)\b|@import|url\(", text)


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert write(tmp_path, rows_of(300)).read_bytes() == write(tmp_path / "other", rows_of(300)).read_bytes()


def test_a_page_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def images(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        if len(positions) > 1:
            raise OSError("gone")
        return np.zeros((1, 4, 4, 1), np.uint8)

    with pytest.raises(OSError, match="gone"):
        write(tmp_path, rows_of(300, images=images))
    assert list(tmp_path.iterdir()) == []


def test_what_pictures_lose_is_told(tmp_path: Path) -> None:
    large = np.zeros((2, 200, 100, 3), np.uint8)
    notes = told_by(write(tmp_path, rows_of(2, images=large.__getitem__)))["collections"][0]["notes"]
    assert notes == ["Pictures are made smaller, to 32 x 64 pixels, and compressed (JPEG)."]


def test_files_of_the_page_are_read_and_digested() -> None:
    assert set(asset_digests()) == set(NAMES)
    assert "use strict" in asset("data.js")
    assert len(set(asset_digests().values())) == len(NAMES)

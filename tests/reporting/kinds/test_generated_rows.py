"""What generated rows turned out to be: numbers by hand, and a whole report from files with a set made elsewhere."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pumalib.data.datasets import prepare_dataset, read_split
from pumalib.data.image_groups import write_images
from pumalib.data.pool import Pool, build_pool, open_pool
from pumalib.data.settings import DigitsSettings, NpzSyntheticSettings
from pumalib.errors import ArtifactError, DataError
from pumalib.files.artifacts import create_artifact
from pumalib.files.origin import NO_ORIGIN
from pumalib.reporting.kinds.generated_rows import AskedFile, SeedFiles, SetFiles, generated_parts, make
from pumalib.reporting.kinds.generated_rows_figure import draw
from pumalib.reporting.kinds.generated_rows_measures import (
    RealImages,
    Scored,
    asked_columns,
    image_columns,
    margin_columns,
)
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.generated_rows import GeneratedRowsSettings
from pumalib.scores.table import ScoreTable, write_scores
from pumalib.synthesis.asked import Band
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic

NAN = np.float32(np.nan)
MARGINS = np.array([-0.2, 0.0, 0.1, 0.2, 0.3, NAN], np.float32)
SET = Scored(
    np.zeros(6, np.int64),
    MARGINS,
    np.array([1, 0, 0, 0, 0, NAN], np.float32),
    np.array([1, 1, 0, 0, NAN, NAN], np.float32),
    np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.0], np.float32),
)
PLAIN = Scored(np.zeros(2, np.int64), np.array([0.05, 0.9], np.float32), np.zeros(2, np.float32))


def settings_of(**keys: object) -> GeneratedRowsSettings:
    return GeneratedRowsSettings.model_validate({"kind": "generated_rows", "scores": ["second-near"], **keys})


def test_margins_and_denied_labels_are_those_of_the_rows_that_were_scored() -> None:
    found = margin_columns(SET)
    assert found["num_rows"] == 6
    assert [found[f"margin_{quantile}"] for quantile in ("0.25", "0.5", "0.75")] == pytest.approx([0.0, 0.1, 0.2])
    assert (found["denied"], found["denied_by_other"]) == pytest.approx((1 / 5, 2 / 4))
    assert math.isnan(margin_columns(PLAIN)["denied_by_other"])
    with pytest.raises(DataError, match="expected margins of one or more rows of each source, got none"):
        margin_columns(Scored(np.zeros(1, np.int64), MARGINS[5:], MARGINS[5:]))


def test_share_in_the_band_stands_beside_that_of_a_plain_set() -> None:
    found = asked_columns(SET, Band(0.1, 0.4, 0.0, 0.2), PLAIN)
    assert (found["asked_from"], found["asked_to"], found["band_low"], found["band_high"]) == (0.1, 0.4, 0.0, 0.2)
    assert (found["within"], found["plain_within"]) == (2 / 5, 1 / 2)  # 0.2 is outside
    assert found["asked_correlation"] == pytest.approx(1)
    assert math.isnan(asked_columns(SET, Band(0.1, 0.4, 0.0, 0.2), None)["plain_within"])
    assert all(map(math.isnan, asked_columns(SET, None, PLAIN).values()))


def levels(*values: int) -> NDArray[np.uint8]:
    return np.array(values, np.uint8)[:, None, None, None]


def test_copies_and_diversity_are_counted_by_hand() -> None:
    real = RealImages(levels(0, 51, 102, 153), np.array([0, 0, 1, 1]), np.arange(4), np.array([0.1, 0.3], np.float32))
    images, labels = levels(0, 10, 102, 204), np.array([0, 0, 1, 1])
    found = image_columns(images, labels, real, 1, np.random.default_rng(0))
    assert (found["num_measured"], found["num_copies"]) == (4, 2)
    assert found["nearer"] == 3 / 4  # 10 / 255 lies below 0.102, the 1 % quantile of 0.1 and 0.3; 51 / 255 does not
    assert found["median_distance"] == pytest.approx(5 / 255)
    assert found["test_median_distance"] == pytest.approx(0.2)
    # Balls of radius 51 around 0, 51, 102 and 153: 0 and 10 lie in the first, 10 in the second, 102 in the third.
    assert (found["density"], found["coverage"]) == (4 / 4, 3 / 4)
    assert found["expected_coverage"] == pytest.approx(1 - 3 / 7)
    assert found["neighbour_ratio"] == pytest.approx((10 + 10 + 102 + 102) / (4 * 51))


class Files:
    """Digits, a pool with 60 images from elsewhere, and one whose file says what margins were asked of each."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.dataset = folder, folder / "dataset.h5"
        digits = DigitsSettings(source="digits", split="seeded", test_fraction=0.3, train_count=100, test_count=50)
        prepare_dataset(digits, 0, folder, self.dataset)
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (60, 8, 8, 1), np.uint8)
        np.savez(folder / "theirs.npz", image=images, label=np.arange(60) % 10)
        self.pools = {name: self._pool(name) for name in ("theirs", "near")}
        build_pool(self.dataset, None, folder / "pool-real.h5", {})
        self.pools["real"] = open_pool(folder / "pool-real.h5")

    def _pool(self, name: str) -> Pool:
        synthetic, path = self.folder / f"{name}.h5", self.folder / f"pool-{name}.h5"
        if name == "theirs":
            settings = NpzSyntheticSettings(path=str(self.folder / "theirs.npz"))
            make_synthetic(settings, SyntheticInputs(self.dataset, None, None, 0, "cpu"), synthetic)
        else:
            self._asked(synthetic)
        build_pool(self.dataset, synthetic, path, {})
        return open_pool(path)

    def _asked(self, path: Path) -> None:
        """Write 40 images that are train rows, each asked for a margin."""
        with create_artifact(path, "synthetic", NO_ORIGIN) as file:
            write_images(file, read_split(self.dataset, "train").take(np.arange(40)))
            file.create_dataset("asked_margin", data=np.linspace(0, 0.1, 40, dtype=np.float32))

    def score(self, name: str, pool: str, margins: NDArray[np.float64]) -> Path:
        opened, path = self.pools[pool], self.folder / f"{name}.h5"
        path.unlink(missing_ok=True)
        table = ScoreTable(
            score=margins.astype(np.float32),
            valid=np.ones(len(margins), bool),
            higher_is="easier",
            unit="pixel scale [0, 1]",
            method="fast_margin",
            norm="linf",
            pool_fingerprint=opened.fingerprint,
        )
        write_scores(table, path)
        return path

    def of(self, seed: int = 0) -> SeedFiles:
        """Return the files of one seed: margins of train rows from 0 to 1; those of `near` rise with what was asked."""
        train = np.linspace(0, 1, 100)
        near, theirs = np.linspace(-0.1, 0.3, 40), np.full(60, 0.5)
        margins = {"theirs": np.concatenate([train, theirs]), "near": np.concatenate([train, near])}
        second = {name: self.score(f"second-{name}", name, each) for name, each in margins.items()}
        other = {name: self.score(f"other-{name}", name, each - 0.2) for name, each in margins.items()}
        asked = AskedFile(0.0, 0.2, self.score("conditioning", "real", train / 2))
        return SeedFiles(
            seed,
            self.dataset,
            [
                SetFiles("theirs", self.folder / "pool-theirs.h5", second["theirs"], other["theirs"], None),
                SetFiles("near", self.folder / "pool-near.h5", second["near"], other["near"], asked),
            ],
        )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def parts(files: Files) -> ReportParts:
    settings = settings_of(
        scores=["second-theirs", "second-near"], labels_by=["other-theirs", "other-near"], plain="second-theirs"
    )
    return make(settings, files=[files.of(0), files.of(1)], dataset="digits")


def test_a_set_made_elsewhere_is_measured_though_nothing_was_asked_of_it(parts: ReportParts) -> None:
    theirs = parts.table.set_index(["source", "set"]).loc[("synthetic", "theirs")].iloc[0]
    assert (theirs["num_rows"], theirs["num_measured"], theirs["num_copies"]) == (60, 40, 0)
    assert (theirs["margin_0.01"], theirs["margin_0.99"], theirs["denied"], theirs["denied_by_other"]) == (
        0.5,
        0.5,
        0,
        0,
    )
    assert math.isnan(theirs["asked_from"])
    assert theirs["coverage"] == 0  # noise lies far from digits
    assert theirs["median_distance"] > 2 * theirs["test_median_distance"]


def test_what_was_asked_and_came_is_told_in_margins_of_the_second_model(parts: ReportParts) -> None:
    near = parts.table.set_index(["source", "set"]).loc[("synthetic", "near")].iloc[0]
    # The model that conditioned has half the margins: 40 of 100 train rows lie below 0.2, and none below 0.
    assert (near["asked_above"], near["asked_below"], near["asked_from"], near["asked_to"]) == (0, 0.2, 0, 0.4)
    assert (near["band_low"], near["band_high"]) == (-np.inf, pytest.approx(0.4))
    assert (near["within"], near["plain_within"]) == (1, 0)
    assert near["asked_correlation"] == pytest.approx(1)
    assert near["denied"] == 10 / 40
    assert near["denied_by_other"] == 30 / 40
    assert (near["num_copies"], near["median_distance"]) == (40, 0)
    assert near["neighbour_ratio"] > 0.5


def test_train_rows_stand_first_and_have_margins_alone(parts: ReportParts) -> None:
    first = parts.table.iloc[0]
    assert (first["set"], first["source"], first["num_rows"]) == ("digits", "real", 100)
    assert first["margin_0.5"] == pytest.approx(0.5)
    assert first[["within", "coverage", "num_copies"]].isna().all()
    assert parts.table["seed"].tolist() == [0, 0, 0, 1, 1, 1]


def test_page_tells_every_set_the_band_and_the_plain_set(parts: ReportParts) -> None:
    assert "| `digits`, train rows | 100 | 0.010 | 0.100 |" in parts.text
    assert "| `near` | 0 | 0.2 | 0.0 to 40.0 | any to 0.400 | 100.0 | 0.0 | 1.00 |" in parts.text
    assert "| `near` | 25.0 | 75.0 |" in parts.text
    assert "`plain` is the set of `second-theirs`" in parts.text
    assert "too few seeds for a claim" in parts.text


def test_a_score_of_another_pool_is_refused(files: Files) -> None:
    of_seed = files.of()
    first, second = of_seed.sets
    wrong = SetFiles(first.name, first.pool, second.score, None, None)
    with pytest.raises(ArtifactError, match="pool"):
        make(settings_of(), files=[SeedFiles(0, of_seed.dataset, [wrong])], dataset="digits")


def test_margins_that_the_generator_cannot_have_learned_are_refused(files: Files) -> None:
    of_seed = files.of()
    _, near = of_seed.sets
    wrong = SetFiles(near.name, near.pool, near.score, None, AskedFile(0.0, 0.2, near.score))
    with pytest.raises(ArtifactError, match="pool"):
        make(settings_of(), files=[SeedFiles(0, of_seed.dataset, [wrong])], dataset="digits")


def table_of(**sets: float) -> pd.DataFrame:
    """Return a table of two seeds: sets whose numbers all are one number, after the train rows."""
    numbers = [*(f"margin_{quantile}" for quantile in ("0.01", "0.1", "0.25", "0.5", "0.75", "0.9", "0.99")), "denied"]
    measured = ["nearer", "coverage", "expected_coverage", "neighbour_ratio", "density", "num_copies", "num_measured"]
    measured += ["median_distance", "test_median_distance"]
    rows: list[dict[str, object]] = []
    for seed in (0, 1):
        common = {"seed": seed, "num_rows": 10, "denied_by_other": math.nan}
        rows.append({"set": "digits", "source": "real", **common, **dict.fromkeys(numbers, 0.4 + seed / 10)})
        for name, value in sets.items():
            rows.append({"set": name, "source": "synthetic", **common, **dict.fromkeys([*numbers, *measured], value)})
    return pd.DataFrame(rows)


def test_sets_are_rows_of_the_figure_and_what_no_set_has_is_no_panel() -> None:
    axes = draw(table_of(near=0.1, any=0.3)).axes
    assert [text.get_text() for text in axes[0].get_yticklabels()] == ["digits, train rows", "near", "any"]
    labels = [each.get_xlabel().replace("\n", " ") for each in axes[1:]]
    assert labels == ["labels denied (%)", "near a train row (%)", "coverage (%)", "neighbour ratio (%)"]
    drawn = [line.get_xdata()[0] for line in axes[1].lines if line.get_marker() == "o"]
    assert drawn == pytest.approx([45, 10, 30])
    assert axes[0].yaxis_inverted()
    assert not axes[0].patches


def test_the_band_is_drawn_behind_its_set_and_ends_with_the_axis(parts: ReportParts) -> None:
    (band,) = parts.figure.axes[0].patches
    low, high = parts.figure.axes[0].get_xlim()
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((low, 0.4))
    assert band.get_y() < 2 < band.get_y() + band.get_height()
    assert high > 0.9


def test_page_of_sets_that_were_asked_for_nothing_says_so() -> None:
    page = generated_parts(table_of(any=0.3), settings_of()).text
    assert "No set was asked for margins." in page
    assert "| `digits`, train rows | 45.0 ± 7.1 |" in page
    assert "by the other classifier" not in page


def test_all_files_are_equal_over_two_draws(
    files: Files, drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]]
) -> None:
    settings = settings_of(scores=["second-theirs", "second-near"], count=20)
    of_seed = files.of()
    written = drawn_twice(lambda: make(settings, files=[of_seed], dataset="digits"))
    assert len(written["f.csv"].splitlines()) == 4

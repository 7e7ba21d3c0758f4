from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pumalib.reporting.figures import FigurePaths
from pumalib.reporting.outcomes import Answers, Measured, Outcomes
from pumalib.reporting.parts import ReportFiles, ReportParts, write_parts
from pumalib.reporting.results import Metric

Accuracies = dict[str, dict[str, list[float]]]


@pytest.fixture
def tidy() -> Callable[..., pd.DataFrame]:
    """Return a maker of tidy results: run -> metric ("clean" or an attack) -> one value per seed."""

    def make(accuracies: Accuracies, num_samples: int = 500) -> pd.DataFrame:
        rows = []
        for run, metrics in accuracies.items():
            for name, values in metrics.items():
                attack, metric = ("none", "clean_accuracy") if name == "clean" else (name, "robust_accuracy")
                for seed, value in enumerate(values):
                    rows.append(("s", run, seed, "digits", 800, 0.2, 0.03, attack, metric, value, num_samples))
        columns = "study run seed pool num_kept pruned_fraction mean_epsilon attack metric value num_samples"
        return pd.DataFrame(rows, columns=columns.split())

    return make


@pytest.fixture
def answers() -> Callable[..., Outcomes]:
    """Return a maker of answers whose accuracies are those of tidy results: the first images are right."""

    def make(results: pd.DataFrame, test_to_train: float | None = None) -> Outcomes:
        found: dict[tuple[str, Metric], dict[int, Answers]] = {}
        clean = results[results["attack"] == "none"].set_index(["run", "seed"])["value"]
        for row in results.sort_values("seed").to_dict("records"):
            image = np.arange(row["num_samples"])
            correct = image < round(row["value"] * len(image))
            clean_correct = image < round(float(clean[row["run"], row["seed"]]) * len(image))
            key = (row["run"], Metric(row["metric"], row["attack"]))
            found.setdefault(key, {})[row["seed"]] = Answers(image, image % 3, correct, clean_correct)
        return Outcomes(found, test_to_train)

    return make


@pytest.fixture
def measured(answers: Callable[..., Outcomes]) -> Callable[..., Measured]:
    """Return a maker of what a report reads, from tidy results."""
    return lambda results, test_to_train=None: Measured(results, answers(results, test_to_train), [])


@pytest.fixture
def three_runs(tidy: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Return three runs, three seeds, one attack; the differences can be done in one's head."""
    return tidy(
        {
            "trades": {"clean": [0.90, 0.91, 0.92], "cw": [0.60, 0.61, 0.62]},
            "puma-20": {"clean": [0.91, 0.93, 0.95], "cw": [0.60, 0.60, 0.60]},
            "control-20": {"clean": [0.91, 0.92, 0.93], "cw": [0.59, 0.60, 0.61]},
        }
    )


@pytest.fixture
def seven_runs(tidy: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    """Return seven runs of the usual names, three seeds, two attacks."""
    runs = ["trades", "random-20", "pe-20", "pd-12", "pe+pd", "puma-20", "control-20"]
    clean = [0.912, 0.911, 0.915, 0.898, 0.901, 0.926, 0.921]
    accuracies = {
        run: {
            "clean": [mean, mean + 0.002, mean - 0.001],
            "cw": [0.61 + 0.001 * place, 0.612, 0.608],
            "pgd": [0.63, 0.632 - 0.001 * place, 0.628],
        }
        for place, (run, mean) in enumerate(zip(runs, clean, strict=True))
    }
    return tidy(accuracies)


@pytest.fixture
def is_drawn_well() -> Callable[[FigurePaths], None]:
    """Return a check that a PNG has more than one colour at 200 dpi and an SVG is a page with paths."""

    def check(paths: FigurePaths) -> None:
        with Image.open(paths.png) as image:
            assert len(image.convert("RGB").getcolors(1 << 24) or []) > 5
            assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        root = ElementTree.parse(paths.svg).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(root.findall(".//{http://www.w3.org/2000/svg}path")) > 5
        assert not [path for path in paths.png.parent.iterdir() if path.suffix == ".part"]

    return check


@pytest.fixture
def drawn_twice(
    tmp_path: Path, is_drawn_well: Callable[[FigurePaths], None]
) -> Callable[[Callable[[], ReportParts]], dict[str, bytes]]:
    """Return a writer of two draws of a report: drawn well, all files equal. It returns their contents by name."""

    def write(make: Callable[[], ReportParts]) -> dict[str, bytes]:
        contents = []
        for folder in (tmp_path / "one", tmp_path / "two"):
            files = ReportFiles(*(folder / f"f.{suffix}" for suffix in ("csv", "md", "png", "svg")))
            write_parts(make(), files)
            is_drawn_well(FigurePaths(files.png, files.svg))
            contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
        assert contents[0] == contents[1]
        assert set(contents[0]) == {".f.csv.sha256", "f.csv", "f.md", "f.png", "f.svg"}
        return contents[0]

    return write

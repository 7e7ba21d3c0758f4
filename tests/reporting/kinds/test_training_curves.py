from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pumalib.errors import ArtifactError, DataError
from pumalib.reporting.colours import run_styles
from pumalib.reporting.kinds.training_curves import (
    curves_page,
    curves_table,
    draw_curves,
    make,
    read_histories,
)
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.run_files import RunFile
from pumalib.reporting.settings.training_curves import TrainingCurvesSettings

SETTINGS = TrainingCurvesSettings(kind="training_curves", runs=("puma-20",), baseline="random-20")
STYLES = run_styles(["puma-20", "random-20"])


def write_history(path: Path, clean: list[float], split: str = "validation") -> Path:
    count = len(clean)
    frame = {"epoch": range(1, count + 1), "images_seen": range(1000, 1000 * count + 1, 1000), "clean_accuracy": clean}
    pd.DataFrame({**frame, "robust_accuracy": np.array(clean) / 2, "split": split}).to_csv(path, index=False)
    return path


@pytest.fixture
def histories(tmp_path: Path) -> list[RunFile]:
    """Return the histories of two runs over two seeds, every second epoch measured."""
    nan = float("nan")
    values = {("puma-20", 0): 0.8, ("puma-20", 1): 0.6, ("random-20", 0): 0.5, ("random-20", 1): 0.5}
    return [
        RunFile(run, seed, write_history(tmp_path / f"{run}{seed}.csv", [nan, last / 2, nan, last]))
        for (run, seed), last in values.items()
    ]


def test_means_and_deviations_equal_those_done_by_hand(histories: list[RunFile]) -> None:
    table = curves_table(read_histories(histories))
    assert table["run"].tolist() == ["puma-20"] * 2 + ["random-20"] * 2
    assert table["images_seen"].tolist() == [2000, 4000] * 2
    assert table["clean_accuracy_mean"].tolist() == pytest.approx([0.35, 0.7, 0.25, 0.5])
    assert table["clean_accuracy_sd"].tolist() == pytest.approx([0.05 * 2**0.5, 0.1 * 2**0.5, 0, 0])
    assert table["robust_accuracy_mean"].tolist() == pytest.approx([0.175, 0.35, 0.125, 0.25])
    assert (table["num_seeds"] == 2).all()


def test_each_run_is_a_line_and_the_baseline_is_dashed(histories: list[RunFile]) -> None:
    figure = draw_curves(curves_table(read_histories(histories)), SETTINGS, STYLES)
    for axes in figure.axes:
        lines = {line.get_label(): line for line in axes.lines}
        assert set(lines) == {"puma-20", "random-20"}
        assert lines["puma-20"].get_linestyle() == "-"
        assert lines["random-20"].get_linestyle() == "--"
        assert lines["puma-20"].get_xdata().tolist() == [2, 4]
    assert figure.axes[1].get_xlabel() == "images seen (thousands)"


def test_page_says_on_which_images_and_over_how_many_seeds(histories: list[RunFile]) -> None:
    page = curves_page(curves_table(read_histories(histories)), SETTINGS)
    assert "some validation images, never on test images" in page
    assert "Seeds per run: 2" in page
    assert "| `puma-20` | 4000 | 70.00 ± 14.14 |" in page


def test_histories_that_cannot_be_averaged_are_refused(tmp_path: Path, histories: list[RunFile]) -> None:
    write_history(histories[1].path, [0.1, 0.2])
    with pytest.raises(DataError, match='expected run "puma-20" to be measured after the same images'):
        curves_table(read_histories(histories))
    write_history(histories[1].path, [float("nan")] * 4)
    with pytest.raises(ArtifactError, match="expected a measured epoch"):
        read_histories(histories)
    histories[1].path.write_text("epoch,images_seen\n1,2\n")
    with pytest.raises(ArtifactError, match=r"expected the column clean_accuracy, found none in .*puma-201\.csv"):
        read_histories(histories)


def test_all_files_are_equal_over_two_draws(
    histories: list[RunFile], drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]]
) -> None:
    drawn_twice(lambda: make(SETTINGS, files=histories, styles=STYLES))

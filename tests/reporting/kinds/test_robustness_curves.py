from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ArtifactError, DataError
from pumalib.evaluation.table import StoredNorms, read_shortest_norms
from pumalib.files.artifacts import create_artifact
from pumalib.reporting.colours import run_styles
from pumalib.reporting.estimates import crossed_mean
from pumalib.reporting.kinds.robustness_curves import (
    draw_robustness,
    make,
    robustness_page,
    robustness_table,
)
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.run_files import RunFile
from pumalib.reporting.settings.robustness_curves import RobustnessCurvesSettings

SETTINGS = RobustnessCurvesSettings(kind="robustness_curves", runs=("puma",), baseline="trades", attack="shortest")
THREAT = ThreatSettings(epsilon=0.1)
STYLES = run_styles(["trades", "puma"])


def write_table(
    path: Path, norms: list[float], wrong: int = 0, method: str = "minimum_norm", first_label: int = 0
) -> Path:
    """Write a table of an attack on images of which the last ones are wrong when clean."""
    count = len(norms) + wrong
    label = (np.arange(count) + first_label) % 3
    clean = label.copy()
    clean[len(norms) :] = 5
    with create_artifact(path, "attack") as file:
        file.attrs["method"], file.attrs["split"] = method, "test"
        file["label"], file["clean_prediction"], file["adversarial_prediction"] = label, clean, clean
        file["perturbation_norm"] = np.array([*norms, *[0.0] * wrong], np.float32)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[RunFile]:
    """Return two runs over two seeds, ten images each, one of them wrong when clean."""
    norms = {
        ("puma", 0): [0.05] * 3 + [0.15] * 6,
        ("puma", 1): [0.05] * 5 + [0.15] * 4,
        ("trades", 0): [0.1] * 9,
        ("trades", 1): [0.1] * 8 + [np.inf],
    }
    return [
        RunFile(run, seed, write_table(tmp_path / f"{run}{seed}.h5", each, 1)) for (run, seed), each in norms.items()
    ]


def test_accuracies_are_those_counted_by_hand(files: list[RunFile]) -> None:
    table = robustness_table(files, 0.1, 2.0, None).set_index(["run", "epsilon"])
    assert len(table) == 2 * 101
    for run, epsilon, mean in [
        ("puma", 0.0, 0.9),
        ("puma", 0.1 * (24 / 50), 0.9),
        ("puma", 0.1 * (26 / 50), 0.5),
        ("puma", 0.1, 0.5),
        ("puma", 0.2, 0.0),
        ("trades", 0.1, 0.9),  # at least epsilon, so robust at epsilon itself
        ("trades", 0.1 * (51 / 50), 0.05),
        ("trades", 0.2, 0.05),  # nothing found
    ]:
        assert table.loc[(run, epsilon), "mean"] == pytest.approx(mean)
    assert table["low"].isna().all()  # two seeds
    assert set(table["num_seeds"]) == {2}
    assert set(table["num_samples"]) == {10}


def test_bands_of_three_seeds_hold_seeds_and_images(tmp_path: Path) -> None:
    norms = ([0.05] * 30 + [0.15] * 60, [0.05] * 50 + [0.15] * 40, [0.05] * 40 + [0.15] * 50)
    files = [RunFile("puma", seed, write_table(tmp_path / f"{seed}.h5", each, 10)) for seed, each in enumerate(norms)]
    correct = np.array([[norm >= 0.1 for norm in each] + [False] * 10 for each in norms])
    low, high = crossed_mean(correct).interval()
    row = robustness_table(files, 0.1, 2.0, None).set_index("epsilon").loc[0.1]
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    half = stats.t.ppf(0.975, 2) * np.std([0.6, 0.4, 0.5], ddof=1) * (1 / 3 + 0.1) ** 0.5
    row = robustness_table(files, 0.1, 2.0, 0.1).set_index("epsilon").loc[0.1]
    assert (row["low"], row["high"]) == pytest.approx((0.5 - half, 0.5 + half))


@settings(max_examples=50)
@given(st.lists(st.one_of(st.floats(0, 2, width=32), st.just(np.inf), st.just(-np.inf)), min_size=1, max_size=30))
def test_accuracy_never_rises_with_epsilon_and_starts_at_the_clean_one(radii: list[float]) -> None:
    radius = np.array(radii, np.float32)
    accuracies = StoredNorms(np.arange(len(radii)), np.zeros(len(radii), np.int64), radius).accuracies(
        np.linspace(0, 2.5, 60)
    )
    assert accuracies[0] == pytest.approx((radius > -np.inf).mean())
    assert (np.diff(accuracies) <= 0).all()
    assert accuracies[-1] == pytest.approx((radius == np.inf).mean())


def test_each_run_is_a_line_and_the_threat_is_marked(files: list[RunFile]) -> None:
    figure = draw_robustness(robustness_table(files, 0.1, 2.0, None), SETTINGS, THREAT, STYLES)
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert {"puma", "trades"} <= set(lines)
    assert lines["trades"].get_linestyle() == "--"
    assert lines["puma"].get_ydata()[[0, 50, 100]] == pytest.approx([90, 50, 0])
    assert [0.1, 0.1] in [list(line.get_xdata()) for line in figure.axes[0].lines]
    assert figure.axes[0].get_xlabel() == "epsilon (L-inf, pixel scale)"


def test_page_tells_numbers_seeds_images_and_what_the_bound_is(files: list[RunFile]) -> None:
    page = robustness_page(
        robustness_table(files, 0.1, 1.0, None), SETTINGS.model_copy(update={"up_to": 1.0}), THREAT, None
    )
    assert "| accuracy (%) at epsilon | 0 | 0.05 | 0.1 |" in page
    assert "| `trades` | 90.00 | 90.00 | 90.00 |" in page
    assert "Seeds per run: 2. Test images: 10." in page
    assert "upper bounds" in page
    assert "too few seeds for a claim" in page
    alone = robustness_page(robustness_table(files[:1], 0.1, 2.0, None), SETTINGS, THREAT, None)
    assert "| `puma` | 90.00 | 90.00 | 60.00 | 60.00 | 0.00 |" in alone


def test_tables_of_other_attacks_and_of_other_images_are_refused(tmp_path: Path, files: list[RunFile]) -> None:
    with pytest.raises(ArtifactError, match="expected the table of a minimum_norm attack, got one of pgd"):
        read_shortest_norms(write_table(tmp_path / "a.h5", [0.1], method="pgd"))
    for other in (write_table(tmp_path / "b.h5", [0.1] * 9), write_table(tmp_path / "c.h5", [0.1] * 10, first_label=1)):
        with pytest.raises(DataError, match="got others for other than for puma with seed 1"):
            robustness_table([*files, RunFile("other", 1, other)], 0.1, 2.0, None)


def test_all_files_are_equal_over_two_draws(
    files: list[RunFile], drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]]
) -> None:
    drawn_twice(lambda: make(SETTINGS, files=files, threat=THREAT, styles=STYLES, test_to_train=None))


def test_a_legend_of_long_names_stays_inside_its_figure(tmp_path: Path) -> None:
    names = [f"natural-easycore-keep{share}0" for share in range(1, 6)]
    files = [RunFile(name, 0, write_table(tmp_path / f"{name}.h5", [0.05, 0.1])) for name in names]
    settings = SETTINGS.model_copy(update={"runs": tuple(names[1:]), "baseline": names[0]})
    figure = draw_robustness(robustness_table(files, 0.1, 2.0, None), settings, THREAT, run_styles(names))
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1

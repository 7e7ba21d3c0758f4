"""Reports of kept epochs, from attack tables and histories made by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pumalib.errors import DataError
from pumalib.files.artifacts import create_artifact
from pumalib.reporting.colours import run_styles
from pumalib.reporting.kinds.kept_epochs import kept_page, kept_table, make
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.kept_epochs import KeptEpochsSettings, KeptRun

SETTINGS = KeptEpochsSettings(runs=("trades",), baseline="random", attack="cw")
STYLES = run_styles(["trades", "random"])


def write_attack(path: Path, num_clean: int, num_robust: int, split: str = "test", first_label: int = 0) -> Path:
    """Write a table of ten images: the first ones are right when clean, and the first of these under attack."""
    label = (np.arange(10) + first_label) % 3
    clean = np.where(np.arange(10) < num_clean, label, label + 1)
    with create_artifact(path, "attack") as file:
        file.attrs["method"], file.attrs["split"] = "cw_pgd", split
        file["row"], file["label"], file["clean_prediction"] = np.arange(10), label, clean
        file["adversarial_prediction"] = np.where(np.arange(10) < num_robust, label, label + 1)
        file["success"] = (clean == label) & (np.arange(10) >= num_robust)
    return path


def write_history(path: Path, robust: list[float], split: str = "validation") -> Path:
    frame = pd.DataFrame({"epoch": range(1, len(robust) + 1), "clean_accuracy": 0.9, "robust_accuracy": robust})
    frame.assign(split=split).to_csv(path, index=False)
    return path


def kept_run(
    folder: Path, run: str, seed: int, counts: dict[int, tuple[int, int]], robust: list[float], split: str = "test"
) -> KeptRun:
    """Write what one run and seed kept: images right when clean and under attack by epoch, and its history."""
    tables = {
        epoch: write_attack(folder / f"{run}-{seed}-{epoch}.h5", *right, split) for epoch, right in counts.items()
    }
    return KeptRun(run, seed, write_history(folder / f"{run}-{seed}.csv", robust), tables)


@pytest.fixture
def kept(tmp_path: Path) -> list[KeptRun]:
    """Return two runs over two seeds. Epoch 3 of `trades` is the most robust in the history, but no kept one."""
    nan = float("nan")
    return [
        kept_run(tmp_path, "trades", 0, {2: (7, 6), 4: (8, 5), 6: (9, 3)}, [nan, 0.6, 0.9, 0.5, nan, 0.3]),
        kept_run(tmp_path, "trades", 1, {2: (7, 4), 4: (7, 5), 6: (9, 4)}, [nan, 0.4, 0.9, 0.5, nan, 0.5]),
        kept_run(tmp_path, "random", 0, {3: (5, 1), 6: (6, 2)}, [0.1, 0.1, 0.1, 0.2, 0.2, 0.2]),
        kept_run(tmp_path, "random", 1, {3: (5, 2), 6: (6, 2)}, [0.1, 0.1, 0.2, 0.2, 0.2, 0.2]),
    ]


def test_accuracies_of_every_kept_epoch_are_means_over_seeds(kept: list[KeptRun]) -> None:
    table = kept_table(kept)
    rows = table[table["checkpoint"] == "kept"].set_index(["run", "epoch"])
    assert list(rows.index) == [("trades", 2), ("trades", 4), ("trades", 6), ("random", 3), ("random", 6)]
    assert rows["clean_accuracy_mean"].tolist() == pytest.approx([0.7, 0.75, 0.9, 0.5, 0.6])
    assert rows["robust_accuracy_mean"].tolist() == pytest.approx([0.5, 0.5, 0.35, 0.15, 0.2])
    assert rows.loc[("trades", 2), "robust_accuracy_sd"] == pytest.approx(np.std([0.6, 0.4], ddof=1))
    assert (rows["num_seeds"] == 2).all()
    assert (rows["num_samples"] == 10).all()
    assert set(rows["split"]) == {"test"}


def test_the_best_kept_epoch_of_each_seed_is_held_against_its_last(kept: list[KeptRun]) -> None:
    """Seed 0: epoch 2 leads by 3 images of 10, and is 2 behind when clean; seed 1: epoch 4 leads by 1, 2 behind."""
    table = kept_table(kept)
    rows = table[table["checkpoint"] != "kept"].set_index(["run", "checkpoint"])
    lead = rows.loc[("trades", "best - last")]
    assert lead["robust_accuracy_mean"] == pytest.approx(0.2)
    assert lead["clean_accuracy_mean"] == pytest.approx(-0.2)
    assert np.isnan([lead[f"robust_accuracy_{end}"] for end in ("low", "high")]).all()  # two seeds give none
    best, last = (rows.loc[("trades", name)] for name in ("best", "last"))
    assert (best["epoch"], last["epoch"], lead["epoch"]) == (3, 6, -3)
    assert best["robust_accuracy_mean"] == pytest.approx(0.55)
    assert last["robust_accuracy_mean"] == pytest.approx(0.35)
    assert rows.loc[("random", "best"), "epoch"] == pytest.approx((6 + 3) / 2)  # seed 1: the earliest of equals


def test_three_seeds_give_the_lead_an_interval(kept: list[KeptRun], tmp_path: Path) -> None:
    """Leads of 3, 1 and 2 images of 10. The variance of the mean is 0.1^2 (1/3 + 1), because the splits overlap."""
    nan = float("nan")
    third = kept_run(tmp_path, "trades", 2, {2: (7, 5), 4: (7, 5), 6: (9, 3)}, [nan, 0.6, 0.9, 0.5, nan, 0.3])
    table = kept_table([kept[0], kept[1], third], test_to_train=1.0)
    lead = table.set_index("checkpoint").loc["best - last"]
    half = stats.t.ppf(0.975, 2) * 0.1 * (1 / 3 + 1) ** 0.5
    assert [lead[f"robust_accuracy_{end}"] for end in ("low", "high")] == pytest.approx([0.2 - half, 0.2 + half])
    assert f"+20.00 [{20 - 100 * half:.2f}, {20 + 100 * half:.2f}] |" in kept_page(table, SETTINGS, 1.0)


def test_the_model_of_the_best_epoch_is_read_where_that_is_what_the_run_takes(
    tmp_path: Path, kept: list[KeptRun]
) -> None:
    model = write_attack(tmp_path / "model.h5", 10, 8)
    table = kept_table([replace(kept[0], best=model)]).set_index("checkpoint")
    assert table.loc["best", "epoch"] == 3
    assert table.loc["best", "robust_accuracy_mean"] == pytest.approx(0.8)
    assert table.loc["best - last", "robust_accuracy_mean"] == pytest.approx(0.5)
    assert np.isnan(table.loc["best - last", "robust_accuracy_low"])


def test_page_tells_the_lead_its_interval_and_on_which_images(kept: list[KeptRun], tmp_path: Path) -> None:
    page = kept_page(kept_table(kept), SETTINGS)
    assert "| `trades` | 3 | 70.00 | 90.00 | -20.00 | 55.00 | 35.00 | +20.00 |" in page
    assert "under `cw` of the averaged weights that the runs kept, on test images. Dashed: `random`." in page
    assert "Seeds per run: 2. Images per seed: 10." in page
    assert "too few seeds for a claim" in page
    assert "comes out a little too large" not in page
    on_validation = kept_run(tmp_path, "held", 0, {1: (5, 5)}, [0.5], "validation")
    assert "so its lead comes out a little too large" in kept_page(kept_table([on_validation]), SETTINGS)


def test_each_run_is_a_line_over_epochs_and_the_baseline_is_dashed(kept: list[KeptRun]) -> None:
    figure = make(SETTINGS, kept=kept, styles=STYLES, test_to_train=None).figure
    clean, robust = figure.axes
    lines = {line.get_label(): line for line in robust.lines if not str(line.get_label()).startswith("_")}
    assert lines["trades"].get_xdata().tolist() == [2, 4, 6]
    assert lines["trades"].get_ydata().tolist() == pytest.approx([50, 50, 35])
    assert (lines["trades"].get_linestyle(), lines["random"].get_linestyle()) == ("-", "--")
    assert (clean.get_ylabel(), robust.get_xlabel()) == ("clean accuracy (%)", "epoch")


def test_tables_of_other_images_are_refused(kept: list[KeptRun]) -> None:
    path = kept[2].tables[6]
    path.unlink()
    write_attack(path, 6, 2, first_label=1)
    with pytest.raises(DataError, match=r"on the same images, got others for random \(epoch 6\) than for trades"):
        kept_table(kept)
    path.unlink()
    write_attack(path, 6, 2, split="validation")
    with pytest.raises(DataError, match="expected all attack tables on the same images"):
        kept_table(kept)


def test_a_history_of_train_rows_chooses_no_epoch(kept: list[KeptRun]) -> None:
    write_history(kept[0].history, [0.1] * 6, "train")
    with pytest.raises(DataError, match="expected kept epochs measured on validation rows in"):
        kept_table(kept)


def test_all_files_are_equal_over_two_draws(
    kept: list[KeptRun], drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]]
) -> None:
    drawn_twice(lambda: make(SETTINGS, kept=kept, styles=STYLES, test_to_train=None))

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pumalib.data.datasets import write_images
from pumalib.data.images import LabelledImages
from pumalib.data.pool import build_pool, read_pool_rows
from pumalib.errors import ArtifactError, ConfigError
from pumalib.files.artifacts import create_artifact
from pumalib.reporting.costs import cost_table, read_seconds
from pumalib.reporting.kinds.cost import make
from pumalib.reporting.kinds.cost_page import cost_page, draw_cost
from pumalib.reporting.parts import ReportFiles, write_parts
from pumalib.reporting.settings.cost import CostPart, CostSettings
from pumalib.scores.table import ScoreTable, write_scores

TRAINING = {"method": "trades", "epochs": 2, "samples_per_epoch": 100, "batch_size": 30, "attack_steps": 4}
DRAWS = 2 * 120  # four whole batches per epoch
MARGINS = {"method": "fast_margin", "model": "trades", "bisection_steps": 5}
GENERATOR = {
    **{"dataset": "digits", "width": 8, "num_blocks": 1, "steps": 1000, "batch_size": 1000, "learning_rate": 0.1},
    **{"averaging": 0.9, "sampling_steps": 2, "sampling_batch_size": 1000},
}
SAMPLES = {"method": "generator", "generator": "edm", "count": 666_500}
HEADER = "s\th:m:s\tmax_rss\n"


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    images = LabelledImages(np.zeros((8, 4, 4, 1), np.uint8), np.arange(8, dtype=np.int64) % 2)
    with create_artifact(tmp_path / "dataset.h5", "dataset") as file:
        file.attrs["class_names"] = ["a", "b"]
        for name in ("train", "test"):
            write_images(file.create_group(name), images)
    build_pool(tmp_path / "dataset.h5", None, tmp_path / "pool.h5", settings={})
    return tmp_path / "pool.h5"


@pytest.fixture
def parts(tmp_path: Path, pool: Path) -> list[CostPart]:
    """Return a baseline and a PUMA run that stands on it and on its margins, over two seeds."""
    parts = []
    for seed in (0, 1):
        baseline = training(tmp_path, "trades", seed, 8)
        own = training(tmp_path, "puma", seed, 6 - 2 * seed)
        parts += [
            CostPart("trades", seed, "training", **baseline),
            CostPart("puma", seed, "training", **own),
            CostPart("puma", seed, "margin model", **baseline),
            CostPart("puma", seed, "score", **margins(tmp_path, pool, seed, 3 + seed)),
        ]
    return parts


def training(folder: Path, run: str, seed: int, num_kept: int) -> dict[str, Any]:
    path = folder / f"{run}{seed}.h5"
    with create_artifact(path, "selection") as file:
        file.attrs["pool_fingerprint"], file.attrs["mean_epsilon"], file.attrs["cuts"] = "f", 0.0, '[["cut", 0.1]]'
        file["rows"], file["epsilons"] = np.arange(num_kept), np.zeros(num_kept, np.float32)
        file["reason"] = np.where(np.arange(8) < num_kept, -1, 0).astype(np.int16)
    benchmark = folder / f"{run}{seed}.tsv"
    benchmark.write_text(f"{HEADER}{10 + seed}.5\t0:00:10\tNA\n")
    return {
        "name": run,
        "settings": TRAINING,
        "outer_passes": (2, 2),
        "file": str(path),
        "benchmarks": (str(benchmark),),
    }


def test_draws_of_epochs_that_leave_rows_out_are_those_that_were_made(tmp_path: Path) -> None:
    """150 of 240 draws that were planned: 5/8 of the passes, which are 6 forward and 6 backward a draw."""
    pd.DataFrame({"epoch": [1, 2], "images_seen": [120, 150]}).to_csv(tmp_path / "history.csv", index=False)
    about = training(tmp_path, "infobatch", 0, 8)
    part = CostPart("infobatch", 0, "training", **about, history=str(tmp_path / "history.csv"))
    assert part.files[:2] == [about["file"], str(tmp_path / "history.csv")]
    row = cost_table([part]).iloc[0]
    assert row[["draws", "forward_passes", "backward_passes"]].tolist() == [150, 900, 900]
    (tmp_path / "history.csv").write_text("epoch\n1\n")
    with pytest.raises(ArtifactError, match=r"expected the column images_seen, found none in .*history\.csv"):
        cost_table([part])


def margins(folder: Path, pool: Path, seed: int, passes: int) -> dict[str, Any]:
    path = folder / f"margins{seed}.h5"
    table = ScoreTable(
        score=np.linspace(-0.1, 0.3, 8).astype(np.float32),
        valid=np.ones(8, bool),
        higher_is="easier",
        unit="pixel",
        method="fast_margin",
        pool_fingerprint=read_pool_rows(pool).fingerprint,
        norm="linf",
        columns={"converged": np.arange(8) > 0, "forwards": np.full(8, passes), "backwards": np.arange(8)},
    )
    write_scores(table, path)
    benchmarks = []
    for shard in (0, 1):
        (folder / f"shard{seed}{shard}.tsv").write_text(f"{HEADER}2.0\t0:00:02\tNA\n")
        benchmarks.append(str(folder / f"shard{seed}{shard}.tsv"))
    return {
        "name": "margin",
        "settings": MARGINS,
        "file": str(path),
        "pool": str(pool),
        "benchmarks": tuple(benchmarks),
    }


def test_costs_equal_those_done_by_hand(parts: list[CostPart]) -> None:
    table = cost_table(parts).set_index(["run", "part"])
    own = table.loc["puma", "training"]
    assert (own["rows"], own["draws"], own["attack_steps"]) == (5, DRAWS, 4)
    assert (own["forward_passes"], own["backward_passes"]) == (DRAWS * 6, DRAWS * 6)
    scored = table.loc["puma", "score"]
    assert scored["forward_passes"] == 3.5 * 8
    assert scored["backward_passes"] == 28
    whole = table.loc["puma", "whole"]
    assert whole["forward_passes"] == 2 * DRAWS * 6 + scored["forward_passes"]
    assert whole["seconds"] == 11.0 + 11.0 + 4.0
    assert whole["seconds_sd"] == pytest.approx(math.sqrt(2))
    assert table.loc["trades", "whole"]["backward_passes"] == DRAWS * 6
    assert (table["num_seeds"] == 2).all()


def test_a_run_stands_whole_beside_its_baseline(parts: list[CostPart], tmp_path: Path) -> None:
    output = ReportFiles(*(tmp_path / f"reports/r.{suffix}" for suffix in ("csv", "md", "png", "svg")))
    write_parts(make(CostSettings(kind="cost", baseline="trades", seconds=True), parts=parts), output)
    assert all(path.stat().st_size > 0 for path in (output.csv, output.markdown, output.png, output.svg))
    page = output.markdown.read_text(encoding="utf-8")
    ratio = (2 * DRAWS * 12 + 28 + 28) / (DRAWS * 12)
    assert f"| {ratio:.2f} | 11.0 | 26.0 |" in page
    assert "`trades`: 0.00144 + 0.00144" in page
    assert f"| `puma` | 37.5 | 0.0 | 0.0 | {100 * (1 - ratio):.1f} | 0.0 | -136.4 |" in page
    assert list(pd.read_csv(output.csv)["part"]) == ["training", "whole", "training", "margin model", "score", "whole"]


def test_the_figure_has_rows_passes_and_seconds_and_marks_the_baseline(parts: list[CostPart]) -> None:
    table = cost_table(parts)
    settings = CostSettings(kind="cost", baseline="trades", seconds=True)
    rows, passes, seconds = draw_cost(table, settings).axes
    assert [bar.get_width() for bar in rows.patches] == pytest.approx([0.008, 0.005])
    whole = {axes: [max(bar.get_x() + bar.get_width() for bar in axes.patches)] for axes in (passes, seconds)}
    assert whole[passes] == pytest.approx([(2 * DRAWS * 12 + 56) / 1e6])
    assert whole[seconds] == pytest.approx([26.0])
    for axes, baseline in ((rows, 0.008), (passes, DRAWS * 12 / 1e6), (seconds, 11.0)):
        assert [baseline] * 2 in [
            pytest.approx(list(line.get_xdata())) for line in axes.lines if len(line.get_xdata()) == 2
        ]
    assert len(draw_cost(table, CostSettings(kind="cost")).axes) == 2


def test_trainings_over_several_devices_are_named_beside_seconds_of_the_job(parts: list[CostPart]) -> None:
    settings = CostSettings(kind="cost", seconds=True)
    assert "wall time of each job; whiskers" in cost_page(cost_table(parts), parts, settings)
    shared = {**TRAINING, "devices": 2}
    parts = [replace(part, settings=shared) if part.settings == TRAINING else part for part in parts]
    page = cost_page(cost_table(parts), parts, settings)
    assert "each job, of one over several devices too: `trades` (2 devices), `puma` (2 devices); whiskers" in page


def test_nothing_unknown_is_counted_as_nothing(parts: list[CostPart], tmp_path: Path) -> None:
    parts = [part for part in parts if part.kind != "margin model"]
    parts += [CostPart("puma", seed, "margin model", "their.safetensors") for seed in (0, 1)]
    output = ReportFiles(*(tmp_path / f"reports/r.{suffix}" for suffix in ("csv", "md", "png", "svg")))
    write_parts(make(CostSettings(kind="cost", baseline="trades"), parts=parts), output)
    page = output.markdown.read_text(encoding="utf-8")
    assert "Unknown: the training of `their.safetensors`, which this study did not make." in page
    assert page.splitlines()[3].endswith("| unknown | unknown |")
    assert page.count("Unknown:") == 1
    assert "seconds" not in page


def test_a_training_that_looks_for_its_epsilons_on_the_way_costs_the_search_as_well(parts: list[CostPart]) -> None:
    online = {"policy": "online_margin", "prune_above": 0.2, "bisection_steps": 4}
    sought = [replace(part, online=online) if part.name == "puma" else part for part in parts]
    before, after = (cost_table(each).set_index(["run", "part"]).loc[("puma", "training")] for each in (parts, sought))
    assert after["forward_passes"] == before["forward_passes"] + DRAWS * (1 + 4 + 1)
    assert after["backward_passes"] == before["backward_passes"]


def test_gathering_costs_the_runs_whose_scores_read_it_and_no_other(parts: list[CostPart], pool: Path) -> None:
    difficulty = {"method": "classification_difficulty", "tracked": "trades"}
    gathered = ({"training": TRAINING, "track": {"correct": {"every": 2}}},)
    changed = [
        replace(part, settings=difficulty, gathered=gathered, pool=str(pool)) if part.kind == "score" else part
        for part in parts
    ]
    table = cost_table(changed).set_index(["run", "part"])
    epochs, steps = -(-TRAINING["epochs"] // 2), 4
    assert table.loc["puma", "score"]["forward_passes"] == 8 * epochs * (steps + 2)
    assert table.loc["puma", "score"]["backward_passes"] == 8 * epochs * steps
    assert table.loc["trades", "whole"]["forward_passes"] == DRAWS * 6


def test_generated_rows_are_part_of_the_whole_where_they_are_asked_for(parts: list[CostPart]) -> None:
    """By hand: 1,000 steps of 1,000 images; 667 batches of 1,000 samples, 3 estimates each."""
    made = [CostPart("puma", seed, "generation", "edm", GENERATOR) for seed in (0, 1)]
    made += [CostPart("puma", seed, "generation", "near", GENERATOR, synthetic=SAMPLES) for seed in (0, 1)]
    table, settings = cost_table([*parts, *made]), CostSettings(generation=True, baseline="trades")
    whole = table.set_index(["run", "part"]).loc[("puma", "whole")]
    assert whole["forward_passes"] == 2 * DRAWS * 6 + 28 + 1e6 + 667_000 * 3
    assert whole["backward_passes"] == 2 * DRAWS * 6 + 28 + 1e6
    page = cost_page(table, parts, settings)
    assert "| scores | generated rows | whole |" in page
    assert "`edm`, `near`: 3 + 1 |" in page
    assert "making the pool" not in page
    labels = draw_cost(table, settings).legends[0].get_texts()
    assert "generated rows" in [text.get_text() for text in labels]


def test_learning_a_pool_is_part_of_the_whole(parts: list[CostPart], pool: Path) -> None:
    """By hand: 8 rows, each 5 steps forward and backward, and 3 more forward."""
    learned = {"method": "robust_features", "pool": "real", "model": "trades", "steps": 5}
    about = {"name": "robustified", "settings": learned, "pool": str(pool)}
    made = [CostPart("puma", seed, "learned pool", **about) for seed in (0, 1)]
    table, settings = cost_table([*parts, *made]), CostSettings(baseline="trades")
    row, whole = (table.set_index(["run", "part"]).loc[("puma", part)] for part in ("learned pool", "whole"))
    assert (row["forward_passes"], row["backward_passes"]) == (64, 40)
    assert whole["forward_passes"] == 2 * DRAWS * 6 + 28 + 64
    page = cost_page(table, [*parts, *made], settings)
    assert "| scores | learned pools | whole |" in page
    assert "`robustified`: 6.4e-05 + 4e-05 |" in page
    assert "once for all trainings on them" in page
    assert "learned pools" not in cost_page(cost_table(parts), parts, settings)


def test_a_part_that_a_seed_stands_on_twice_counts_twice(parts: list[CostPart], tmp_path: Path) -> None:
    """By hand: seed 0 stands on one training of `trades` and one generator, seed 1 on those of both seeds."""
    parts += [CostPart("puma", 1, "margin model", **training(tmp_path, "trades", 0, 8))]
    parts += [CostPart("puma", seed, "generation", "edm", GENERATOR) for seed in (0, 1, 1)]
    table = cost_table(parts).set_index(["run", "part"])
    own, model, generator = (table.loc["puma", part] for part in ("training", "margin model", "generation"))
    assert model["forward_passes"] == 1.5 * own["forward_passes"]
    assert (model["draws"], model["attack_steps"]) == (1.5 * own["draws"], own["attack_steps"])
    assert model["seconds"] == (10.5 + 10.5 + 11.5) / 2
    assert (generator["forward_passes"], generator["num_seeds"]) == (1.5e6, 2)
    added = own["forward_passes"] + model["forward_passes"] + table.loc["puma", "score"]["forward_passes"] + 1.5e6
    assert table.loc["puma", "whole"]["forward_passes"] == added


def test_generated_rows_of_others_are_of_unknown_cost(parts: list[CostPart]) -> None:
    parts += [CostPart("puma", seed, "generation", "theirs") for seed in (0, 1)]
    page = cost_page(cost_table(parts), parts, CostSettings(generation=True, baseline="trades"))
    assert "Unknown: what the generated rows of pool `theirs` took, which this study did not make." in page
    assert "| unknown | unknown |" in page


def test_seconds_and_generation_are_not_asked_for_together() -> None:
    with pytest.raises(ConfigError, match="expected seconds or generation, got both"):
        CostSettings(seconds=True, generation=True)


def test_quantities_of_one_pass_are_paid_for_once(parts: list[CostPart], pool: Path) -> None:
    correct, loss = {"correct": {"every": 2}}, {"loss": {"every": 2, "inputs": "attacked"}}
    gathered = ({"training": TRAINING, "track": loss, "already": correct},)
    settings = {"method": "mean_loss", "tracked": "trades"}
    changed = [
        replace(part, settings=settings, gathered=gathered, pool=str(pool)) if part.kind == "score" else part
        for part in parts
    ]
    table = cost_table(changed).set_index(["run", "part"])
    assert table.loc["puma", "score"]["forward_passes"] == table.loc["puma", "score"]["backward_passes"] == 0


def test_a_benchmark_file_without_seconds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.tsv"
    for text in ("", HEADER, "h:m:s\n0:00:01\n", f"{HEADER}-\t-\t-\n"):
        path.write_text(text)
        with pytest.raises(ArtifactError, match=r"expected seconds in the column s, found none in .*b\.tsv"):
            read_seconds(path)


def test_page_says_that_attacks_on_kept_epochs_are_not_counted_where_there_are_any(parts: list[CostPart]) -> None:
    table, note = cost_table(parts), "Left out too: attacks on the weights of kept epochs"
    settings = CostSettings(baseline="trades")
    assert note not in cost_page(table, parts, settings)
    first, *others = parts
    keeping = [replace(first, settings={**(first.settings or {}), "keep_every": 1}), *others]
    assert note in cost_page(table, keeping, settings)

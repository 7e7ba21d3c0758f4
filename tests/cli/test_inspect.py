"""What `inspect` says of each kind of file, held to the arrays in it."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pumalib.cli.main import main
from pumalib.files.digests import seal
from pumalib.inspection.inspection import QUANTILES, distribution
from pumalib.reporting.terminal import text_histogram

ROOT = Path(__file__).parents[2]
Capture = pytest.CaptureFixture[str]
FILES = [
    "datasets/digits/seed0.h5", "generators/edm/seed0", "synthetic/digits+20/seed0.h5", "pools/digits+20/seed0.h5",
    "pools/robustified/seed0.h5", "learned/robustified/seed0.h5", "scores/margin/seed0.h5", "scores/noise/seed0.h5",
    "scores/margin/seed0/shard1.h5", "selections/trades/seed0.h5", "models/trades/seed0",
    "models/trades/seed0/track.h5", "models/puma/seed0/history.csv", "attacks/puma/seed0/shortest.h5", "results.csv",
]  # fmt: skip


def inspected(capsys: Capture, path: Path) -> dict[str, Any]:
    assert main(["inspect", str(path), "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(told) == {"path", "what", "origin", "facts", "tables", "distributions", "notes"}
    return told


@pytest.mark.parametrize("path", FILES)
def test_every_kind_of_file_is_told_in_lines_that_fit(in_study: Path, capsys: Capture, path: str) -> None:
    assert main(["inspect", str(in_study / path)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith(str(in_study / path))
    assert "Note:" not in captured.out
    assert max(map(len, captured.out.splitlines())) <= 100
    if not path.endswith(".csv"):
        assert "study small" in captured.out
        assert "libraries  h5py" in captured.out


def test_a_table_wider_than_the_terminal_goes_on_below_with_the_columns_that_tell_its_rows_apart(
    in_study: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert main(["inspect", str(in_study / "results.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[1:])) <= 50
    heads = [line.split() for line in lines if line.startswith("  run ")]
    assert len(heads) > 1
    assert all(head[:3] == ["run", "metric", "attack"] for head in heads)
    assert [word for head in heads for word in head[3:]] == ["mean", "(%)", "deviation", "(%)", "seeds"]


def test_selection_counts_what_each_cut_removed_by_class(in_study: Path, capsys: Capture) -> None:
    told = inspected(capsys, in_study / "selections/puma/seed0.h5")
    with h5py.File(in_study / "selections/puma/seed0.h5") as file:
        reason, epsilons = file["reason"][...], file["epsilons"][...]
    with h5py.File(in_study / "pools/digits+20/seed0.h5") as file:
        labels, source = file["labels"][...], file["source"][...]
    assert told["facts"]["rows_kept"] == (reason == -1).sum()
    cuts = [row["rows removed first by it"] for row in told["tables"]["cuts"]]
    assert cuts == [(reason == 0).sum(), (reason == 1).sum()]
    kept = {row["class"]: row for row in told["tables"]["rows kept by class and source"]}
    removed = {row["class"]: row for row in told["tables"]["rows removed by class and cut"]}
    for label in range(10):
        assert kept[str(label)]["synthetic"] == ((reason == -1) & (labels == label) & (source == 1)).sum()
        assert removed[str(label)]["all"] == ((reason >= 0) & (labels == label)).sum()
    spread = told["distributions"]["epsilon (pixel scale)"]
    assert spread["quantiles"]["0.5"] == pytest.approx(np.median(epsilons))
    assert sum(spread["counts"]) == len(epsilons)


def test_hardest_rows_of_margins_are_the_lowest_with_their_labels(in_study: Path, capsys: Capture) -> None:
    told = inspected(capsys, in_study / "scores/margin/seed0.h5")
    with h5py.File(in_study / "scores/margin/seed0.h5") as file:
        score, prediction = file["score"][...], file["columns/prediction"][...]
    with h5py.File(in_study / "pools/digits+20/seed0.h5") as file:
        labels = file["labels"][...]
    order = np.argsort(score, kind="stable")
    hardest, easiest = told["tables"]["hardest rows"], told["tables"]["easiest rows"]
    assert [row["row"] for row in hardest] == order[:5].tolist()
    assert easiest[0]["margin"] == pytest.approx(score.max())
    for row in hardest:
        assert (row["label"], row["prediction"]) == (str(labels[row["row"]]), str(prediction[row["row"]]))
    assert told["facts"]["rows_misclassified"] == (score < 0).sum()
    assert told["origin"]["inputs"].keys() == {"model", "pool", "shard 0", "shard 1"}


def test_hardest_rows_of_a_score_that_rises_with_hardness_are_the_highest(in_study: Path, capsys: Capture) -> None:
    told = inspected(capsys, in_study / "scores/difficulty/seed0.h5")
    with h5py.File(in_study / "scores/difficulty/seed0.h5") as file:
        score = file["score"][...]
    assert told["tables"]["hardest rows"][0]["row"] == np.argmax(score)


def test_rows_of_a_shard_have_their_numbers_in_the_pool(in_study: Path, capsys: Capture) -> None:
    told = inspected(capsys, in_study / "scores/margin/seed0/shard1.h5")
    with h5py.File(in_study / "scores/margin/seed0/shard1.h5") as file:
        first, score = int(file.attrs["first_row"]), file["score"][...]
    assert told["tables"]["hardest rows"][0]["row"] == first + np.argmin(score)


def test_accuracies_by_class_add_up_to_the_results(in_study: Path, capsys: Capture) -> None:
    table = inspected(capsys, in_study / "attacks/puma/seed0/cw.h5")
    results = inspected(capsys, in_study / "results.csv")["tables"]["accuracy by run, over seeds"]
    by_class = table["tables"]["accuracy by class"]
    robust = sum(row["images"] * row["robust"] for row in by_class) / sum(row["images"] for row in by_class)
    wanted = next(row for row in results if (row["run"], row["attack"]) == ("puma", "cw"))
    assert 100 * robust == pytest.approx(wanted["mean (%)"])


def test_wrong_labels_of_a_synthetic_set_are_counted(in_study: Path, capsys: Capture) -> None:
    told = inspected(capsys, in_study / "synthetic/digits+20/seed0.h5")
    with h5py.File(in_study / "synthetic/digits+20/seed0.h5") as file:
        assert told["facts"]["wrong_labels"] == (file["labels"][...] != file["true_labels"][...]).sum() == 4


def test_weights_are_counted_without_torch(in_study: Path, capsys: Capture) -> None:
    told = inspected(capsys, in_study / "models/trades/seed0")
    assert told["facts"]["numbers"] == 64 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10
    assert told["facts"]["last epoch"] == 2


def test_without_its_pool_a_score_table_is_told_with_a_note(
    in_study: Path, capsys: Capture, hide: Callable[[Path], None]
) -> None:
    hide(in_study / "synthetic/digits+20/seed0.h5")
    told = inspected(capsys, in_study / "scores/margin/seed0.h5")
    assert "expected results/small/synthetic/digits+20/seed0.h5, a source of the pool" in told["notes"][0]
    assert told["facts"]["rows"] == 120
    assert "hardest rows" not in told["tables"]


@pytest.mark.parametrize(
    ("file", "source", "other"),
    [
        ("scores/margin/seed0.h5", "pools/digits+20/seed0.h5", "pools/digits+real/seed0.h5"),
        ("selections/puma/seed0.h5", "pools/digits+20/seed0.h5", "pools/digits+real/seed0.h5"),
        ("models/trades/seed0/track.h5", "pools/digits+20/seed0.h5", "pools/digits+real/seed0.h5"),
    ],
)
def test_a_pool_of_other_rows_in_its_place_is_not_taken_for_the_pool_of_a_file(
    copied_study: Path, capsys: Capture, file: str, source: str, other: str
) -> None:
    shutil.copyfile(copied_study / other, copied_study / source)
    told = inspected(capsys, copied_study / file)
    assert "expected the pool with fingerprint" in told["notes"][0]
    assert "hardest rows" not in told["tables"]
    assert main(["show", str(copied_study / file), "--out", "rows.png"]) == 1
    assert "expected the pool with fingerprint" in capsys.readouterr().err


def test_images_of_another_split_are_not_taken_for_those_of_an_attack_table(
    copied_study: Path, capsys: Capture
) -> None:
    with h5py.File(copied_study / "datasets/digits/seed0.h5", "r+") as file:
        file["test"].attrs["fingerprint"] = "0" * 64
    seal(copied_study / "datasets/digits/seed0.h5")
    told = inspected(capsys, copied_study / "attacks/puma/seed0/cw.h5")
    assert "expected the dataset with fingerprint" in told["notes"][0]


def test_table_without_study_or_with_an_empty_value_is_told(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "no-study.csv").write_text("run,seed,attack,metric,value\na,0,cw,robust_accuracy,0.5\n")
    assert inspected(capsys, tmp_path / "no-study.csv")["facts"]["lines"] == 1
    names = "study,run,seed,attack,metric,value"
    (tmp_path / "empty.csv").write_text(f"{names}\ns,a,0,cw,robust_accuracy,\ns,a,1,cw,robust_accuracy,0.5\n")
    told = inspected(capsys, tmp_path / "empty.csv")
    assert told["tables"]["accuracy by run, over seeds"][0]["mean (%)"] is None


def test_a_terminal_without_unicode_gets_ascii(in_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (
        ["inspect", str(in_study / "scores/margin/seed0.h5")],
        ["trace", str(in_study / "scores/noise/seed0.h5")],
    ):
        written = io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
            assert main(command) == 0
            assert (b"|##" if command[0] == "inspect" else b"`- pool") in written.getvalue()


def test_reading_commands_start_without_torch_and_stop_quietly_at_a_closed_pipe(small_study: Path) -> None:
    script = (
        "import sys; from pumalib.cli.main import main; scores, puma, hard = sys.argv[1:]\n"
        "status = [main(['inspect', scores]), main(['trace', puma]), main(['compare', puma, hard])]\n"
        "sys.exit(any(status) or sum(name in sys.modules for name in ('torch', 'pandas', 'snakemake')))"
    )
    files = [f"results/small/{name}/seed0.h5" for name in ("scores/margin", "selections/puma", "selections/hard")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = f"'{sys.executable}' -c \"$0\" {' '.join(files)} | true; test ${{PIPESTATUS[0]}} = 0"
    finished = subprocess.run(
        ["bash", "-c", command, script], cwd=small_study, env=environment, capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_file_from_elsewhere_is_refused(tmp_path: Path, capsys: Capture) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1]
    (tmp_path / "notes.h5").write_text("no HDF5")
    (tmp_path / "empty.csv").write_text("a,b\n")
    (tmp_path / "notes.md").write_text("a page")
    for name, message in (
        ("other.h5", "expected one of the schemas puma.dataset"),
        ("notes.h5", "got a damaged or foreign file"),
        ("empty.csv", "expected lines of 2 cells"),
        ("notes.md", "notes.md; a text editor or a viewer opens it"),
    ):
        assert main(["inspect", str(tmp_path / name)]) == 1
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.err.count("\n") == 1


def test_what_a_job_cost_is_a_table_too(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "seed0.tsv").write_text("s\th:m:s\tmax_rss\n2.5\t0:00:02\t100.0\n")
    told = inspected(capsys, tmp_path / "seed0.tsv")
    assert (told["facts"]["lines"], told["distributions"]["max_rss"]["mean"]) == (1, 100)
    assert told["tables"]["columns of words"][0]["values"] == "0:00:02"


def test_distribution_leaves_out_what_is_not_finite() -> None:
    spread = distribution("x", [1.0, 2.0, 3.0, np.nan, np.inf])
    assert (spread.num_values, spread.num_not_finite, spread.mean) == (3, 2, 2.0)
    assert spread.quantiles[QUANTILES.index(0.5)] == 2.0
    assert spread.counts.sum() == 3
    assert distribution("same", [5, 5]).counts.tolist() == [2]
    assert len(distribution("none", [np.nan]).counts) == 0


def test_histogram_bars_are_in_proportion_and_a_single_row_is_seen() -> None:
    lines = text_histogram([0.0, 1.0, 2.0, 3.0], [0, 1, 1000], width=10)
    assert [line.count("█") for line in lines] == [0, 0, 10]
    assert "▏" in lines[1]
    assert lines[0].endswith("|" + " " * 10 + "     0")

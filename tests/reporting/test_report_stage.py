import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from pumalib.data.datasets import write_images
from pumalib.data.images import LabelledImages
from pumalib.data.pool import build_pool, read_pool_rows
from pumalib.errors import ArtifactError, DataError
from pumalib.files.artifacts import create_artifact
from pumalib.files.digests import seal
from pumalib.reporting.colours import run_styles
from pumalib.reporting.parts import ReportFiles
from pumalib.reporting.stage import write_report
from pumalib.results.collect import RunFiles
from pumalib.scores.table import ScoreTable, write_scores


@pytest.fixture
def output(tmp_path: Path) -> ReportFiles:
    return ReportFiles(*(tmp_path / f"reports/r.{suffix}" for suffix in ("csv", "md", "png", "svg")))


def is_written(output: ReportFiles) -> bool:
    return all(path.stat().st_size > 0 for path in (output.csv, output.markdown, output.png, output.svg))


def images(seed: int, count: int) -> LabelledImages:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 1), dtype=np.uint8)
    return LabelledImages(pixels, np.arange(count, dtype=np.int64) % 2)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Return a pool of 8 real and 6 synthetic rows; its dataset and synthetic set lie beside it."""
    with create_artifact(tmp_path / "dataset.h5", "dataset") as file:
        file.attrs["class_names"] = ["a", "b"]
        for seed, (name, count) in enumerate({"train": 8, "test": 6}.items()):
            write_images(file.create_group(name), images(seed, count))
    with create_artifact(tmp_path / "synthetic.h5", "synthetic") as file:
        write_images(file, images(9, 6))
    build_pool(tmp_path / "dataset.h5", tmp_path / "synthetic.h5", tmp_path / "pool.h5", settings={})
    return tmp_path / "pool.h5"


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., list[RunFiles]]:
    """Return a maker of the files of two runs over two seeds: robust accuracy 0.5, and 0.75 with puma."""

    def make() -> list[RunFiles]:
        return [entry(run, seed) for run in ("trades", "puma") for seed in (0, 1)]

    def entry(run: str, seed: int) -> RunFiles:
        folder = tmp_path / run / str(seed)
        with create_artifact(folder / "s.h5", "selection") as file:
            file.attrs["pool_fingerprint"], file.attrs["mean_epsilon"], file.attrs["cuts"] = "f", 0.1, "[]"
            file["rows"], file["epsilons"] = np.arange(4), np.full(4, 0.1, np.float32)
            file["reason"] = np.full(4, -1, np.int16)
        with create_artifact(folder / "cw.h5", "attack") as file:
            file.attrs["method"], file.attrs["split"] = "cw_pgd", "test"
            file["label"] = file["clean_prediction"] = np.zeros(4, np.int64)
            file["adversarial_prediction"] = np.array([0, 0, 1, int(run == "trades")], np.int64)
        return RunFiles(run, seed, "p", folder / "s.h5", {"cw": folder / "cw.h5"})

    return make


def report_results(settings: dict[str, Any], files: list[RunFiles], output: ReportFiles) -> None:
    entries = [{**asdict(entry), "selection": str(entry.selection)} for entry in files]
    styles = {run: list(style) for run, style in run_styles(["trades", "puma"]).items()}
    arguments = {"study": "tiny", "files": entries, "styles": styles, "test_to_train": None}
    split = {"split": "test"} if settings["kind"] == "comparison" else {}
    write_report(settings, arguments | split, output)


def test_comparison_is_written_from_attack_tables(files: Any, output: ReportFiles) -> None:
    report_results({"kind": "comparison", "baseline": "trades"}, files(), output)
    assert is_written(output)
    table = pd.read_csv(output.csv).set_index("run")
    means = table["robust_accuracy_cw_mean"]
    assert means.to_dict() == {"trades": 0.5, "puma": 0.75}


def test_trade_off_is_written_from_attack_tables(files: Any, output: ReportFiles) -> None:
    report_results({"kind": "trade_off", "baseline": "trades", "attack": "cw"}, files(), output)
    assert is_written(output)


def test_report_of_a_run_that_is_not_there_is_refused_and_leaves_nothing(files: Any, output: ReportFiles) -> None:
    with pytest.raises(DataError, match='no run "trads"; did you mean "trades"'):
        report_results({"kind": "comparison", "baseline": "trads"}, files(), output)
    assert not output.csv.exists()


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "comparison", "baseline": "trades"},
        {"kind": "trade_off", "baseline": "trades", "attack": "cw"},
        {"kind": "ratio_curves", "lines": {"all": ["trades", "puma"]}, "attack": "cw"},
    ],
)
def test_pages_warn_of_runs_that_keep_many_rows_with_a_negative_epsilon(
    settings: dict[str, Any], files: Any, output: ReportFiles
) -> None:
    entries = files()
    report_results(settings, entries, output)
    assert "negative epsilon" not in output.markdown.read_text(encoding="utf-8")
    with h5py.File(entries[-1].selection, "r+") as file:
        file["epsilons"][:1] = -0.1
    seal(entries[-1].selection)
    report_results(settings, entries, output)
    page = output.markdown.read_text(encoding="utf-8")
    assert "have a negative epsilon in `puma` (25.0 %)" in page
    assert "`trades` (" not in page


def test_training_curves_are_written_from_histories(tmp_path: Path, output: ReportFiles) -> None:
    histories = []
    for seed in (0, 1):
        path = tmp_path / f"history{seed}.csv"
        path.write_text("epoch,images_seen,clean_accuracy,robust_accuracy,split\n1,100,0.5,0.25,validation\n")
        histories.append({"run": "trades", "seed": seed, "path": str(path)})
    arguments = {"files": histories, "styles": {"trades": ["#000000", "s"]}}
    write_report({"kind": "training_curves", "runs": ["trades"]}, arguments, output)
    assert is_written(output)


def write_margins(path: Path, pool: Path, scale: float = 1.0) -> Path:
    table = ScoreTable(
        score=np.linspace(-0.1, 0.3, 14).astype(np.float32) * scale,
        valid=np.ones(14, bool),
        higher_is="easier",
        unit="pixel",
        method="deepfool",
        pool_fingerprint=read_pool_rows(pool).fingerprint,
        norm="linf",
        columns={"converged": np.ones(14, bool)},
    )
    write_scores(table, path)
    return path


def write_selection(path: Path, pool: Path, cuts: list[list[Any]]) -> Path:
    with create_artifact(path, "selection") as file:
        file.attrs["pool_fingerprint"] = read_pool_rows(pool).fingerprint
        file.attrs["mean_epsilon"], file.attrs["cuts"] = 0.0, json.dumps(cuts)
        file["rows"], file["epsilons"] = np.arange(14), np.zeros(14, np.float32)
        file["reason"] = np.full(14, -1, np.int16)
    return path


def report_margins(
    settings: dict[str, Any],
    scores: list[Path],
    pool: Path,
    output: ReportFiles,
    selection: Path | None = None,
    cut_by: Sequence[str] = (),
) -> None:
    files = {"scores": scores, "pool": pool, "selection": selection}
    write_report(settings, {**files, "cut_by": cut_by, "epsilon": 0.1}, output)


def test_margin_histogram_marks_only_cuts_by_its_score(tmp_path: Path, pool: Path, output: ReportFiles) -> None:
    scores = write_margins(tmp_path / "scores.h5", pool)
    cuts = [["random 10 %", float("nan")], ["margin easiest 20 %", 0.25], ["other hardest 10 %", 0.123]]
    selection = write_selection(tmp_path / "selection.h5", pool, cuts)
    cut_by = ["random", "margin", "other"]
    settings = {"kind": "margin_histogram", "score": "margin", "run": "puma"}
    report_margins(settings, [scores], pool, output, selection, cut_by)
    assert is_written(output)
    page = output.markdown.read_text(encoding="utf-8")
    assert "Dashed lines, pruned: 20 % highest margins at 0.25." in page
    assert "other" not in page
    assert "random" not in page


def test_margin_histogram_draws_a_second_score_and_needs_no_run(
    tmp_path: Path, pool: Path, output: ReportFiles
) -> None:
    scores = [write_margins(tmp_path / "one.h5", pool), write_margins(tmp_path / "two.h5", pool, -1.0)]
    settings = {"kind": "margin_histogram", "score": "margin", "beside": "fast"}
    report_margins(settings, scores, pool, output)
    assert is_written(output)
    page = output.markdown.read_text(encoding="utf-8")
    assert "| rank correlation (Spearman) | -1.0000 |" in page
    assert "| same sign | 0.00 % |" in page
    assert "No cut is marked." in page


def test_scores_of_every_seed_are_held_against_each_other(tmp_path: Path, pool: Path, output: ReportFiles) -> None:
    one, two = write_margins(tmp_path / "one.h5", pool), write_margins(tmp_path / "two.h5", pool, -1.0)
    files = [{"seed": 0, "pool": pool, "scores": [one, two]}, {"seed": 3, "pool": pool, "scores": [one, one]}]
    settings = {"kind": "score_agreement", "scores": ["margin", "fast"], "fractions": [0.5]}
    write_report(settings, {"files": files}, output)
    assert is_written(output)
    table = pd.read_csv(output.csv)
    over_all = table[table.source == "all"].set_index("seed")
    assert over_all.rank_correlation.to_dict() == pytest.approx({0: -1.0, 3: 1.0})
    assert over_all["overlap_0.5"].to_dict() == {0: 0.0, 3: 1.0}


def test_scores_of_another_pool_are_not_held_against_each_other(
    tmp_path: Path, pool: Path, output: ReportFiles
) -> None:
    scores = [write_margins(tmp_path / "one.h5", pool), write_margins(tmp_path / "two.h5", pool)]
    build_pool(tmp_path / "dataset.h5", None, tmp_path / "other.h5", settings={})
    files = [{"seed": 0, "pool": tmp_path / "other.h5", "scores": scores}]
    with pytest.raises(ArtifactError, match="expected the pool with fingerprint"):
        write_report({"kind": "score_agreement", "scores": ["margin", "fast"]}, {"files": files}, output)


def test_margins_of_another_pool_are_refused(tmp_path: Path, pool: Path, output: ReportFiles) -> None:
    scores = write_margins(tmp_path / "scores.h5", pool)
    selection = write_selection(tmp_path / "selection.h5", pool, [])
    build_pool(tmp_path / "dataset.h5", None, tmp_path / "other.h5", settings={})
    settings = {"kind": "margin_histogram", "score": "margin", "run": "puma"}
    with pytest.raises(ArtifactError, match="expected the pool with fingerprint"):
        report_margins(settings, [scores], tmp_path / "other.h5", output, selection)


def test_neighbours_are_compared_with_test_rows(tmp_path: Path, pool: Path, output: ReportFiles) -> None:
    arguments = {"pool": str(pool), "dataset": str(tmp_path / "dataset.h5"), "of_seed": 3}
    write_report({"kind": "nearest_neighbours", "pool": "p"}, arguments, output)
    assert is_written(output)
    page = output.markdown.read_text(encoding="utf-8")
    assert "test rows" in page
    assert page.endswith("\n\nAll of this is of seed 3 alone.\n")


@pytest.mark.parametrize(
    "arguments", [{}, {"pool": "p.h5", "dataset": "d.h5", "epsilon": 0.1}, {"pool": 1, "dataset": 2}]
)
def test_arguments_that_a_kind_does_not_take_are_refused(arguments: dict[str, Any], output: ReportFiles) -> None:
    with pytest.raises(ValidationError, match=r"validation errors? for make"):
        write_report({"kind": "nearest_neighbours", "pool": "p"}, arguments, output)

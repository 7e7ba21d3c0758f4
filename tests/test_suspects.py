"""Suspects: rows of negative margin, worst first, against planted wrong labels; by hand and by scikit-learn."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from pumalib.cli.main import main
from pumalib.data.datasets import prepare_dataset
from pumalib.data.planted import true_labels_of
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.settings import DigitsSettings, HeldOutSyntheticSettings
from pumalib.errors import DataError
from pumalib.files.origin import Input, Maker
from pumalib.inspection.suspects import average_precision, detection, find_suspects
from pumalib.lineage.headers import read_header
from pumalib.reporting.kinds.suspects import make
from pumalib.reporting.settings.suspects import SuspectsSettings
from pumalib.scores.table import ScoreTable, write_scores
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic

REAL, HELD_OUT, NOISE = 40, 60, 0.2


class Study:
    """A pool of 40 real and 60 held-out digits, a fifth of the latter with a wrong label, and margins of it."""

    def __init__(self, folder: Path, noise: float = NOISE) -> None:
        self.folder = folder
        settings = DigitsSettings(
            source="digits", split="seeded", test_fraction=0.5, held_out_fraction=0.4, train_count=REAL
        )
        paths = {name: folder / f"{name}/mine/seed0.h5" for name in ("datasets", "synthetic", "pools", "scores")}
        for path in paths.values():
            path.parent.mkdir(parents=True)
        prepare_dataset(settings, 0, folder, paths["datasets"])
        held_out = HeldOutSyntheticSettings(count=HELD_OUT, label_noise=noise)
        make_synthetic(held_out, SyntheticInputs(paths["datasets"], None, None, 0, "cpu"), paths["synthetic"])
        build_pool(paths["datasets"], paths["synthetic"], paths["pools"], {})
        self.pool, self.score = open_pool(paths["pools"]), paths["scores"]
        self.pool_path = paths["pools"]

    def write(self, margins: NDArray[np.float64], norm: str = "linf") -> None:
        count = len(margins)
        table = ScoreTable(
            score=margins.astype(np.float32),
            valid=np.ones(count, bool),
            higher_is="easier",
            unit="pixel scale [0, 1]",
            method="deepfool",
            norm=norm,
            pool_fingerprint=self.pool.fingerprint,
            columns={"prediction": np.where(margins < 0, (self.pool.labels + 1) % 10, self.pool.labels)},
        )
        self.score.unlink(missing_ok=True)
        inputs = {"pool": Input(self.pool_path, self.pool.fingerprint)}
        write_scores(table, self.score, Maker({}, self.folder).origin({}, inputs))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("study"))


def margins_with(study: Study, found: int, false: int) -> NDArray[np.float64]:
    """Return margins that are negative for so many rows with a wrong label, and so many with a right one."""
    truth = true_labels_of(study.pool)
    assert truth is not None
    wrong = np.flatnonzero(truth != study.pool.labels)
    right = np.flatnonzero(truth == study.pool.labels)
    margins = np.linspace(0.1, 0.2, len(truth))
    margins[wrong[:found]] = -np.linspace(0.5, 0.4, found)
    margins[right[:false]] = -np.linspace(0.3, 0.1, false)
    return margins


def test_planted_labels_are_those_of_the_source(study: Study) -> None:
    truth = true_labels_of(study.pool)
    assert truth is not None
    assert (truth[:REAL] == study.pool.labels[:REAL]).all()
    assert (truth != study.pool.labels).sum() == NOISE * HELD_OUT


def test_a_pool_without_planted_labels_has_none(tmp_path: Path) -> None:
    clean = Study(tmp_path, noise=0.0)
    assert true_labels_of(clean.pool) is None
    clean.write(np.linspace(-0.1, 0.2, REAL + HELD_OUT))
    suspects = find_suspects(read_header(clean.score))
    assert suspects.is_wrong is None
    assert detection(suspects) is None
    assert "true label" not in suspects.rows.predictions


def test_suspects_are_the_rows_of_negative_margin_worst_first(study: Study) -> None:
    margins = margins_with(study, found=9, false=3)
    study.write(margins)
    suspects = find_suspects(read_header(study.score))
    assert suspects.positions.tolist() == sorted(np.flatnonzero(margins < 0), key=lambda row: margins[row])
    found = detection(suspects)
    assert found is not None
    assert (found.num_wrong, found.num_found) == (12, 9)
    assert (found.precision, found.recall) == (9 / 12, 9 / 12)
    assert found.average_precision == pytest.approx(average_precision_score(suspects.is_wrong, -margins))


def test_no_suspects_are_none(study: Study) -> None:
    study.write(margins_with(study, 0, 0))
    suspects = find_suspects(read_header(study.score))
    found = detection(suspects)
    assert found is not None
    assert (len(suspects.positions), found.num_found, found.recall) == (0, 0, 0)
    assert np.isnan(found.precision)
    assert make(SuspectsSettings(kind="suspects", score="margin", count=6), score=study.score).table.empty


def test_a_score_that_is_no_margin_is_refused(study: Study) -> None:
    study.write(margins_with(study, 2, 2), norm="")
    with pytest.raises(DataError, match="expected a margin score, whose sign says that the model denies a label"):
        find_suspects(read_header(study.score))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_average_precision_is_that_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores, positive = np.array([float(score) for score, _ in rows]), np.array([is_positive for _, is_positive in rows])
    if positive.any():
        assert average_precision(scores, positive) == pytest.approx(average_precision_score(positive, scores))


def test_report_lists_all_and_tells_how_many_planted_labels_it_finds(study: Study) -> None:
    study.write(margins_with(study, found=9, false=3))
    parts = make(SuspectsSettings(kind="suspects", score="margin", count=6), score=study.score)
    assert parts.table.columns.tolist() == ["row", "group", "label", "prediction", "true label", "margin"]
    assert len(parts.table) == 12
    assert "12 rows (12.0 %). 9 of them are suspects: recall 75.0 %, precision 75.0 %" in parts.text
    assert "| synthetic | 60 | 9 | 15.0 |" in parts.text
    assert "| real | 40 | 3 | 7.5 |" in parts.text


def test_command_prints_the_worst_and_writes_them_all(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study.write(margins_with(study, found=9, false=3))
    out, drawn = tmp_path / "suspects.csv", tmp_path / "suspects.png"
    command = ["suspects", str(study.score), "--count", "2", "--out", str(out), "--picture", str(drawn)]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["suspects"], told["planted_num_found"]) == (100, 12, 9)
    assert [row["margin"] for row in told["worst"]] == pytest.approx([-0.5, -0.4875])
    assert len(pd.read_csv(out)) == 12
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert main(command[:4]) == 0
    assert "suspects" in capsys.readouterr().out
    study.write(margins_with(study, 0, 0))
    assert main(["suspects", str(study.score)]) == 0
    assert "no row is suspect" in capsys.readouterr().out
    assert main(["suspects", str(study.score), "--picture", str(drawn)]) == 1
    assert "expected suspects to draw, got no negative margin" in capsys.readouterr().err

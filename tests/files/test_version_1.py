"""Results that the first version of the schema recorded, as an old commit wrote them: read and traced as they were."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file

from pumalib.cli.main import main
from pumalib.data.datasets import has_split, read_class_names, read_split, split_fingerprint
from pumalib.data.pool import open_pool, read_pool_rows
from pumalib.data.selection import read_selection
from pumalib.errors import ArtifactError
from pumalib.evaluation.table import read_attack, read_shortest_norms
from pumalib.files.artifacts import file_fingerprint, recorded_inputs
from pumalib.files.digests import seal
from pumalib.files.origin import Input
from pumalib.files.tables import read_table
from pumalib.lineage.headers import read_header
from pumalib.models.checkpoint import read_metadata, save_weights
from pumalib.models.trained import load_trained
from pumalib.scores.join import join_shards
from pumalib.scores.table import read_scores
from pumalib.study.file import load_study
from pumalib.synthesis.generator import load_generator
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic
from pumalib.tracks.file import read_track

DATA = Path(__file__).parent / "version_1"
RESULTS = Path("results/before")
DATASET = RESULTS / "datasets/digits/seed0.h5"
POOL = RESULTS / "pools/digits+20/seed0.h5"
MODEL = RESULTS / "models/trades/seed0/model.safetensors"
GENERATOR = RESULTS / "generators/edm/seed0/model.safetensors"
KINDS = {
    "datasets/digits/seed0.h5": "dataset",
    "generators/edm/seed0/model.safetensors": "generator",
    "synthetic/digits+20/seed0.h5": "synthetic",
    "synthetic/digits+real/seed0.h5": "synthetic",
    "learned/learned/seed0.h5": "learned",
    "pools/digits+20/seed0.h5": "pool",
    "pools/digits+real/seed0.h5": "pool",
    "pools/learned/seed0.h5": "pool",
    "scores/margin/seed0.h5": "scores",
    "scores/margin/seed0/shard0.h5": "scores",
    "scores/margin/seed0/shard1.h5": "scores",
    "scores/difficulty/seed0.h5": "scores",
    "scores/noise/seed0.h5": "scores",
    "selections/puma/seed0.h5": "selection",
    "selections/hard/seed0.h5": "selection",
    "models/trades/seed0/model.safetensors": "model",
    "models/trades/seed0/track.h5": "track",
    "models/puma/seed0/track.h5": "track",
    "attacks/puma/seed0/cw.h5": "attack",
    "attacks/puma/seed0/shortest.h5": "attack",
}
WITH_ROWS = [
    path for path, kind in KINDS.items() if kind not in ("model", "generator") and "puma/seed0/track" not in path
]
AGREES = "Every recorded fingerprint agrees with the files."
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in the folder of the old study; tests leave it as it is."""
    monkeypatch.chdir(DATA)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a copy of the old study that a test may spoil; return its results, relative."""
    monkeypatch.chdir(shutil.copytree(DATA, tmp_path / "copy"))
    return RESULTS


def stored(path: str, name: str) -> Any:
    with h5py.File(RESULTS / path) as file:
        return file[name][...]


def attribute(path: str, name: str, group: str = "/") -> Any:
    with h5py.File(RESULTS / path) as file:
        return file[group].attrs[name]


def told(capsys: Capture, *arguments: str, status: int = 0) -> str:
    assert main([*arguments]) == status
    return capsys.readouterr().out


def lines_of_results() -> list[dict[str, str]]:
    return list(csv.DictReader((RESULTS / "results.csv").read_text().splitlines()))


def test_the_data_are_of_the_first_version() -> None:
    files = sorted([*RESULTS.rglob("*.h5"), *RESULTS.rglob("*.safetensors")])
    assert set(KINDS) <= {str(path.relative_to(RESULTS)) for path in files}
    for path in files:
        if path.suffix == ".h5":
            with h5py.File(path) as file:
                described = dict(file.attrs)
            inputs = json.loads(described["inputs"])
        else:
            with safe_open(path, framework="np") as weights:
                described = json.loads(weights.metadata()["pumalib"])
            inputs = described["inputs"]
        assert described["schema_version"] == 1
        assert "place" not in described
        assert all(isinstance(fingerprint, str) for fingerprint in inputs.values())


@pytest.mark.parametrize("path", KINDS)
def test_header_has_fingerprints_without_paths(path: str) -> None:
    header = read_header(RESULTS / path)
    assert (header.kind, header.version) == (KINDS[path], 1)
    assert header.settings
    assert header.code["python"]
    assert header.library_versions["pumalib"] == "0.1.0"
    assert header.inputs == {role: Input(None, fingerprint) for role, fingerprint in header.fingerprints.items()}
    if path.endswith(".h5"):
        assert header.fingerprints == json.loads(attribute(path, "inputs"))
        assert recorded_inputs(RESULTS / path, header.kind) == header.inputs


def test_splits_of_a_dataset_are_read() -> None:
    for split, count in (("train", 40), ("test", 20)):
        read = read_split(DATASET, split)
        assert len(read.labels) == count
        np.testing.assert_array_equal(read.images, stored("datasets/digits/seed0.h5", f"{split}/images"))
        np.testing.assert_array_equal(read.labels, stored("datasets/digits/seed0.h5", f"{split}/labels"))
        assert split_fingerprint(DATASET, split) == attribute("datasets/digits/seed0.h5", "fingerprint", split)
    assert has_split(DATASET, "validation")
    assert has_split(DATASET, "held_out")
    assert read_class_names(DATASET) == tuple("0123456789")


def test_pool_is_opened_with_its_sources() -> None:
    pool = open_pool(POOL)
    images = [stored("datasets/digits/seed0.h5", "train/images"), stored("synthetic/digits+20/seed0.h5", "images")]
    labels = [stored("datasets/digits/seed0.h5", "train/labels"), stored("synthetic/digits+20/seed0.h5", "labels")]
    np.testing.assert_array_equal(pool.images[np.arange(60)], np.concatenate(images))
    np.testing.assert_array_equal(pool.labels, np.concatenate(labels))
    assert pool.source.tolist() == [0] * 40 + [1] * 20
    assert pool.fingerprint == attribute("pools/digits+20/seed0.h5", "pool_fingerprint")


def test_learned_pool_is_opened() -> None:
    pool = open_pool(RESULTS / "pools/learned/seed0.h5")
    np.testing.assert_array_equal(pool.images[np.arange(60)], stored("learned/learned/seed0.h5", "images"))
    np.testing.assert_array_equal(pool.labels, read_pool_rows(POOL).labels)
    np.testing.assert_array_equal(pool.source, stored("learned/learned/seed0.h5", "source"))


@pytest.mark.parametrize("path", [path for path, kind in KINDS.items() if kind == "scores"])
def test_scores_are_read(path: str) -> None:
    table = read_scores(RESULTS / path)
    np.testing.assert_array_equal(table.score, stored(path, "score"))
    np.testing.assert_array_equal(table.valid, stored(path, "valid"))
    assert table.higher_is == ("easier" if "margin" in path else "harder")
    assert table.first_row == (30 if "shard1" in path else 0)
    assert len(table.score) == (30 if "shard" in path else 50 if "noise" in path else 60)
    if "margin" in path:
        assert table.model_fingerprint == file_fingerprint(MODEL)
        np.testing.assert_array_equal(table.columns["prediction"], stored(path, "columns/prediction"))


def test_old_shards_are_joined_to_the_old_table(tmp_path: Path) -> None:
    shards = [RESULTS / f"scores/margin/seed0/shard{shard}.h5" for shard in range(2)]
    join_shards(shards, POOL, tmp_path / "joined.h5", {})
    joined, old = read_scores(tmp_path / "joined.h5"), read_scores(RESULTS / "scores/margin/seed0.h5")
    np.testing.assert_array_equal(joined.score, old.score)
    assert joined.model_fingerprint == old.model_fingerprint
    assert read_header(tmp_path / "joined.h5").fingerprints["model"] == file_fingerprint(MODEL)


def test_selection_is_read() -> None:
    selection = read_selection(RESULTS / "selections/puma/seed0.h5", read_pool_rows(POOL).fingerprint)
    for name in ("rows", "epsilons", "reason"):
        np.testing.assert_array_equal(getattr(selection, name), stored("selections/puma/seed0.h5", name))
    line = next(line for line in lines_of_results() if line["run"] == "puma")
    assert (len(selection.rows), len(selection.reason)) == (45, 60)
    assert str(selection.mean_epsilon) == line["mean_epsilon"]
    assert str(selection.pruned_fraction) == line["pruned_fraction"]
    assert [list(cut) for cut in selection.cuts] == json.loads(attribute("selections/puma/seed0.h5", "cuts"))


def test_model_is_loaded_with_the_selection_it_was_trained_on() -> None:
    trained, tensors = load_trained(MODEL, "cpu"), load_file(MODEL)
    assert trained.image_shape == (8, 8, 1)
    assert trained.class_names == tuple("0123456789")
    assert trained.selection == read_selection(RESULTS / "selections/trades/seed0.h5").fingerprint
    assert trained.model.state_dict().keys() == tensors.keys()
    for name, tensor in trained.model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), tensors[name])


def test_model_predicts_what_its_attack_table_says() -> None:
    trained = load_trained(MODEL, "cpu")
    images = stored("datasets/digits/seed0.h5", "test/images")
    with torch.no_grad():
        logits = trained.model(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    assert logits.argmax(1).tolist() == stored("attacks/trades/seed0/cw.h5", "clean_prediction").tolist()


def test_generator_draws_the_images_of_its_synthetic_set(tmp_path: Path) -> None:
    settings = load_study(Path("study.yaml")).settings.generators["edm"]
    denoiser, fingerprint = load_generator(GENERATOR, settings, DATASET, "cpu")
    assert fingerprint == json.loads(attribute("synthetic/digits+20/seed0.h5", "inputs"))["generator"]
    tensors = load_file(GENERATOR)
    assert all(np.array_equal(tensor.numpy(), tensors[name]) for name, tensor in denoiser.state_dict().items())
    synthetic = load_study(Path("study.yaml")).settings.pools["digits+20"].synthetic
    assert synthetic is not None
    make_synthetic(synthetic, SyntheticInputs(DATASET, GENERATOR, settings, 0, "cpu"), tmp_path / "again.h5")
    with h5py.File(tmp_path / "again.h5") as file:
        images, labels = file["images"][...].astype(int), file["labels"][...]
    assert np.abs(images - stored("synthetic/digits+20/seed0.h5", "images")).max() <= 1  # processors round differently
    np.testing.assert_array_equal(labels, stored("synthetic/digits+20/seed0.h5", "labels"))


def test_track_is_read() -> None:
    track = read_track(RESULTS / "models/trades/seed0/track.h5", read_pool_rows(POOL).fingerprint)
    assert track.num_rows == 60
    for name in ("correct", "loss"):
        np.testing.assert_array_equal(track.quantities[name].values, stored("models/trades/seed0/track.h5", name))
        assert track.quantities[name].epochs.tolist() == [1, 2]
    assert track.visits is not None
    assert track.visits.count.sum() == 2 * 128
    np.testing.assert_array_equal(track.visits.wrong, stored("models/trades/seed0/track.h5", "visits/wrong"))
    assert read_track(RESULTS / "models/puma/seed0/track.h5").names == ()


def test_attack_tables_give_the_old_accuracies() -> None:
    for line in lines_of_results():
        attack = "cw" if line["attack"] == "none" else line["attack"]
        path = RESULTS / f"attacks/{line['run']}/seed0/{attack}.h5"
        table = read_attack(path)
        assert str(getattr(table, line["metric"])) == line["value"]
        assert len(table.label) == int(line["num_samples"])
        assert table.selection == read_selection(RESULTS / f"selections/{line['run']}/seed0.h5").fingerprint
    norms = read_shortest_norms(RESULTS / "attacks/puma/seed0/shortest.h5")
    assert norms.accuracies(np.array([0.0, 1e9])).tolist()[1] == 0.0
    assert (
        norms.accuracies(np.array([0.0]))[0] == read_attack(RESULTS / "attacks/puma/seed0/shortest.h5").clean_accuracy
    )


@pytest.mark.parametrize("path", ["results.csv", "models/puma/seed0/history.csv", "reports/table.csv"])
def test_tables_are_held_to_their_checksums(copied: Path, path: str) -> None:
    assert read_table(copied / path) == (DATA / copied / path).read_text()
    (copied / path).write_text((copied / path).read_text().replace("0", "1", 1))
    with pytest.raises(ArtifactError, match="as it was written"):
        read_table(copied / path)


@pytest.mark.parametrize("path", [*KINDS, "results.csv", "models/puma/seed0/history.csv"])
def test_inspect_tells_of_every_kind(capsys: Capture, path: str) -> None:
    out = told(capsys, "inspect", str(RESULTS / path))
    assert out.startswith(str(RESULTS / path))
    assert "Note:" not in out
    if path in KINDS:
        assert "study before" in out
        described = json.loads(told(capsys, "inspect", str(RESULTS / path), "--json"))
        assert described["origin"]["inputs"] == read_header(RESULTS / path).fingerprints


@pytest.mark.parametrize("path", WITH_ROWS)
def test_show_draws_rows_of_every_kind_that_has_some(capsys: Capture, tmp_path: Path, path: str) -> None:
    out = told(capsys, "show", str(RESULTS / path), "--count", "2", "--out", str(tmp_path / "rows.png"))
    assert out.startswith(str(tmp_path / "rows.png"))
    assert (tmp_path / "rows.png").read_bytes().startswith(b"\x89PNG")


def test_compare_holds_old_files_against_each_other(capsys: Capture) -> None:
    selections = [str(RESULTS / f"selections/{run}/seed0.h5") for run in ("puma", "hard")]
    told_of = json.loads(told(capsys, "compare", *selections, "--json"))
    kept = [set(read_selection(path).rows.tolist()) for path in selections]
    assert told_of["in_both"] == len(kept[0] & kept[1])
    assert sum(line["in_both"] for line in told_of["by_class"]) == told_of["in_both"]
    scores = [str(RESULTS / f"scores/{score}/seed0.h5") for score in ("margin", "difficulty")]
    assert json.loads(told(capsys, "compare", *scores, "--json"))["rows_in_both"] == 60


def test_a_number_is_followed_to_the_dataset_through_every_file(capsys: Capture) -> None:
    out = told(capsys, "trace", str(RESULTS / "results.csv"), "--run", "puma", "--attack", "cw")
    for path in (
        "attacks/puma/seed0/cw.h5",
        "models/puma/seed0/model.safetensors",
        "selections/puma/seed0.h5",
        "scores/margin/seed0.h5",
        "scores/margin/seed0/shard1.h5",
        "models/trades/seed0/model.safetensors",
        "selections/trades/seed0.h5",
        "pools/digits+20/seed0.h5",
        "synthetic/digits+20/seed0.h5",
        "generators/edm/seed0/model.safetensors",
        "datasets/digits/seed0.h5",
    ):
        assert f"{RESULTS / path}" in out
    assert out.startswith("robust accuracy of puma, seed 0 under cw: 0.05 (20 images, study before)")
    assert AGREES in out


@pytest.mark.parametrize("path", KINDS)
def test_every_kind_of_file_leads_back_to_the_dataset(capsys: Capture, path: str) -> None:
    chain = json.loads(told(capsys, "trace", str(RESULTS / path), "--json"))
    assert chain["problems"] == []
    assert str(DATASET) in json.dumps(chain["chain"])


def add_one(name: str) -> Callable[[Path], None]:
    """Return a function that changes every number of a stored array, as if the file had been written so."""

    def change(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            file[name][...] = file[name][...] + 1
        seal(path)

    return change


def train_again(path: Path) -> None:
    """Put other weights in the place of a model, as if another training had written them."""
    trained = load_trained(path, "cpu")
    with torch.no_grad():
        next(trained.model.parameters()).add_(1)
    save_weights(trained.model, path, read_metadata(path))


PLANTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "models/puma/seed0/model.safetensors": (train_again, "expected the model with the recorded fingerprint"),
    "models/trades/seed0/model.safetensors": (train_again, "expected the model with the recorded fingerprint"),
    "selections/puma/seed0.h5": (add_one("epsilons"), "expected finite epsilons around their mean"),
    "scores/margin/seed0.h5": (add_one("score"), "expected the score margin with the recorded fingerprint"),
    "scores/margin/seed0/shard0.h5": (add_one("score"), "other scores there"),
    "synthetic/digits+20/seed0.h5": (add_one("labels"), "it was changed after it was made"),
    "datasets/digits/seed0.h5": (add_one("test/images"), "it was changed after it was made"),
    "attacks/puma/seed0/cw.h5": (
        add_one("adversarial_prediction"),
        "expected labels, predictions, rows and success to agree",
    ),
}


@pytest.mark.parametrize("path", PLANTED)
def test_a_change_behind_a_number_is_found(copied: Path, capsys: Capture, path: str) -> None:
    change, message = PLANTED[path]
    change(copied / path)
    out = told(capsys, "trace", str(copied / "results.csv"), "--run", "puma", "--attack", "cw", status=1)
    problems = " ".join(out.partition(" problem")[2].split())
    assert message in problems
    assert str(copied / path) in problems
    assert AGREES not in out


def test_another_track_behind_a_score_is_found(copied: Path, capsys: Capture) -> None:
    add_one("loss")(copied / "models/trades/seed0/track.h5")
    out = told(capsys, "trace", str(copied / "scores/difficulty/seed0.h5"), status=1)
    assert "expected tracks with the fingerprint" in " ".join(out.split())


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("pools/digits+20/seed0.h5", "expected a pool with fingerprint"),
        ("datasets/digits/seed0.h5", "expected a dataset whose test split has fingerprint"),
    ],
)
def test_a_file_that_is_gone_is_named_with_what_there_is(
    copied: Path, capsys: Capture, path: str, message: str
) -> None:
    (copied / path).unlink()
    out = told(capsys, "trace", str(copied / "results.csv"), "--run", "puma", "--attack", "cw", status=1)
    assert message in " ".join(out.split())


def make_version_3(path: Path) -> None:
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["schema_version"] = 3
        seal(path)
        return
    save_weights(torch.nn.Linear(1, 1), path, {**read_metadata(path), "schema_version": 3})


def _load_generator(path: Path) -> object:
    return load_generator(path, load_study(Path("study.yaml")).settings.generators["edm"], DATASET, "cpu")


READERS: dict[str, Callable[[Path], object]] = {
    "datasets/digits/seed0.h5": lambda path: read_split(path, "train"),
    "synthetic/digits+20/seed0.h5": lambda path: open_pool(POOL),
    "learned/learned/seed0.h5": lambda path: open_pool(RESULTS / "pools/learned/seed0.h5"),
    "pools/digits+20/seed0.h5": open_pool,
    "scores/margin/seed0.h5": read_scores,
    "selections/puma/seed0.h5": read_selection,
    "models/trades/seed0/track.h5": read_track,
    "attacks/puma/seed0/cw.h5": read_attack,
    "models/trades/seed0/model.safetensors": lambda path: load_trained(path, "cpu"),
    "generators/edm/seed0/model.safetensors": _load_generator,
}


@pytest.mark.parametrize("path", READERS)
def test_a_version_to_come_is_refused(copied: Path, capsys: Capture, path: str) -> None:
    make_version_3(copied / path)
    message = rf"expected version 1 or 2 of puma\.{KINDS[path]}, got 3 at {copied / path}".replace("+", r"\+")
    for read in (READERS[path], read_header):
        with pytest.raises(ArtifactError, match=message):
            read(copied / path)
    assert main(["inspect", str(copied / path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1

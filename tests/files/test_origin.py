import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import pytest

from pumalib.files.artifacts import create_artifact, recorded_inputs
from pumalib.files.digests import seal
from pumalib.files.origin import Input, Maker, Origin, fingerprint_in, inputs_from, results_folder_of


def make(results: Path, pool: Path) -> Path:
    """Write a score of a study, made from a pool and from a model that is known by its fingerprint alone."""
    path = results / "scores/margin/seed0.h5"
    inputs = {"pool": Input(pool, "f" * 64, "train"), "model": Input(None, "m" * 64)}
    with create_artifact(path, "scores", Maker({"module": "c"}, results).origin({"batch_size": 4}, inputs)):
        pass
    return path


def header(path: Path, name: str) -> Any:
    with h5py.File(path) as file:
        text = file.attrs[name]
    return text if name == "place" else json.loads(text)


def test_paths_are_recorded_from_the_results_folder(tmp_path: Path) -> None:
    path = make(tmp_path / "results/study", tmp_path / "results/study/pools/all.h5")
    assert header(path, "place") == "scores/margin/seed0.h5"
    assert header(path, "settings") == {"batch_size": 4}
    assert header(path, "code") == {"module": "c"}
    assert header(path, "inputs") == {
        "pool": {"fingerprint": "f" * 64, "path": "pools/all.h5", "part": "train"},
        "model": {"fingerprint": "m" * 64},
    }


def test_study_that_is_moved_as_a_whole_still_names_its_inputs(tmp_path: Path) -> None:
    make(tmp_path / "old", tmp_path / "old/pools/all.h5")
    shutil.move(tmp_path / "old", tmp_path / "elsewhere/new")
    inputs = recorded_inputs(tmp_path / "elsewhere/new/scores/margin/seed0.h5", "scores")
    assert inputs == {
        "pool": Input(tmp_path / "elsewhere/new/pools/all.h5", "f" * 64, "train"),
        "model": Input(None, "m" * 64),
    }


def test_file_that_lies_elsewhere_than_it_was_made_names_fingerprints_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "results", tmp_path / "results/pools/all.h5")
    shutil.copy(path, tmp_path / "copy.h5")
    inputs = recorded_inputs(tmp_path / "copy.h5", "scores")
    assert inputs == {"pool": Input(None, "f" * 64), "model": Input(None, "m" * 64)}


def test_input_beside_a_study_of_a_relative_folder_is_found_from_the_folder_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make(Path("results/study"), Path("data/images.npz"))
    assert header(path, "inputs")["pool"]["path"] == "../../data/images.npz"
    assert recorded_inputs(path, "scores")["pool"].path == Path("data/images.npz")


def test_absolute_path_in_a_study_of_a_relative_folder_stays_as_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make(Path("results/study"), Path("/data/images.npz"))
    assert header(path, "inputs")["pool"]["path"] == "/data/images.npz"
    assert recorded_inputs(path, "scores")["pool"].path == Path("/data/images.npz")


def test_inputs_of_the_first_version_are_fingerprints_alone(tmp_path: Path) -> None:
    path = make(tmp_path, tmp_path / "pools/all.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 1
        file.attrs["inputs"] = json.dumps({"pool": "f" * 64})
        del file.attrs["place"]
    seal(path)
    assert recorded_inputs(path, "scores") == {"pool": Input(None, "f" * 64)}


@pytest.mark.parametrize("recorded", ["abc", {"fingerprint": "abc"}, {"fingerprint": "abc", "path": "a.h5"}])
def test_fingerprint_of_an_input_is_read_from_either_version(recorded: Any) -> None:
    assert fingerprint_in({"pool": recorded}, "pool") == "abc"
    assert fingerprint_in({"pool": recorded}, "model") == ""


def test_inputs_come_back_as_they_were_described(tmp_path: Path) -> None:
    inputs = {
        "pool": Input(tmp_path / "pools/all.h5", "1"),
        "dataset": Input(tmp_path / "data.h5", "2", "validation"),
        "source": Input(None, "3"),
    }
    origin = Origin(inputs=inputs, folder=tmp_path)
    assert origin.fingerprints == {"pool": "1", "dataset": "2", "source": "3"}
    assert inputs_from(origin.described(tmp_path / "a/b.h5")["inputs"], tmp_path) == inputs


@pytest.mark.parametrize(
    ("path", "place", "folder"),
    [
        ("results/s/scores/a.h5", "scores/a.h5", "results/s"),
        ("/r/s/scores/a.h5", "scores/a.h5", "/r/s"),
        ("results/a.h5", "a.h5", "results"),
        ("scores/b.h5", "scores/a.h5", None),
        ("a.h5", "other/folder/of/the/root/a.h5", None),
        ("results/s/scores/a.h5", "", None),
    ],
)
def test_results_folder_is_told_by_the_place_of_a_file(path: str, place: str, folder: str | None) -> None:
    assert results_folder_of(Path(path), place) == (None if folder is None else Path(folder))

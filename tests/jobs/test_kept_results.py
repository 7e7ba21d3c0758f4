import json
import time
from pathlib import Path

import psutil
import pytest

from pumalib.errors import ResourceError
from pumalib.jobs.kept import KeptResult
from pumalib.jobs.kept_record import seconds_of_work
from pumalib.jobs.states import StatePlace


@pytest.fixture
def place(tmp_path: Path) -> StatePlace:
    return StatePlace(tmp_path / "results/s/work/models/run/seed0.state")


def outputs_of(place: StatePlace) -> list[Path]:
    folder = place.path.parents[4] / "s/models"
    return [folder / "model.safetensors", folder / "history.csv"]


def do_the_work(place: StatePlace, key: str = "key") -> KeptResult:
    """Do what a job does: write two outputs, one of them a table with its checksum, and keep them."""
    kept = KeptResult(place, key, outputs_of(place))
    weights, table = outputs_of(place)
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.write_bytes(b"weights")
    table.write_bytes(b"epoch\n1\n")
    table.with_name(".history.csv.sha256").write_bytes(b"sum  history.csv\n")
    kept.keep()
    return kept


def remove_outputs(place: StatePlace) -> None:
    for path in outputs_of(place)[0].parent.iterdir():
        path.unlink()


def test_same_key_gives_every_output_back_with_its_checksum(place: StatePlace) -> None:
    do_the_work(place)
    remove_outputs(place)
    assert KeptResult(place, "key", outputs_of(place)).take_back()
    weights, table = outputs_of(place)
    assert (weights.read_bytes(), table.read_bytes()) == (b"weights", b"epoch\n1\n")
    assert table.with_name(".history.csv.sha256").read_bytes() == b"sum  history.csv\n"


def test_kept_files_need_no_room_of_their_own_while_the_outputs_are_there(place: StatePlace) -> None:
    do_the_work(place)
    kept = place.path.with_suffix(".kept") / "model.safetensors"
    assert kept.stat().st_ino == outputs_of(place)[0].stat().st_ino


def test_another_key_gives_nothing_back_and_frees_the_room(place: StatePlace) -> None:
    do_the_work(place)
    remove_outputs(place)
    assert not KeptResult(place, "other", outputs_of(place)).take_back()
    assert not place.path.with_suffix(".kept").exists()
    assert not outputs_of(place)[0].exists()


@pytest.mark.parametrize("name", ["model.safetensors", "history.csv", ".history.csv.sha256", "record.json"])
def test_damaged_or_missing_file_gives_nothing_back(place: StatePlace, name: str) -> None:
    for damage in ("change", "remove"):
        do_the_work(place)
        remove_outputs(place)
        path = place.path.with_suffix(".kept") / name
        path.write_bytes(b"other bytes") if damage == "change" else path.unlink()
        assert not KeptResult(place, "key", outputs_of(place)).take_back()


def test_job_of_other_outputs_takes_nothing_back(place: StatePlace) -> None:
    do_the_work(place)
    assert not KeptResult(place, "key", outputs_of(place)[:1]).take_back()


def test_without_a_place_nothing_is_kept(tmp_path: Path) -> None:
    kept = KeptResult(None, "key", [tmp_path / "a"])
    kept.keep()
    assert not kept.take_back()
    assert list(tmp_path.iterdir()) == []


def test_disk_without_hard_links_keeps_nothing_and_the_job_goes_on(
    place: StatePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    assert not do_the_work(place).take_back()
    assert not place.path.with_suffix(".kept").exists()
    assert outputs_of(place)[0].read_bytes() == b"weights"


def test_seconds_of_a_result_taken_back_are_those_of_the_work(place: StatePlace) -> None:
    benchmark = place.path.parents[4] / "s/benchmarks/models/run/seed0.tsv"
    do_the_work(place)
    assert seconds_of_work(benchmark) is None
    record = place.path.with_suffix(".kept") / "record.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "seconds": 12.5}))
    assert KeptResult(place, "key", outputs_of(place)).take_back()
    assert seconds_of_work(benchmark) == 12.5
    do_the_work(place)
    assert seconds_of_work(benchmark) is None


@pytest.mark.parametrize("parts", [("models", "benchmarks", "seed0"), ("attacks", "benchmarks", "seed0", "models")])
def test_seconds_of_a_run_called_benchmarks_are_found(tmp_path: Path, parts: tuple[str, ...]) -> None:
    results = tmp_path / "benchmarks/results/benchmarks"
    work = StatePlace(results.joinpath("work", *parts).with_suffix(".state"))
    do_the_work(work)
    assert KeptResult(work, "key", outputs_of(work)).take_back()
    assert seconds_of_work(results.joinpath("benchmarks", *parts).with_suffix(".tsv")) is not None


def test_disk_without_room_for_the_record_keeps_nothing_and_the_job_goes_on(
    place: StatePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise ResourceError("expected room")

    monkeypatch.setattr("pumalib.jobs.kept.write_text", refuse)
    do_the_work(place)
    assert not place.path.with_suffix(".kept").exists()
    assert outputs_of(place)[0].read_bytes() == b"weights"


def test_seconds_count_from_the_start_of_the_process(place: StatePlace) -> None:
    before = time.time()
    do_the_work(place)
    record = json.loads((place.path.with_suffix(".kept") / "record.json").read_text())
    assert record["seconds"] >= before - psutil.Process().create_time()

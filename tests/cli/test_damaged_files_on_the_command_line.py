"""Files of every kind, cut short or with changed bits, before `inspect`, `show`, `compare` and `trace`."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumalib.cli.main import main

FILES = [
    "datasets/digits/seed0.h5", "generators/edm/seed0/model.safetensors", "synthetic/digits+20/seed0.h5",
    "learned/robustified/seed0.h5", "pools/digits+20/seed0.h5", "scores/margin/seed0.h5",
    "scores/margin/seed0/shard0.h5", "selections/puma/seed0.h5", "models/puma/seed0/model.safetensors",
    "models/puma/seed0/history.csv", "models/trades/seed0/track.h5", "attacks/puma/seed0/cw.h5", "results.csv",
]  # fmt: skip
LINE = ["--run", "puma", "--attack", "cw", "--metric", "robust_accuracy"]


def commands(path: Path) -> list[list[str]]:
    """Return the commands that take a file."""
    trace = ["trace", str(path), *(LINE if path.name == "results.csv" else [])]
    return [
        ["inspect", str(path)],
        ["show", str(path), "--count", "2", "--out", "sheet.png"],
        ["compare", str(path), str(path)],
        trace,
    ]


def told(capsys: pytest.CaptureFixture[str], command: list[str]) -> tuple[int, str, str]:
    """Return status, output and errors of a command; a traceback would end the test here."""
    status = main(command)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def harmed(content: bytes, harm: str, places: list[int]) -> bytes:
    changed = bytearray(content)
    if harm == "cut":
        del changed[places[0] % len(changed) :]
    for place in places if harm == "flip" else []:
        changed[place % len(changed)] ^= 1 << place % 8
    return bytes(changed)


def check_harmed(capsys: pytest.CaptureFixture[str], path: Path, harm: str, places: list[int], chosen: int) -> None:
    """Hold a command on a harmed file to the same command before: an error, or the same words."""
    command = commands(path)[chosen]
    before = told(capsys, command)
    whole = path.read_bytes()
    try:
        path.write_bytes(harmed(whole, harm, places))
        status, out, error = told(capsys, command)
    finally:
        path.write_bytes(whole)
    if status == 0:
        assert out == before[1]
    else:
        assert status == 1
        assert error.startswith("Error: expected") or "problem" in out


@pytest.mark.slow
@settings(max_examples=500, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_harmed_file_gives_an_error_or_what_it_gave_before(copied_study: Path, capsys: Any, data: Any) -> None:
    name = data.draw(st.sampled_from(FILES), label="file")
    harm = data.draw(st.sampled_from(["cut", "flip"]), label="harm")
    places = data.draw(st.lists(st.integers(0, 2**31), min_size=1, max_size=3), label="places")
    check_harmed(capsys, copied_study / name, harm, places, data.draw(st.integers(0, 3), label="command"))


@pytest.mark.parametrize("name", FILES)
def test_file_that_lost_its_end_is_told_by_inspect(copied_study: Path, capsys: Any, name: str) -> None:
    path = copied_study / name
    path.write_bytes(path.read_bytes()[:-40])
    status, out, error = told(capsys, ["inspect", str(path)])
    assert (status, out) == (1, "")
    assert error.startswith("Error: expected")


@pytest.mark.parametrize("name", ["generators/edm/seed0/model.safetensors", "models/puma/seed0/model.safetensors"])
def test_weight_of_which_a_bit_changed_is_told_by_inspect(copied_study: Path, capsys: Any, name: str) -> None:
    path = copied_study / name
    path.write_bytes(harmed(path.read_bytes(), "flip", [path.stat().st_size - 3]))
    status, _, error = told(capsys, ["inspect", str(path)])
    assert status == 1
    assert f"expected the weights at {path} as they were written, got a damaged file" in error

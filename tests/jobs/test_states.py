"""States on disk: what comes back, and what is not used."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pumalib.jobs.frame import Frame
from pumalib.jobs.states import StateFile, StatePlace, state_key

VALUES = {"step": 3, "weights": [torch.arange(4.0), torch.arange(3)], "name": "x", "nan": float("nan"), "nothing": None}


def saved(path: Path, key: str = "key", values: Any = VALUES) -> StateFile:
    state = StateFile(StatePlace(path, 0), key)
    state.offer(lambda: values)
    return state


def test_state_comes_back_with_torch_s_random_numbers(tmp_path: Path) -> None:
    torch.manual_seed(1)
    saved(tmp_path / "state")
    drawn = torch.rand(3)
    torch.manual_seed(2)
    found = saved_state(tmp_path / "state")
    assert torch.equal(torch.rand(3), drawn)
    assert (found["step"], found["name"], found["nothing"]) == (3, "x", None)
    assert [weight.dtype for weight in found["weights"]] == [torch.float32, torch.int64]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def saved_state(path: Path) -> dict[str, Any]:
    found = StateFile(StatePlace(path), "key").load()
    assert found is not None
    return found


def test_nothing_is_saved_before_it_is_time(tmp_path: Path) -> None:
    state = StateFile(StatePlace(tmp_path / "state", 1000), "key")
    state.offer(lambda: pytest.fail("values were asked for"))
    assert state.load() is None
    assert list(tmp_path.iterdir()) == []


def test_state_is_removed_once_it_is_needed_no_longer(tmp_path: Path) -> None:
    state = saved(tmp_path / "state")
    state.remove()
    state.remove()
    assert list(tmp_path.iterdir()) == []


def test_work_that_keeps_no_state_has_none() -> None:
    state = StateFile(None, "key")
    state.offer(lambda: pytest.fail("values were asked for"))
    state.remove()
    assert state.load() is None


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    place = len(content) * 3 // 4
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def of_another_schema(content: bytes) -> bytes:
    return content.replace(b"puma.state.1", b"puma.state.9")


def of_another_key(content: bytes) -> bytes:
    return content.replace(b'"key": "key"', b'"key": "other"')


def of_another_form(content: bytes) -> bytes:
    return b"[1]\n" + content


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (truncated, "got a damaged one"),
        (flipped, "got a damaged one"),
        (of_another_schema, "expected a state with schema puma.state.1, got puma.state.9"),
        (of_another_key, "is of other settings, other inputs, other code"),
        (of_another_form, "got another file or a damaged one"),
    ],
)
def test_state_that_does_not_fit_is_not_used_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: Any, message: str
) -> None:
    saved(tmp_path / "state")
    content = (tmp_path / "state").read_bytes()
    assert harm(content) != content
    (tmp_path / "state").write_bytes(harm(content))
    assert StateFile(StatePlace(tmp_path / "state"), "key").load() is None
    assert "start anew: " in caplog.text
    assert message in caplog.text


class Touching:
    """Pickles into a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_reading_a_state_runs_no_code_in_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved(tmp_path / "state", values={"harm": Touching(tmp_path / "touched")})
    buffer = io.BytesIO((tmp_path / "state").read_bytes().partition(b"\n")[2])
    assert torch.load(buffer, weights_only=False)
    assert (tmp_path / "touched").exists()
    (tmp_path / "touched").unlink()
    assert StateFile(StatePlace(tmp_path / "state"), "key").load() is None
    assert "cannot be read" in caplog.text
    assert not (tmp_path / "touched").exists()


def test_key_follows_facts_versions_and_threads() -> None:
    facts = {"settings": {"a": 1}, "code": {"m": "1"}}
    keys = {state_key(**facts), state_key(**facts, seed=1), state_key(**{**facts, "code": {"m": "2"}})}
    assert len(keys) == 3
    assert state_key(**facts) in keys
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert state_key(**facts) not in keys
    finally:
        torch.set_num_threads(threads)


def test_place_of_a_job_follows_its_log() -> None:
    frame = Frame("results/a/logs/scores/b.c/seed0/shard1.log", "results/a/logs/errors.txt", {})
    assert StatePlace.of_job(frame) == StatePlace(Path("results/a/work/scores/b.c/seed0/shard1.state"), 300)
    assert StatePlace.of_job(replace(frame, save_every_seconds=5)).every_seconds == 5


def test_head_of_a_state_is_a_line_that_people_can_read(tmp_path: Path) -> None:
    saved(tmp_path / "state")
    head = json.loads((tmp_path / "state").read_bytes().partition(b"\n")[0])
    assert (head["schema"], head["key"], len(head["digest"])) == ("puma.state.1", "key", 64)

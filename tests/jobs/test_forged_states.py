"""States that somebody forged, key and digest and all: work goes on, starts anew, or ends with one sentence."""

import copy
import hashlib
import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from test_stopped_jobs import die, ending, files, score_in, train_in

from pumalib.errors import PumaError
from pumalib.jobs.states import StatePlace

__all__ = ["ending", "files"]  # fixtures

FORGERIES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda value: None,
    "a word": lambda value: "word",
    "an empty list": lambda value: [],
    "a mapping": lambda value: {"a": 1},
    "a shorter tensor": lambda value: value[:-1] if isinstance(value, torch.Tensor) and value.ndim else torch.ones(2),
    "a huge tensor": lambda value: torch.zeros(1).expand(10**12),
    "a negative number": lambda value: -7,
}


OF_TORCH = {"optimizer", "schedule"}
"""What torch puts back without a look at it; the frame of a job tells what comes of it in one line."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return where the parts of a state stand; of lists the first and the last."""
    yield path
    if path and path[-1] in OF_TORCH:
        return
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list | tuple) and value:
        for index in sorted({0, len(value) - 1}):
            yield from places(value[index], (*path, index))


def read(path: Path) -> tuple[dict[str, Any], Any]:
    head, _, payload = path.read_bytes().partition(b"\n")
    return json.loads(head), torch.load(io.BytesIO(payload), weights_only=True)


def put(values: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(values)
    inner = values
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = change(inner[path[-1]])
    return values


def forge(path: Path, place: tuple[Any, ...], how: str) -> None:
    head, values = read(path)
    buffer = io.BytesIO()
    torch.save(put(copy.deepcopy(values), place, FORGERIES[how]), buffer)
    head["digest"] = hashlib.sha256(buffer.getvalue()).hexdigest()
    path.write_bytes(json.dumps(head).encode() + b"\n" + buffer.getvalue())


def check(path: Path, place: tuple[Any, ...], how: str, work: Callable[[], Any]) -> None:
    whole = path.read_bytes()
    try:
        forge(path, place, how)
        work()
    except PumaError as error:
        sentence = str(error)
        if "\n" in sentence or "expected" not in sentence:
            raise AssertionError(sentence) from error
    finally:
        shutil.rmtree(path.with_suffix(".kept"), ignore_errors=True)
        path.write_bytes(whole)


def all_forgeries(path: Path) -> list[tuple[tuple[Any, ...], str]]:
    return [(place, how) for place in places(read(path)[1]) for how in FORGERIES]


def state_of_a_training(files: Path, ending: ModuleType) -> tuple[Path, Callable[[], Any]]:
    place = StatePlace(files / "work/run.state", 0)
    die(ending, 30, lambda: train_in(files, "resumed", place))
    return place.path, lambda: train_in(files, "resumed", place)


def state_of_margins(files: Path, ending: ModuleType) -> tuple[Path, Callable[[], Any]]:
    model = train_in(files, "model") / "model.safetensors"
    place = StatePlace(files / "work/score.state", 0)
    ending.passes = 0
    score_in(files, "counted", model, "deepfool", StatePlace(files / "work/counted.state", 0))
    at = ending.passes * 2 // 3 + 1  # before it, `folding` traces the network, and takes no error for its own
    die(ending, at, lambda: score_in(files, "resumed", model, "deepfool", place))
    return place.path, lambda: score_in(files, "resumed", model, "deepfool", place)


STATES = {"a training": state_of_a_training, "margins": state_of_margins}


@pytest.mark.parametrize("of", STATES)
def test_some_forged_states_end_in_one_sentence_or_none(files: Path, ending: ModuleType, of: str) -> None:
    path, work = STATES[of](files, ending)
    for place, how in random.Random(of).sample(all_forgeries(path), 4):
        check(path, place, how, work)


@pytest.mark.slow
@pytest.mark.parametrize("of", STATES)
def test_every_forged_state_ends_in_one_sentence_or_none(files: Path, ending: ModuleType, of: str) -> None:
    path, work = STATES[of](files, ending)
    wrong = []
    for place, how in all_forgeries(path):
        try:
            check(path, place, how, work)
        except Exception as error:
            wrong.append(f"{place} {how}: {type(error).__name__} {str(error)[:200]}")
    assert wrong == [], "\n".join(wrong)

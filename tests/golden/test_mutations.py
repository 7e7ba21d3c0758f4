"""Whether the golden studies notice what they are there for: one line changed, in each room of the library.

On the processor here, against numbers that are recorded first; and on another one, against those of the repository. The
other one is this one, told to do without most of its instructions, so that it sums in another order.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
OTHER_PROCESSOR = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MKL_CBWR": "COMPATIBLE",
}


class Mutation(NamedTuple):
    """One line of a module of the library changed, and the files of the golden studies to make and compare.

    The steady studies have files of the same names.
    """

    module: str
    old: str
    new: str
    files: str


MUTATIONS = {
    "beta of TRADES": Mutation(
        "training/settings.py",
        "beta: float = Field(default=5.0,",
        "beta: float = Field(default=5.1,",
        "golden/model/trades",
    ),
    "label smoothing": Mutation(
        "training/settings.py",
        "label_smoothing: float = Field(default=0.1,",
        "label_smoothing: float = Field(default=0.11,",
        "golden/model/small",
    ),
    "step of the inner attack": Mutation(
        "training/inner_attack.py", "_STEP_SHARE = 2 / 8", "_STEP_SHARE = 2.1 / 8", "golden/model/trades"
    ),
    "sign of the loss for negative epsilons": Mutation(
        "training/inner_attack.py",
        "-cross_entropy(logits, labels)",
        "cross_entropy(logits, labels)",
        "golden/history/margin",
    ),
    "decay of the weight average": Mutation(
        "training/averaging.py",
        "min(self._tau, (1 + since) / (10 + since))",
        "min(self._tau, (1 + since) / (11 + since))",
        "golden/model/trades",
    ),
    "smoothing of IAAT": Mutation(
        "training/online/settings.py",
        "smoothing: float = Field(default=0.1,",
        "smoothing: float = Field(default=0.11,",
        "golden/history/iaat",
    ),
    "bisection of online margins": Mutation(
        "training/online/online_margin.py",
        "middle = (low + high) / 2",
        "middle = (low + high) / 2.1",
        "golden/history/online",
    ),
    "norm of AIGN": Mutation("training/quantities/aign.py", '"l2": 2', '"l2": 3', "golden/track/trades"),
    "overshoot of DeepFool": Mutation(
        "attacks/settings.py",
        "overshoot: float = Field(default=0.02,",
        "overshoot: float = Field(default=0.03,",
        "golden/score/deepfool",
    ),
    "bisection of margins": Mutation(
        "attacks/bracket.py",
        "half_width = 2.0 ** -(halvings + 1)",
        "half_width = 2.0 ** -halvings",
        "golden/score/fast",
    ),
    "last step of refined margins": Mutation(
        "attacks/along_boundary.py",
        "_FIRST_SHARE, _LAST_SHARE = 1.0, 0.1",
        "_FIRST_SHARE, _LAST_SHARE = 1.0, 0.2",
        "golden-l2/score/refined",
    ),
    "step of C&W": Mutation("attacks/search.py", "ball.epsilon / 4", "ball.epsilon / 5", "golden*/attack/trades/cw"),
    "first squares": Mutation(
        "attacks/settings.py",
        "initial_share: float = Field(default=0.8,",
        "initial_share: float = Field(default=0.7,",
        "golden/attack/natural/square",
    ),
    "sign of the gap": Mutation(
        "selection/epsilons.py", "np.clip(margins - gap", "np.clip(margins + gap", "golden/selection/margin-gap"
    ),
    "rounding of a fraction": Mutation(
        "selection/cuts.py", "round(cut.fraction * size)", "int(cut.fraction * size)", "golden/selection/both"
    ),
    "ties of a cut": Mutation(
        "selection/cuts.py",
        "np.argpartition(draw()[rows]",
        "np.argpartition(-draw()[rows]",
        "golden/selection/ties",
    ),
    "seed of shuffled epsilons": Mutation(
        "selection/epsilons.py", '"shuffled epsilons"', '"shuffled epsilon"', "golden/selection/shuffled"
    ),
    "noise of the generator": Mutation(
        "synthesis/edm.py", "sigma.log() / 4", "sigma.log() / 5", "golden/generator/edm"
    ),
    "Heun's second step": Mutation(
        "synthesis/sampling.py", "(slope + next_slope) / 2", "(slope + next_slope) / 2.1", "golden/synthetic/generated"
    ),
    "label noise": Mutation(
        "synthesis/label_noise.py",
        "generator.integers(1, num_classes",
        "generator.integers(2, num_classes",
        "golden/synthetic/held-out",
    ),
    "step of robust features": Mutation(
        "learning/settings.py",
        "step_size: PositiveAmount = 0.1\n",
        "step_size: PositiveAmount = 0.11\n",
        "golden/learned/robust-features",
    ),
    "attack of tri-level learning": Mutation(
        "learning/methods/tri_level.py", "_STEP_SHARE = 1 / 4", "_STEP_SHARE = 1 / 5", "golden/learned/tri-level"
    ),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the library and of the golden studies."""
    folder = tmp_path_factory.mktemp("library")
    for part in ("pumalib", "tests/golden"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def numbers_here(library: Path) -> Path:
    """The numbers of the library as it is, on this processor."""
    path = library / "here.json"
    _record(library, "--numbers", str(path))
    return path


def _record(folder: Path, *arguments: str, **environment: str) -> str:
    """Return how many numbers moved."""
    command = [sys.executable, "-W", "error", "-m", "tests.golden.record", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    told = re.search(r"^(\d+) numbers moved$", result.stdout, re.MULTILINE)
    assert told, result.stderr
    return told[1]


@contextmanager
def _mutated(library: Path, mutation: Mutation) -> Iterator[None]:
    path = library / "pumalib" / mutation.module
    text = path.read_text()
    path.write_text(text.replace(mutation.old, mutation.new))
    try:
        yield
    finally:
        path.write_text(text)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_line_to_change_stands_once_in_its_module(name: str) -> None:
    assert (ROOT / "pumalib" / MUTATIONS[name].module).read_text().count(MUTATIONS[name].old) == 1


@pytest.mark.slow
def test_the_library_as_it_is_moves_no_number(library: Path, numbers_here: Path) -> None:
    files = ("golden/model/trades", "golden/selection/both")
    assert _record(library, "--numbers", str(numbers_here), "--check", *files) == "0"


@pytest.mark.slow
def test_the_library_as_it_is_moves_no_number_on_another_processor(library: Path) -> None:
    assert _record(library, "--check", **OTHER_PROCESSOR) == "0"


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_changed_line_moves_numbers(library: Path, numbers_here: Path, name: str) -> None:
    with _mutated(library, MUTATIONS[name]):
        assert _record(library, "--numbers", str(numbers_here), "--check", MUTATIONS[name].files) != "0"


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_is_found_on_another_processor(library: Path, name: str) -> None:
    files = MUTATIONS[name].files.replace("golden", "golden-steps", 1)
    with _mutated(library, MUTATIONS[name]):
        assert _record(library, "--check", files, **OTHER_PROCESSOR) != "0"

"""The benchmarks run to their end in small and print their tables; nothing is timed here."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SMALL = ["--nets", "convnet", "--count", "8", "--rounds", "1"]
COMMANDS = {
    "margins": [*SMALL, "--figure", "figure.png"],
    "evaluation": SMALL,
    "screening": SMALL,
    "exact": ["--out", ".", "--rows", "6", "--nets", "natural"],
    "front": ["--out", ".", "--tasks", "digits-convnet-natural", "--methods", "DeepFool", "refined"],
    "trades_step": ["--nets", "convnet", "--count", "1", "--rounds", "1", "--batch", "16", "--peak", "1"],
    "faster_options": ["--nets", "small-cnn", "--count", "50", "--epochs", "1", "--seeds", "1"],
    "misclassified_margins": [],
    "measured_times": ["--device", "cpu", "--nets", "small-cnn", "--rows", "8", "--steps", "1", "--rounds", "1"],
    "freed_memory": ["--processes", "1"],
    "coverage": ["--trials", "5"],
    "perceptron": ["--rows", "60"],
    "up_to": ["--nets", "mlp", "--seeds", "0", "--up-to", "0.1"],
    "extrapolated": ["--nets", "mlp", "--seeds", "0", "--count", "400", "--steps", "300"],
    "scale": ["select", "join", "pool", "--rows", "300000", "--folder", "."],
    "large_images": ["make", "grow", "--rows", "1250", "--folder", ".", "--figure", "growth.png"],
    "many_classes": ["--classes", "10", "--count", "8", "--rounds", "1"],
    "watched": ["--files", "200", "--folders", "4", "--cold"],
}
NEEDS = {"margins": "foolbox", "evaluation": "torchattacks"}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_benchmark_runs_in_small(name, tmp_path):
    if name in NEEDS and not importlib.util.find_spec(NEEDS[name]):
        pytest.skip(f"{NEEDS[name]} is not installed; `make bench` installs it")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / f"benchmarks/{name}.py"), *COMMANDS[name]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--:" in done.stdout or " rows " in done.stdout

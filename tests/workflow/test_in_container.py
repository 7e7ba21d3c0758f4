"""A study in the container of `containers/`, built here by podman from Debian's packages and the package index."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.container
ROOT = Path(__file__).parents[2]
COMPILED = """
import torch
compiled = torch.compile(lambda x: (torch.sin(x) ** 2 + torch.cos(x) ** 2).sum())
print(round(compiled(torch.linspace(0, 1, 1000)).item(), 2))
"""


@pytest.fixture(scope="module")
def image() -> str:
    if shutil.which("podman") is None:
        pytest.skip("no podman: apt-get install podman mmdebstrap")
    subprocess.run([ROOT / "containers/build.sh"], check=True)
    return "puma"


def run_inside(image: str, folder: Path, *command: str) -> str:
    """Run a command in the container, in a folder of this machine; return what it prints."""
    place = ["--volume", f"{folder}:/puma", "--workdir", "/puma"]
    podman = ["podman", "run", "--rm", "--network", "none", *place, image, *command]
    finished = subprocess.run(podman, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_torch_compiles_inside(image: str, tmp_path: Path) -> None:
    assert run_inside(image, tmp_path, "python", "-c", COMPILED) == "1000.0\n"  # sin^2 + cos^2 is 1


def test_a_study_gives_the_same_results_inside(image: str, make_checkout: Callable) -> None:
    inside, here = make_checkout(), make_checkout()
    run_inside(image, inside.folder, "snakemake", "--cores", "2", "--configfile", "tiny.yaml")
    assert here.run().returncode == 0
    results = [checkout.folder / "results/tiny/results.csv" for checkout in (inside, here)]
    assert results[0].read_bytes() == results[1].read_bytes()


def test_a_compiled_training_ends_inside(image: str, make_checkout: Callable) -> None:
    checkout = make_checkout()
    study = checkout.study("compiled.yaml", lambda raw: raw["defaults"]["training"].update(compile=True))
    target = "results/tiny/models/trades/seed0/model.safetensors"
    run_inside(image, checkout.folder, "snakemake", "--cores", "2", target, "--configfile", study)
    assert (checkout.folder / target).is_file()

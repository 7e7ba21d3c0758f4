"""Commands and examples that look into files, of the pages and of `--help`, each on a small study in their place."""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from document_blocks import PAGES, ROOT, blocks_of, commands_of

from pumalib.cli.main import main
from pumalib.study.study import parse_study

LOOKING = ("inspect", "show", "browse", "compare", "trace", "recheck")
STUDIES = {
    "digits": "config.yaml",
    "tiny": "tests/workflow/tiny.yaml",
    "easycore-digits": "studies/easycore-digits.yaml",
    "cifar10": "studies/cifar10.yaml",
}
WRITTEN_BY_THE_READER = "results/photographs/"
"""Of docs/large-images.md, which tests/test_documents.py runs whole."""
STAND_INS = {
    **{f"results/{name}/": "results/small/" for name in STUDIES},
    **{
        "digits+10k": "digits+20",
        "margin-natural": "margin",
        "puma-20": "puma",
        "random-20": "hard",
        "pruned-20": "trades",
    },
}
EXAMPLES = [
    shlex.split(example) for name in LOOKING for example in importlib.import_module(f"pumalib.cli.{name}").EXAMPLES
]


def told_on_pages() -> list[list[str]]:
    calls = [command for page in PAGES for command in commands_of(page)]
    ours = [words[1 if words[0] == "puma" else 3 :] for words in calls if {"puma", "pumalib"} & set(words)]
    looking = [words for words in ours if words[0] in LOOKING and len(words) > 1 and "FILE" not in words]
    return [words for words in looking if WRITTEN_BY_THE_READER not in " ".join(words) and is_of_files(words)]


def is_of_files(words: list[str]) -> bool:
    """Say whether a command looks into files; tests/cli/test_compare_studies.py has those that compare studies."""
    return words[0] != "compare" or words[1].endswith(".h5")


def on_small_study(text: str) -> str:
    for name, stand_in in STAND_INS.items():
        text = text.replace(name, stand_in)
    return text


COMMANDS = [pytest.param(words, id=" ".join(words)) for words in [*told_on_pages(), *filter(is_of_files, EXAMPLES)]]


@pytest.mark.parametrize("words", COMMANDS)
def test_command_works_and_its_names_are_of_the_study_it_tells_of(
    copied_study: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    for name, group, member in re.findall(r"results/([\w-]+)/(\w+)/([^/ ]+)/", " ".join(words)):
        study = parse_study(
            yaml.safe_load((ROOT / STUDIES[name]).read_text(encoding="utf-8"))
        )  # its images may be missing
        known = {"scores": study.settings.scores, "pools": study.settings.pools}
        assert member in known.get(group, study.runs)
    given = [on_small_study(word) for word in words]
    assert main(given) == 0
    captured = capsys.readouterr()
    assert captured.out
    assert captured.err == ""
    if "--out" in given:
        written = Path(given[given.index("--out") + 1])
        assert written.read_bytes().startswith(b"<!doctype html>" if words[0] == "browse" else b"\x89PNG")


def run_without_the_library(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script for which `import pumalib` fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = f"import sys\nsys.modules['pumalib'] = None\n{code}"
    command = [sys.executable, "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


WITHOUT = [
    ("README.md", "h5py, pandas", "assert len(kept) > 50 and kept.margin.notna().all() and kept.epsilon.max() <= 0.2"),
    (
        "docs/artifacts.md",
        "safetensors",
        "import torch\nassert net.eval()(torch.rand(3, 1, 8, 8)).shape == (3, 10)",
    ),
    (
        "docs/artifacts.md",
        "Subset",
        "loader = torch.utils.data.DataLoader(kept, batch_size=32)\n"
        "images, labels = next(iter(loader))\n"
        "assert images.shape == (32, 8, 8, 1) and images.dtype == torch.uint8 and labels.max() < 10\n"
        "assert 0 < len(kept) == len(epsilons) < len(candidates)",
    ),
]


@pytest.mark.parametrize(("page", "word", "check"), WITHOUT, ids=[f"{page}, {word}" for page, word, _ in WITHOUT])
def test_example_of_a_page_reads_files_without_this_library(
    small_study: Path, page: str, word: str, check: str
) -> None:
    (code,) = [block.text for block in blocks_of(ROOT / page) if block.language == "python" and word in block.text]
    code = on_small_study(code).replace("128", "16")  # the width of the small study's network
    finished = run_without_the_library(f"{code}\n{check}\n", small_study)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_tables_of_every_kind_open_with_pandas_and_h5py_alone(small_study: Path) -> None:
    code = """
from pathlib import Path

import h5py
import pandas as pd

tables = sorted(Path("results").rglob("*.csv"))
assert len(tables) > 2 and all(len(pd.read_csv(path)) for path in tables)
files = sorted(Path("results").rglob("*.h5"))
assert {path.parts[2] for path in files} >= {"attacks", "datasets", "pools", "scores", "selections", "models"}
for path in files:
    with h5py.File(path) as file:
        assert file.attrs["schema"].startswith("puma.")
        columns = [file[name][:] for name in file if isinstance(file[name], h5py.Dataset) and file[name].ndim == 1]
        for length in set(map(len, columns)):
            assert len(pd.DataFrame(dict(enumerate(each for each in columns if len(each) == length)))) == length > 0
"""
    finished = run_without_the_library(code, small_study)
    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize("words", [["inspect", "scores/margin/seed0.h5"], ["trace", "selections/puma/seed0.h5"]])
def test_a_pipe_that_closes_early_ends_the_command_quietly(small_study: Path, words: list[str]) -> None:
    command, path = words
    line = f"'{sys.executable}' -m pumalib {command} results/small/{path} | head -n 1; exit ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    bash = shutil.which("bash") or "bash"
    finished = subprocess.run(
        [bash, "-c", line], cwd=small_study, env=environment, capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.count("\n") == 1

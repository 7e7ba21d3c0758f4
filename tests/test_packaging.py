"""The package as others get it: a wheel that installs and runs on its own, and how to cite it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from pumalib.browsing.assets import NAMES

ROOT = Path(__file__).parents[1]


def call(*command: str, cwd: Path, **environment: str) -> str:
    variables = {**os.environ, **environment}
    finished = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
WORKFLOW = ("Snakefile", "config.yaml", "rules", "workflow_scripts", "profiles", "studies/templates")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from a copy of what it is made of."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "pumalib", *WORKFLOW):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy(ROOT / name, source / name)
        else:
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    call(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source), cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


def installed(wheel: Path, folder: Path) -> Path:
    """Install the wheel into a new environment, which takes what it needs from the one that runs the tests."""
    call(sys.executable, "-m", "venv", "--without-pip", str(folder), cwd=folder.parent)
    python = folder / "bin/python"
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_paths()["purelib"])
    call(*PIP, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel), cwd=folder.parent)
    where = call(str(python), "-c", "import pumalib; print(pumalib.__file__)", cwd=folder.parent, PYTHONPATH="")
    assert Path(where.strip()).is_relative_to(packages)
    return folder / "bin/puma"


@pytest.mark.slow
def test_wheel_holds_every_module_and_every_file_of_the_workflow(wheel: Path) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pumalib").rglob("*.py")}
    page = {f"pumalib/browsing/{name}" for name in NAMES}
    others = {"pumalib/py.typed", "pumalib/__init__.pyi", *page}
    listed = call("git", "ls-files", *WORKFLOW, cwd=ROOT).split()
    workflow = {f"pumalib/_workflow/{name}" for name in listed}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert modules | others | workflow == {name for name in names if name.startswith("pumalib/")}


@pytest.mark.slow
def test_study_runs_from_the_wheel_as_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """The same bytes; and neither the wheel nor the checkout finds anything to do in what the other made."""
    puma = installed(wheel, tmp_path / "venv")
    study = (ROOT / "tests/workflow/tiny.yaml").read_text()
    tables = []
    for name, command in {
        "wheel": (str(puma),),
        "checkout": (sys.executable, "-m", "pumalib"),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "study.yaml").write_text(study)
        path = {"PYTHONPATH": "" if name == "wheel" else str(ROOT)}
        assert "== table ==" in call(*command, "run", "study.yaml", "--cores", "2", cwd=folder, **path)
        tables.append((folder / "results/tiny/results.csv").read_bytes())
    assert tables[0] == tables[1]
    for folder in (tmp_path / "wheel", tmp_path / "checkout"):
        again = call(str(puma), "run", "study.yaml", "--dry-run", cwd=folder, PYTHONPATH="")
        assert "nothing to do: every file is there and up to date" in again
    by_snakemake = (
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(ROOT / "Snakefile"),
        "--configfile",
        "study.yaml",
        "-n",
    )
    assert "Nothing to be done" in call(*by_snakemake, cwd=tmp_path / "wheel", PYTHONPATH=str(ROOT))
    number = ("results/tiny/results.csv", "--run", "puma", "--attack", "cw")
    traced = call(str(puma), "trace", *number, cwd=tmp_path / "wheel", PYTHONPATH="")
    assert "The code that made the 12 files is today's." in traced


def test_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what CFF 1.2.0 asks for
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["references"][0]["title"] in " ".join((ROOT / "README.md").read_text().split())


def test_changelog_begins_with_this_version_and_its_date() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    released = yaml.safe_load((ROOT / "CITATION.cff").read_text())["date-released"]
    first = next(line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## "))
    assert first == f"## {version} ({released})"


def test_repository_is_what_the_catalog_of_snakemake_workflows_lists() -> None:
    """Its README's criteria (snakemake/snakemake-workflow-catalog), and the keys that it reads of the settings."""
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme
    assert "workflow" in readme
    assert (ROOT / "Snakefile").is_file()
    assert list((ROOT / "rules").glob("*.smk"))
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) <= {"mandatory-flags", "software-stack-deployment", "report"}
    option, study = usage["mandatory-flags"]["flags"].split()
    assert option == "--configfile"
    assert (ROOT / study).is_file()
    assert not any(usage["software-stack-deployment"].values())  # no rule names an environment

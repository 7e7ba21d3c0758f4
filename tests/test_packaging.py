"""The package as others get it: a wheel that installs and runs on its own, and how to cite it."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def call(*command: str, cwd: Path, **environment: str) -> str:
    variables = {**os.environ, **environment}
    finished = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.mark.slow
def test_wheel_holds_every_module_and_runs_where_it_is_installed(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "pumalib", source / "pumalib", ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    call(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source), cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "pumalib").rglob("*.py")}
    names = set(zipfile.ZipFile(wheel).namelist())
    page = {f"pumalib/browsing/browse.{form}" for form in ("html", "css", "js")}
    others = {"pumalib/py.typed", "pumalib/__init__.pyi", *page}
    assert modules | others == {name for name in names if name.startswith("pumalib/")}
    call(*pip, "install", "--no-deps", "--no-index", "--target", str(installed), str(wheel), cwd=tmp_path)
    path = {"PYTHONPATH": str(installed)}
    where = call(sys.executable, "-c", "import pumalib; print(pumalib.__file__)", cwd=tmp_path, **path)
    assert Path(where.strip()).is_relative_to(installed)
    (tmp_path / "study.yaml").write_text((ROOT / "config.yaml").read_text())
    assert "no problem found" in call(sys.executable, "-m", "pumalib", "check", "study.yaml", cwd=tmp_path, **path)
    assert "usage: puma" in call(str(installed / "bin/puma"), "--help", cwd=tmp_path, **path)


def test_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what CFF 1.2.0 asks for
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert citation["references"][0]["title"] in " ".join((ROOT / "README.md").read_text().split())

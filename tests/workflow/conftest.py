import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILES = ("Snakefile", "Makefile", "pyproject.toml", "constraints.txt", "config.yaml")
FOLDERS = ("rules", "workflow_scripts", "pumalib", "profiles")


@dataclass(frozen=True)
class Checkout:
    """A copy of the workflow in a folder of its own, run through the real command line."""

    folder: Path

    def run(self, *arguments: str, study: str = "tiny.yaml") -> subprocess.CompletedProcess[str]:
        return self.call(self.command(*arguments, study=study))

    def command(self, *arguments: str, study: str) -> list[str]:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        return [*command, "--configfile", study] if study else command

    def call(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        with self.start(command) as process:
            output, errors = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    @property
    def environment(self) -> dict[str, str]:
        return {
            # Without the variables of `make test ARGS=...`, which would reach the makes that tests call.
            **{name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
            "PYTHONPATH": str(self.folder),
            "PUMA_CHECK_CLOSURE": "1",
            "XDG_CACHE_HOME": str(self.folder / ".cache"),
        }

    def planned(self, study: str = "tiny.yaml") -> set[str]:
        """Return what a run would do: rule names, with the run where there is one, e.g. `model puma`."""
        result = self.run("--dry-run", study=study)
        assert result.returncode == 0, result.stdout + result.stderr
        text = result.stdout + result.stderr
        return {_job_name(match[1]) for match in re.finditer(r"^Job \d+: (.*)$", text, re.MULTILINE)}

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new))

    def study(self, name: str, change: Callable[[dict], None]) -> str:
        """Write a changed copy of the tiny study, under the same study name."""
        raw = yaml.safe_load((self.folder / "tiny.yaml").read_text())
        change(raw)
        (self.folder / name).write_text(yaml.safe_dump(raw, sort_keys=False))
        return name

    def pretend_installed(self) -> None:
        """Give make the environment that runs the tests, so that it does not install one."""
        (self.folder / ".venv").mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (self.folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
        (self.folder / ".venv/.installed").touch()


def _job_name(message: str) -> str:
    """Shorten `train puma, seed 0` to `train puma`."""
    return message.split(", seed")[0].removesuffix("/seed0")


@pytest.fixture(scope="session")
def make_checkout(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Checkout]:
    def make() -> Checkout:
        folder = tmp_path_factory.mktemp("checkout")
        for name in FILES:
            shutil.copy2(ROOT / name, folder)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(Path(__file__).parent / "tiny.yaml", folder)
        return Checkout(folder)

    return make


@pytest.fixture(scope="session")
def finished(make_checkout: Callable[[], Checkout], tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose tiny study has run to its end; tests leave it as they found it.

    Processes of pytest-xdist run it once together: the first to come runs it, the others copy what it left.
    """
    checkout = make_checkout()
    base = tmp_path_factory.getbasetemp()
    whole = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    with whole.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            result = checkout.run()
            assert result.returncode == 0, result.stdout + result.stderr
            _copy_run(checkout.folder, whole)
            return checkout
    _copy_run(whole, checkout.folder)
    return checkout


def _copy_run(source: Path, target: Path) -> None:
    """Copy results, what Snakemake remembers, and the files of the workflow: all their times of change stay."""
    # As in `cp --archive`: links stay links, of whatever kind.
    subprocess.run(["cp", "--archive", f"{source}/.", target], check=True)

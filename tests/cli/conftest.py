"""A small study, of which every kind of file stands where the workflow puts it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_study import SmallStudy


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `results/small`; tests leave it as it is."""
    root = tmp_path_factory.mktemp("small")
    SmallStudy(root / "results/small").make()
    return root


@pytest.fixture
def in_study(small_study: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in the folder of the small study; return its results, relative."""
    monkeypatch.chdir(small_study)
    return Path("results/small")


@pytest.fixture
def copied_study(small_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a copy of the small study that a test may spoil; return its results, relative."""
    shutil.copytree(small_study, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return Path("results/small")


@pytest.fixture
def hide() -> Iterator[Callable[[Path], None]]:
    """Return a function that takes a file away until the test ends."""
    hidden: list[tuple[Path, Path]] = []

    def take(path: Path) -> None:
        hidden.append((path, path.with_name(f"{path.name}.hidden")))
        os.rename(*hidden[-1])

    yield take
    for path, aside in hidden:
        os.rename(aside, path)

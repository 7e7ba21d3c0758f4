"""Files on a disk that has no file locks, as network disks may not: flock answers ENOLCK for the whole process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pumalib.scores.table import ScoreTable, write_scores

ROOT = Path(__file__).parents[2]
NO_LOCKS = "#include <errno.h>\nint flock(int fd, int operation) { errno = ENOLCK; return -1; }\n"


@pytest.fixture(scope="module")
def no_locks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a library that takes flock away."""
    folder = tmp_path_factory.mktemp("nolock")
    (folder / "nolock.c").write_text(NO_LOCKS)
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", "nolock.so", "nolock.c"], cwd=folder, check=True)
    except OSError:
        pytest.skip("no C compiler here")
    return folder / "nolock.so"


def test_a_whole_file_is_read_and_is_not_called_damaged(tmp_path: Path, no_locks: Path) -> None:
    table = ScoreTable(np.arange(5, dtype=np.float32), np.ones(5, bool), "easier", "pixels", "deepfool", "pool")
    write_scores(table, tmp_path / "scores.h5")
    environment = {**os.environ, "LD_PRELOAD": str(no_locks), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pumalib", "inspect", str(tmp_path / "scores.h5")]
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "damaged" not in result.stdout + result.stderr


def test_a_file_is_written_too(tmp_path: Path, no_locks: Path) -> None:
    code = (
        "import numpy as np; from pathlib import Path; from pumalib.scores.table import *;"
        "write_scores(ScoreTable(np.ones(3, np.float32), np.ones(3, bool), 'easier', 'u', 'm', 'p'), Path('s.h5'));"
        "print(read_scores('s.h5').score.tolist())"
    )
    environment = {**os.environ, "LD_PRELOAD": str(no_locks), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[1.0, 1.0, 1.0]", result.stderr

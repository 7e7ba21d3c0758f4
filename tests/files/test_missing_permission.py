"""Files and folders of another user: one sentence, no traceback. Needs root, to be another user for a while."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumalib.cli.main import main
from pumalib.errors import ResourceError
from pumalib.files.artifacts import create_artifact, open_artifact, write_text
from pumalib.jobs.driver import begin_run
from pumalib.jobs.states import StateFile, StatePlace

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user for a while")
NOBODY = 65534


@pytest.fixture
def closed() -> Iterator[Path]:
    """Return a folder, of a score table and a state, that this user may look at and neither read nor change."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with create_artifact(folder / "scores.h5", "scores"):
            pass
        write_text(folder / "model.safetensors", "")
        write_text(folder / "results.csv", "a\n1\n")
        StateFile(StatePlace(folder / "run.state", 0), "key").offer(dict)
        for path in folder.iterdir():
            path.chmod(0o600)
        folder.chmod(0o755)
        os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(0)


def test_file_that_may_not_be_read_is_not_called_damaged(closed: Path) -> None:
    message = r"^expected to read .*/scores\.h5, got: Permission denied; change its owner or permissions$"
    with pytest.raises(ResourceError, match=message), open_artifact(closed / "scores.h5", "scores"):
        pass


@pytest.mark.parametrize("name", ["scores.h5", "model.safetensors", "results.csv"])
@pytest.mark.parametrize("command", ["inspect", "trace"])
def test_command_line_tells_of_a_file_that_may_not_be_read(
    closed: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    assert main([command, str(closed / name)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("Error: expected")
    assert "Permission denied" in error


def test_folder_that_may_not_be_written_is_told(closed: Path) -> None:
    with pytest.raises(
        ResourceError, match=r"expected to write .*/new\.csv, got: Permission denied; change the owner, "
    ):
        write_text(closed / "new.csv", "")


def test_run_whose_results_may_not_be_written_ends_before_its_first_job(closed: Path) -> None:
    with pytest.raises(ResourceError, match="expected a results folder that can be written, got: Permission denied at"):
        begin_run(closed / "logs")


def test_state_that_may_not_be_read_is_left_unused(closed: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert StateFile(StatePlace(closed / "run.state"), "key").load() is None
    assert "start anew: expected a state at" in caplog.text
    assert "Permission denied" in caplog.text

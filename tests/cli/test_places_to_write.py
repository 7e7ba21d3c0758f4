"""A place that cannot be written is refused with the command line, before a command has done its work."""

import os
from pathlib import Path

import pytest

from pumalib.cli.main import main

COMMANDS = {
    "browse": ["nothing.h5", "--out", "{}/page.html"],
    "compare-csv": ["compare", "nothing", "nothing", "--out", "{}/compared.csv"],
    "compare-png": ["compare", "nothing", "nothing", "--out", "{}/scatter.png"],
    "export": ["nothing.h5", "--to", "npz", "--out", "{}/kept.npz"],
    "graph": ["nothing.yaml", "--out", "{}/rules.svg"],
    "paper": ["--out", "{}/paper.yaml"],
    "report": ["nothing.yaml", "--out", "{}/report.html"],
    "robustbench": ["nothing", "--run", "trades", "--out", "{}/trades.json"],
    "show": ["nothing.h5", "--out", "{}/sheet.png"],
    "suspects-csv": ["suspects", "nothing.h5", "--out", "{}/suspects.csv"],
    "suspects-png": ["suspects", "nothing.h5", "--picture", "{}/suspects.png"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_place_below_a_file_is_refused_first(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lying = tmp_path / "a-file"
    lying.write_text("mine")
    told = _refused(name, lying / "new", capsys)
    assert f"{lying} is a file" in told
    assert "nothing" not in told.splitlines()[-1]  # the inputs, which are not there either, come after
    assert lying.read_text() == "mine"


@pytest.mark.parametrize("name", COMMANDS)
def test_folder_without_the_right_to_write_is_refused_first(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)  # root may write everywhere
    assert f"have no right to write in {tmp_path}" in _refused(name, tmp_path / "new", capsys)


def _refused(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    given = [word.format(folder) for word in COMMANDS[name]]
    with pytest.raises(SystemExit) as ended:
        main(given if "-" in name else [name, *given])
    assert ended.value.code == 2
    return capsys.readouterr().err

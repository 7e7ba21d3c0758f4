"""The rules of a study, as Snakemake tells them."""

from pathlib import Path

import pytest

from pumalib.cli.main import main
from pumalib.errors import ConfigError
from pumalib.running.rule_graph import graph_of, rule_graph

ROOT = Path(__file__).parents[2]
DOT = """digraph snakemake_dag {
    0[label = "all", color = "0.5"];
    1[label = "table", color = "0.1"];
    2[label = "model\\nrun: a", color = "0.2"];
    3[label = "curves", color = "0.3"];
    1 -> 0
    2 -> 1
    2 -> 2
    2 -> 3
}
"""


def test_reports_are_one_box_and_the_target_is_none() -> None:
    assert graph_of(DOT, ["table", "curves"]) == {"reports": set(), "model": {"reports"}}
    assert graph_of(DOT, []) == {"table": set(), "model": {"table", "curves"}, "curves": set()}


def test_study_is_drawn_by_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.yaml").write_text((ROOT / "tests/workflow/tiny.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    assert main(["graph", "study.yaml", "--out", "drawn/rules.svg"]) == 0
    assert capsys.readouterr().out.startswith("drawn/rules.svg: ")
    drawn = (tmp_path / "drawn/rules.svg").read_text()
    assert all(f">{rule}<" in drawn for rule in ("dataset", "pool", "selection", "model", "score", "attack", "reports"))
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["rules.svg"]
    assert not (tmp_path / "results").exists()


def test_study_that_cannot_be_planned_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "study.yaml").write_text("study: a\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^expected a study that Snakemake can plan, got: expected "):
        rule_graph("study.yaml", [])


def test_picture_of_another_form_is_told_before_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", "config.yaml", "--out", "rules.txt"]) == 2
    assert capsys.readouterr().err == "Error: expected --out that ends with .svg, .png or .pdf, got rules.txt\n"

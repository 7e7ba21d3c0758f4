from pathlib import Path
from typing import Any

import pytest
import yaml

from pumalib.errors import ConfigError
from pumalib.study.file import load_merged_study, load_study, read_study_file

ROOT = Path(__file__).parents[2]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


NEED_FILES = (
    "cifar10.yaml",
    "cifar10-rdl.yaml",
    "easycore-cifar10.yaml",
    "oracle.yaml",
    "paper-cifar10.yaml",
    "paper-imagenet21k.yaml",
    "robust-pruning-cifar10.yaml",
    "tiny-imagenet.yaml",
    "tiny-imagenet-rdl.yaml",
)
"""Checked with their files, or small stand-ins for them, in `test_cifar10_studies`, `test_oracle_images`, and in
tests/workflow: in `test_paper_studies` and `test_large_image_studies`."""


@pytest.mark.parametrize(
    "file",
    [
        "config.yaml",
        *(f"studies/{path.name}" for path in (ROOT / "studies").glob("*.yaml") if path.name not in NEED_FILES),
    ],
)
def test_studies_of_the_repository_are_valid(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "pyautoattack.py", "")  # an optional package, which a study may ask for
    monkeypatch.syspath_prepend(tmp_path)
    assert load_study(ROOT / file).settings.study


@pytest.mark.parametrize(
    ("text", "name", "line"),
    [
        ("seeds: [1]\nseeds: [2]\n", "seeds", 2),
        ("runs:\n  a: {}\n  b: {}\n  a: {epsilon: {}}\n", "a", 4),
        ("runs: {a: {}, b: {}, a: {}}\n", "a", 1),
        ('runs: {a: {}, "a": {}}\n', "a", 1),
        ("x: [{y: 1, y: 2}]\n", "y", 1),
    ],
)
def test_name_written_twice_is_refused_with_its_line(tmp_path: Path, text: str, name: str, line: int) -> None:
    path = write(tmp_path / "study.yaml", text)
    with pytest.raises(ConfigError) as error:
        read_study_file(path)
    assert str(error.value) == f'expected each name once, got "{name}" twice at line {line} ({path})'


def test_merge_keys_work_and_may_be_overridden(tmp_path: Path) -> None:
    text = (
        "a: &a {k: 1, l: 2}\nb: &b {m: 3}\nc: {<<: [*a, *b], k: 9}\nd:\n  e: &e {<<: {x: 1, y: 1}, x: 2}\ng: {<<: *e}\n"
    )
    merged = read_study_file(write(tmp_path / "study.yaml", text))
    assert merged["c"] == {"k": 9, "l": 2, "m": 3}
    assert merged["d"]["e"] == merged["g"] == {"x": 2, "y": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping of study keys, got nothing"),
        ("- a\n", "expected a mapping of study keys, got a list"),
        ("a\n", "expected a mapping of study keys, got a scalar"),
        ("a: [1\n", "line 2"),
        ("a:\n\tb: 1\n", "line 2"),
        ("? [a]\n: 1\n", "found unhashable key at line 1"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        ("a: *b\n", "undefined alias 'b' at line 1"),
        ("a: \x07\n", "expected a YAML file in UTF-8: unacceptable character #x0007"),
    ],
)
def test_file_that_is_no_study_is_refused_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "study.yaml", text)
    with pytest.raises(ConfigError) as error:
        read_study_file(path)
    assert message in str(error.value)
    assert f"({path})" in str(error.value)
    assert "\n" not in str(error.value)


def test_bytes_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(b"study: \xff\n")
    with pytest.raises(ConfigError, match="expected a YAML file in UTF-8"):
        read_study_file(tmp_path / "study.yaml")


def test_missing_study_file_and_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a study file at .*none\.yaml: No such file"):
        read_study_file(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="got a folder"):
        read_study_file(tmp_path)


def test_code_in_yaml_is_refused_and_not_run(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    path = write(
        tmp_path / "study.yaml", f"study: !!python/object/apply:pathlib.Path.touch [!!python/name:str {victim}]\n"
    )
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        read_study_file(path)
    assert not victim.exists()


def test_every_merged_file_is_looked_at_and_named(study: dict[str, Any], tmp_path: Path) -> None:
    good = write(tmp_path / "good.yaml", yaml.safe_dump(study))
    twice = write(tmp_path / "twice.yaml", "seeds: [1]\nseeds: [2]\n")
    with pytest.raises(ConfigError, match=r'got "seeds" twice at line 2 \(.*twice\.yaml\)'):
        load_merged_study(study, [good, twice])
    study["seeds"] = []
    with pytest.raises(ConfigError, match=r"\(.*good\.yaml, .*good\.yaml\)"):
        load_merged_study(study, [good, good])

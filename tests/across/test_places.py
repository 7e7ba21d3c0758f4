"""What a user names, and what a folder of results says of its study."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pumalib.across.places import edited_keys, kind_of, named_study, settings_of_results
from pumalib.errors import ArtifactError, ConfigError
from pumalib.reporting.web_page import write_settings_page
from pumalib.study.slices import settings_used
from pumalib.study.study import parse_study


def test_kinds_are_told_by_the_name(tmp_path: Path) -> None:
    (tmp_path / "models/trades/seed0").mkdir(parents=True)
    (tmp_path / "models/trades/seed0/model.safetensors").touch()
    assert [kind_of(name) for name in ("a.yaml", "a.yml", "results.csv", "seed0.h5")] == [
        "study", "study", "results", None,
    ]  # fmt: skip
    assert (kind_of(str(tmp_path)), kind_of(str(tmp_path / "models/trades/seed0"))) == ("study", None)


def test_settings_come_back_from_the_page_as_they_were(study: dict[str, Any], tmp_path: Path) -> None:
    study["data_dir"] = "a & <b>: 'c'"
    used = settings_used(parse_study(study))
    write_settings_page("tiny", used, tmp_path / "settings.html")
    assert settings_of_results(tmp_path) == used


def test_folder_without_settings_or_with_another_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"expected the results of a study that has run, with its settings.html"):
        settings_of_results(tmp_path)
    for text in ("<p>x</p>", "<pre><code>a: [</code></pre>", "<pre><code>a: 1</code></pre>"):
        (tmp_path / "settings.html").write_text(text)
        with pytest.raises(ArtifactError, match=r"expected the settings of a study at .*settings.html"):
            settings_of_results(tmp_path)
    (tmp_path / "perceptron.csv").touch()
    with pytest.raises(ArtifactError, match="got those of a theory"):
        settings_of_results(tmp_path)


def test_study_of_a_theory_is_refused(tmp_path: Path) -> None:
    theory = Path(__file__).parents[2] / "studies/perceptron.yaml"
    with pytest.raises(ConfigError, match="expected a study of trainings, got one of a theory"):
        named_study(str(theory))


def test_study_file_that_was_edited_since_is_told_by_its_keys(
    study: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_settings_page("tiny", settings_used(parse_study(study)), Path("results/tiny/settings.html"))
    study["threat"]["epsilon"] = 0.3
    Path("tiny.yaml").write_text(yaml.safe_dump(study))
    edited = named_study("tiny.yaml")
    assert (edited.name, edited.folder) == ("tiny", Path("results/tiny"))
    assert {"threat.epsilon", "attacks.cw.epsilon"} < set(edited_keys(edited))
    assert all(key.endswith(("epsilon", "cap")) for key in edited_keys(edited))
    with pytest.raises(ConfigError, match=re.escape("found none; run `puma run tiny.yaml` first")):
        edited.expect_results()

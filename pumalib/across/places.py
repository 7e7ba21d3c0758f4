"""What a user names: a study file, the folder of a study's results, or a results file."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from pumalib.errors import ArtifactError, ConfigError
from pumalib.study.file import load_merged_study, read_study_file
from pumalib.study.slices import settings_used
from pumalib.study.study import Study

RESULTS = "results.csv"

_STUDY_FILES = (".yaml", ".yml")
_LISTED = re.compile(r"<pre><code>(.*?)</code></pre>", re.DOTALL)
_THEORIES = ("perceptron", "abstraction")

Kind = Literal["study", "results"]


@dataclass(frozen=True)
class NamedStudy:
    """A study that a user named by its file or by the folder of its results.

    Attributes:
        given: as the user named it.
        folder: of its results, whether they are there or not.
        settings: as `settings_used` returns them: runs merged with their defaults.
        is_file: whether the settings are those of a study file; else those that the results were made with.
    """

    given: str
    folder: Path
    settings: Mapping[str, Any]
    is_file: bool

    @property
    def name(self) -> str:
        """Name of the study."""
        return str(self.settings["study"])

    @property
    def results(self) -> Path:
        """Its results file, whether it is there or not."""
        return self.folder / RESULTS

    def expect_results(self) -> Path:
        """Return its results file.

        Raises:
            ConfigError: the study has not run to its end.
        """
        if not self.results.is_file():
            what_to_do = f"run `puma run {self.given}` first" if self.is_file else "run the study first"
            raise ConfigError(f"expected {self.results} of {self.given}, found none; {what_to_do}")
        return self.results


def kind_of(path: str) -> Kind | None:
    """Say what a user named; None: neither a study nor a results file, by its name."""
    given = Path(path)
    if given.suffix in _STUDY_FILES:
        return "study"
    if given.suffix == ".csv":
        return "results"
    is_model = (given / "model.safetensors").is_file()
    return "study" if given.is_dir() and not is_model else None


def named_study(path: str) -> NamedStudy:
    """Read a study file, or what the folder of a study's results says of its settings.

    Raises:
        ConfigError: a study that cannot be read, or one of a theory.
        ArtifactError: a folder without a study's results, or without their settings.
    """
    if Path(path).is_dir():
        folder = Path(path)
        return NamedStudy(path, folder, settings_of_results(folder), is_file=False)
    study = load_merged_study(read_study_file(path), [path], is_checked=True)
    if not isinstance(study, Study):
        raise ConfigError(f"expected a study of trainings, got one of a theory at {path}; `puma summary` prints it")
    return NamedStudy(path, Path("results") / study.name, settings_used(study), is_file=True)


def settings_of_results(folder: Path) -> dict[str, Any]:
    """Return the settings that a study was last made with, from `settings.html` beside its results.

    Raises:
        ArtifactError: no folder of a study that has run to its end, or another page.
    """
    page = folder / "settings.html"
    for theory in _THEORIES:
        if (folder / f"{theory}.csv").is_file():
            raise ArtifactError(f"expected results of trainings, got those of a theory in {folder}")
    if not page.is_file():
        raise ArtifactError(
            f"expected the results of a study that has run, with its settings.html, in {folder}, found none; name the "
            "study file, or a folder such as results/digits"
        )
    found = _LISTED.search(page.read_text(encoding="utf-8", errors="replace"))
    try:
        settings = yaml.safe_load(html.unescape(found[1])) if found else None
    except yaml.YAMLError:
        settings = None
    if not isinstance(settings, dict) or "study" not in settings:
        raise ArtifactError(f"expected the settings of a study at {page}, got another page; run the study again")
    return settings


def edited_keys(study: NamedStudy) -> list[str]:
    """Return the keys that a study file now has otherwise than its results were made with; none where neither tells."""
    if not study.is_file or not (study.folder / "settings.html").is_file():
        return []
    from pumalib.across.settings_changes import changed_settings

    changes = changed_settings(settings_of_results(study.folder), study.settings)
    return [change.key for change in changes if change.is_in_both]

"""What the settings of every kind of report have: checks, and what the report is made from. Imports no numpy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import AfterValidator, Field

from pumalib.reporting.section_settings import SectionSettings
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


def _refuse_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"expected each name once, got {', '.join(repeated)} more than once")
    return names


Names = Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_refuse_repeats)]
"""One or more names, each once, in the order in which they are reported."""

SeveralNames = Annotated[tuple[Name, ...], Field(min_length=2), AfterValidator(_refuse_repeats)]
"""Two or more names, each once, in the order in which they are reported."""


OF_SEED = "of_seed"
"""The argument of reports about one seed that says which; it goes to the page, and not to the kind's `make`."""


class Needs(NamedTuple):
    """What a report is made from."""

    inputs: list[str]
    """Every file behind it: its rule waits for these."""
    arguments: dict[str, Any]
    """Arguments of the kind's `make` beside the settings, in plain words: paths, numbers, names, lists and mappings."""


class ReportSettings(SectionSettings):
    """The settings of one report: a model a kind, told apart by `kind`.

    Names of runs stand under `run`, `runs`, `baseline`, `baselines`, `control`, `lines`, `frontiers` and `published`.
    """

    is_heavy: ClassVar[bool] = False
    """Whether it is too much work for the machine that submits jobs to others."""

    is_of_trainings: ClassVar[bool] = False
    """Whether it needs what trainings alone have: models trained elsewhere are left out, and refused where named."""

    @abstractmethod
    def check(self, study: StudyView, where: str) -> None:
        """Refuse what cannot be drawn of this study; that its runs and its seed are there is known.

        Args:
            study: the whole study.
            where: path of the report's key, for messages.

        Raises:
            ConfigError: the first problem found, with the key's path.
        """

    @abstractmethod
    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return what the report is made from.

        Args:
            study: the checked study.
            files: where its files lie.
        """

    def named_runs(self) -> list[tuple[str, str]]:
        """Return the key and the name of each run that the report names, in its order, repeats included."""
        groups: dict[str, Iterable[str]] = {"runs": getattr(self, "runs", None) or ()}
        groups |= {f"lines.{label}": runs for label, runs in getattr(self, "lines", {}).items()}
        groups |= {f"frontiers.{label}": runs for label, runs in getattr(self, "frontiers", {}).items()}
        named = [(f"{key}[{index}]", run) for key, runs in groups.items() for index, run in enumerate(runs)]
        named += [(f"baselines.{label}", run) for label, run in getattr(self, "baselines", {}).items()]
        named += [(f"published.{run}", run) for run in getattr(self, "published", {})]
        single = [(key, getattr(self, key, None)) for key in ("baseline", "control", "run")]
        return named + [(key, run) for key, run in single if run is not None]

    def named_attacks(self) -> list[str]:
        """Return the attacks that the report names; none: it takes those that all of its runs have."""
        attack: str | None = getattr(self, "attack", None)
        return list(getattr(self, "attacks", None) or ()) if attack is None else [attack]

    def runs_needed(self, study: StudyView) -> list[str]:
        """Return the runs it needs, each once, in its order; all that it can show where it leaves `runs` open."""
        is_open = "runs" in type(self).model_fields and getattr(self, "runs", None) is None
        shown = study.trained if self.is_of_trainings else study.runs
        return list(dict.fromkeys([*(shown if is_open else ()), *(run for _, run in self.named_runs())]))

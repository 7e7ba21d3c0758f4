"""Settings of a leaderboard: methods of pruning against random rows, at each share of the rows that is kept."""

from __future__ import annotations

import string
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from pumalib.errors import ConfigError
from pumalib.reporting.checks import expect_one_split, expect_perturbing
from pumalib.reporting.needs import overlap_of_splits, paths_of, results_on, split_of_report
from pumalib.reporting.report_settings import Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.settings.cost import needs_of_costs
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.setting_errors import nearest
from pumalib.settings import Name, Settings

ALL_ROWS = 100
"""Per cent kept where nothing is pruned."""

MOST_OFF = 2.0
"""Points by which the share of rows that a run keeps may differ from what is said of it: cuts round in each class."""

_FIELDS = {"method", "kept"}


def _refuse_repeated_shares(shares: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(shares)) < len(shares):
        raise ValueError(f"expected each share once, got {', '.join(map(str, shares))}")
    return shares


def _expect_both_fields(pattern: str) -> str:
    try:
        found = {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
    except ValueError:
        found = set()
    if found != _FIELDS:
        raise ValueError(
            f'expected names with {{method}} and {{kept}}, such as "{{method}}-keep{{kept}}", got "{pattern}"'
        )
    return pattern


Shares = Annotated[
    tuple[Annotated[int, Field(ge=1, le=ALL_ROWS)], ...], Field(min_length=1), AfterValidator(_refuse_repeated_shares)
]
"""Per cent of the rows that are kept, each once; 100: all rows."""

RunNames = Annotated[str, AfterValidator(_expect_both_fields)]
"""Names of runs, with `{method}` and `{kept}` in them."""


class Entry(NamedTuple):
    """A run of a panel: which method, and the per cent of the rows that it keeps."""

    method: str
    kept: int
    run: str


class LeaderboardPanel(Settings):
    """Rankings of the methods on one dataset, under one way to train."""

    runs: RunNames
    """Names of its runs, with `{method}` and `{kept}` in them, such as `"digits-trades-{method}-keep{kept}"`."""
    metric: Literal["clean_accuracy", "robust_accuracy"]
    """What methods are ranked by; both are shown."""
    whole: Name | None = None
    """Run on all rows, which stands for random rows where 100 % are kept; null: none, and no method may keep all."""
    methods: Names | None = None
    """Methods of the panel; null: all of the report."""


class LeaderboardSettings(ReportSettings):
    """A ranking of methods for each panel and share of kept rows: differences to random rows, ranks that noise allows,
    and costs."""

    section: ClassVar[Section] = "Accuracy"
    is_of_trainings: ClassVar[bool] = True
    writes_json: ClassVar[bool] = True

    kind: Literal["leaderboard"]
    """Which report this is."""
    attack: Name
    """Attack of the robust accuracy."""
    methods: dict[Name, Shares] = Field(min_length=2)
    """Per cent of the rows that each method keeps, by method."""
    random: Name = "random"
    """Method that the others are compared with."""
    panels: dict[Name, LeaderboardPanel] = Field(min_length=1)
    """Datasets and ways to train, by label."""

    @model_validator(mode="after")
    def _refuse_methods_without_random_rows(self) -> LeaderboardSettings:
        if self.random not in self.methods:
            raise ValueError(
                f'expected the method "{self.random}" under methods{nearest(self.random, self.methods)}, got none: '
                "the others are compared with it"
            )
        for label, panel in self.panels.items():
            self._expect_panel(label, panel)
        return self

    def _expect_panel(self, label: str, panel: LeaderboardPanel) -> None:
        methods = self._methods_of(panel)
        for method in methods:
            if method not in self.methods:
                raise ValueError(
                    f'expected a method of the report, got "{method}"{nearest(method, self.methods)} in '
                    f"panels.{label}.methods"
                )
        if self.random not in methods or len(methods) < 2:
            raise ValueError(f'expected "{self.random}" and another method in panels.{label}.methods')
        shares = self._random_shares(panel)
        for method in methods:
            missing = [kept for kept in self.methods[method] if kept not in shares]
            if missing:
                remedy = (
                    "whole: a run on all rows" if missing == [ALL_ROWS] else f"{missing[0]} to methods.{self.random}"
                )
                raise ValueError(
                    f'expected "{self.random}" at each share of "{method}", got none at {missing[0]} % in '
                    f"panels.{label}; add {remedy}"
                )

    def _methods_of(self, panel: LeaderboardPanel) -> tuple[str, ...]:
        return tuple(self.methods) if panel.methods is None else panel.methods

    def _random_shares(self, panel: LeaderboardPanel) -> set[int]:
        of_rows = set(self.methods[self.random]) - {ALL_ROWS}
        return of_rows if panel.whole is None else of_rows | {ALL_ROWS}

    def entries(self, label: str) -> list[Entry]:
        """Return the runs of a panel: the method that others are compared with first, then the others in order."""
        panel = self.panels[label]
        others = [method for method in self._methods_of(panel) if method != self.random]
        shares = {
            self.random: sorted(self._random_shares(panel)),
            **{method: self.methods[method] for method in others},
        }
        return [Entry(method, kept, self._run(panel, method, kept)) for method, each in shares.items() for kept in each]

    def _run(self, panel: LeaderboardPanel, method: str, kept: int) -> str:
        if method == self.random and kept == ALL_ROWS and panel.whole is not None:
            return panel.whole
        return panel.runs.format(method=method, kept=kept)

    def named_runs(self) -> list[tuple[str, str]]:
        """Return every run of every panel, and the key that it follows from."""
        return [
            (f"panels.{label}.{'whole' if entry.run == panel.whole else 'runs'}", entry.run)
            for label, panel in self.panels.items()
            for entry in self.entries(label)
        ]

    def check(self, study: StudyView, where: str) -> None:
        """Refuse an attack that leaves out a run, a panel of several datasets or ways to train, and shares of rows that
        runs cannot keep."""
        expect_perturbing(self, study, self.attack, f"{where}.attack")
        expect_one_split(self, study, where)
        for label in self.panels:
            first, *others = [entry.run for entry in self.entries(label)]
            for run in others:
                if _setting_of(study, run) != _setting_of(study, first):
                    raise ConfigError(
                        f"expected one dataset and one way to train, got {first} ({_told(study, first)}) and {run} "
                        f"({_told(study, run)}) at {where}.panels.{label}; make a panel for each"
                    )
            for entry in self.entries(label):
                _expect_share(study, entry, f"{where}.methods.{entry.method}")

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the results of the runs, panel by panel, and every part of what they cost."""
        split = split_of_report(study, self.runs_needed(study), [self.attack])
        panels = {label: self._files_of(label, study, files, split) for label in self.panels}
        costs = needs_of_costs(self, study, files)
        paths = [path for panel in panels.values() for path in paths_of(panel["files"])]
        return Needs([*paths, *costs.inputs], {"study": study.name, "panels": panels, **costs.arguments})

    def _files_of(self, label: str, study: StudyView, files: StudyFiles, split: str) -> dict[str, Any]:
        runs = list(dict.fromkeys(entry.run for entry in self.entries(label)))
        dataset, training = _setting_of(study, runs[0])
        return {
            "files": results_on(study, files, runs, [self.attack]),
            "test_to_train": overlap_of_splits(study, runs[0], split),
            "dataset": dataset,
            "training": training,
        }


def _setting_of(study: StudyView, run: str) -> tuple[str, str]:
    return study.dataset_of_run(run), study.trained[run].training.method


def _expect_share(study: StudyView, entry: Entry, where: str) -> None:
    """Refuse a run whose pruning steps leave another share of its rows, as far as they tell before they are made."""
    from pumalib.selection.needed import drops_negative  # the job of a report, which loads this module, needs it not

    run = study.trained[entry.run]
    fractions = [step.fraction for step in run.prune if step.fraction is not None]
    is_known = len(fractions) == len(run.prune) and not drops_negative(run.epsilon)
    most = ALL_ROWS * (1 - max(fractions, default=0.0))
    least = ALL_ROWS * max(0.0, 1 - sum(fractions)) if is_known else 0.0  # a row goes if any step removes it
    if not least - MOST_OFF <= entry.kept <= most + MOST_OFF:
        kept = f"{most:g} %" if least == most else f"{least:g} to {most:g} %"
        raise ConfigError(
            f"expected the share of rows that run {entry.run} keeps, {kept}, got {entry.kept} % at {where}; correct "
            "its prune steps, or its share"
        )


def _told(study: StudyView, run: str) -> str:
    dataset, training = _setting_of(study, run)
    return f"{training} on {dataset}"

"""Two results held against each other: which accuracies both have, and by how much they differ.

The difference is paired by seed and image where both sides have the same seeds, and for each of them the same images by
their recorded fingerprint. Else it is that of two independent means. Where attack tables are missing, nothing is known
of the images, and there is no interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pumalib.across.accuracies import Accuracy, AnsweredTable, Side, Threat
from pumalib.errors import DataError
from pumalib.reporting.estimates import Estimate
from pumalib.reporting.families import Compared, compare_family
from pumalib.reporting.outcomes import Outcomes
from pumalib.reporting.results import CLEAN_ACCURACY, Metric
from pumalib.reporting.statistics import Summary, summarise
from pumalib.reporting.unpaired import unpaired_difference
from pumalib.setting_errors import nearest

PAIRED = "seed and image"
"""What a difference is paired by, where it is."""

_NAMES = ("first", "second")


@dataclass(frozen=True)
class Line:
    """An accuracy that both sides have.

    Attributes:
        first, second: the accuracy on each side.
        paired_by: `seed and image`; else why it is not paired, such as `nothing: other seeds`.
        compared: the second minus the first, in the family of all lines; None: there is no interval.
    """

    first: Accuracy
    second: Accuracy
    paired_by: str
    compared: Compared | None

    @property
    def metric(self) -> Metric:
        """What was measured."""
        return self.first.metric

    @property
    def threat(self) -> Threat | None:
        """The ball that was searched, where either side tells."""
        return self.first.threat or self.second.threat

    @property
    def split(self) -> str:
        """The split that was looked at, where either side tells."""
        return self.first.split or self.second.split

    @property
    def summaries(self) -> tuple[Summary, Summary]:
        """Mean and spread over the seeds of each side."""
        first, second = (summarise(list(each.values.values())) for each in (self.first, self.second))
        return first, second

    @property
    def difference(self) -> float:
        """The second mean minus the first."""
        first, second = self.summaries
        return second.mean - first.mean


class Alone(NamedTuple):
    """What one side alone has."""

    side: str
    """`first` or `second`."""
    run: str
    measured: str
    """What of the run; empty: all of it."""


@dataclass(frozen=True)
class Comparison:
    """Two results held against each other.

    Attributes:
        lines: in the order of the first.
        alone: what one side alone has.
        notes: what a reader must know of the lines.
    """

    lines: list[Line]
    alone: list[Alone]
    notes: list[str]

    @property
    def num_compared(self) -> int:
        """How many comparisons are corrected for."""
        return sum(line.compared is not None for line in self.lines)


def compare_results(
    first: Side, second: Side, runs: Mapping[str, str] | None = None, common_seeds: bool = False
) -> Comparison:
    """Compare each run that both have, under each metric that both have, as one family.

    Args:
        first, second: the results; differences are the second minus the first.
        runs: runs of the first, and what each is called in the second; None: all that have one name in both.
        common_seeds: leave out seeds that only one of the two runs has.

    Raises:
        DataError: a run that is not there, or no run in common.
        ArtifactError: a damaged attack table.
    """
    pairs = _pairs(first, second, runs)
    alone = [] if runs is not None else _runs_alone(first, second)
    lines: list[Line] = []
    for run, other in pairs.items():
        sides = _with_common_seeds(first, second, run, other) if common_seeds else (first, second)
        measured, left = _measured_by_both(*sides, run, other)
        lines += [Line(*each, _paired_by(*each), None) for each in measured]
        alone += left
    lines, missing = _with_differences(lines)
    return Comparison(lines, alone, [*missing, *_notes_on_attacks(lines)])


def _pairs(first: Side, second: Side, runs: Mapping[str, str] | None) -> dict[str, str]:
    if runs is None:
        common = {run: run for run in first.runs if run in second.runs}
        if not common:
            raise DataError(
                f"expected runs of one name in both, got {', '.join(first.runs)} in {first.path} and "
                f"{', '.join(second.runs)} in {second.path}; say which are alike, such as --runs "
                f"{first.runs[0]}={second.runs[0]}"
            )
        return common
    for side, names in ((first, runs.keys()), (second, runs.values())):
        for name in names:
            if name not in side.runs:
                raise DataError(f'expected a run of {side.path}, got "{name}"{nearest(name, side.runs)}')
    return dict(runs)


def _runs_alone(first: Side, second: Side) -> list[Alone]:
    found = []
    for name, side, other in zip(_NAMES, (first, second), (second, first), strict=True):
        found += [Alone(name, run, "") for run in side.runs if run not in other.runs]
    return found


def _with_common_seeds(first: Side, second: Side, run: str, other: str) -> tuple[Side, Side]:
    seeds = first.seeds_of(run) & second.seeds_of(other)
    if not seeds:
        raise DataError(
            f'expected a seed of "{run}" in both, got none in common of {first.path} and {second.path}; leave '
            "--common-seeds out"
        )
    return first.of_seeds(run, seeds), second.of_seeds(other, seeds)


def _measured_by_both(
    first: Side, second: Side, run: str, other: str
) -> tuple[list[tuple[Accuracy, Accuracy]], list[Alone]]:
    """Return the accuracies that both sides have, and what one alone has of the two runs."""
    names = first.metrics_of(run), second.metrics_of(other)
    one, two = (
        {metric: side.accuracy(name, metric) for metric in metrics}
        for side, name, metrics in ((first, run, names[0]), (second, other, names[1]))
    )
    both = [metric for metric in names[0] if metric in two and _is_one_question(one[metric], two[metric])]
    alone = [Alone("first", run, _told(one[metric])) for metric in names[0] if metric not in both]
    alone += [Alone("second", other, _told(two[metric])) for metric in names[1] if metric not in both]
    return [(one[metric], two[metric]) for metric in both], alone


def _is_one_question(first: Accuracy, second: Accuracy) -> bool:
    """Whether both were measured in the same ball and on the same split, as far as is known."""
    threats = {each.threat for each in (first, second)} - {None}
    splits = {each.split for each in (first, second)} - {""}
    return len(threats) < 2 and len(splits) < 2


def _told(accuracy: Accuracy) -> str:
    """Spell what was measured, with its ball and its split where they are known."""
    more = [str(accuracy.threat)] if accuracy.threat else []
    more += [f"{accuracy.split} rows"] if accuracy.split not in ("", "test") else []
    return accuracy.metric.title + (f" at {', '.join(more)}" if more else "")


def _paired_by(first: Accuracy, second: Accuracy) -> str:
    """Return what the two are paired by, or why they are not."""
    reasons = [] if first.values.keys() == second.values.keys() else ["other seeds"]
    if first.tables is None or second.tables is None:
        reasons.append("images not known")
    elif not _share_images(first.tables, second.tables):
        reasons.append("other images")
    return f"nothing: {', '.join(reasons)}" if reasons else PAIRED


def _share_images(first: Mapping[int, AnsweredTable], second: Mapping[int, AnsweredTable]) -> bool:
    """Whether each seed of both has the same images on both sides; without one, whether any two tables do."""
    pairs = [(first[seed], second[seed]) for seed in first if seed in second]
    pairs = pairs or [(next(iter(first.values())), next(iter(second.values())))]
    return all(one.is_of_same_images(other) for one, other in pairs)


def _with_differences(lines: Sequence[Line]) -> tuple[list[Line], list[str]]:
    """Return the lines with their differences, as one family, and why some have no interval."""
    estimates: dict[int, Estimate] = {}
    notes: dict[str, None] = {}
    for place, line in enumerate(lines):
        absent = [each.missing for each in (line.first, line.second) if each.missing]
        if absent:
            notes[f"no interval without attack tables: {absent[0]} is not there"] = None
            continue
        try:
            estimates[place] = _estimate(line)
        except DataError as error:
            notes[f"no interval for {line.first.run}, {line.metric.title}: {error}"] = None
    compared = compare_family(estimates)
    done = [Line(line.first, line.second, line.paired_by, compared.get(place)) for place, line in enumerate(lines)]
    return done, list(notes)


def _estimate(line: Line) -> Estimate:
    first, second = line.first, line.second
    if line.paired_by != PAIRED:
        return unpaired_difference(second.mean(), first.mean())
    ratios = [each for each in (first.test_to_train, second.test_to_train) if each is not None]
    # Two studies may draw the same test rows beside other train rows: the larger ratio widens (a choice of ours).
    answers = {("first", first.metric): first.answers(), ("second", first.metric): second.answers()}
    return Outcomes(answers, max(ratios, default=None)).difference("second", "first", first.metric)


def _notes_on_attacks(lines: Sequence[Line]) -> list[str]:
    """Return what attacks of one name do otherwise on the two sides."""
    notes: dict[str, None] = {}
    for line in lines:
        tables = line.first.any_table, line.second.any_table
        if line.metric == CLEAN_ACCURACY or tables[0] is None or tables[1] is None:
            continue
        one, two = tables[0].attack, tables[1].attack
        changed = [f"{key} {one.get(key)} -> {two.get(key)}" for key in {**one, **two} if one.get(key) != two.get(key)]
        if changed:
            notes[f"attack {line.metric.attack} is not the same on both sides: {', '.join(changed)}"] = None
    return list(notes)

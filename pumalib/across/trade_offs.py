"""Clean against robust accuracy of several studies: a figure for each dataset and attack, all in one style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.across.accuracies import Threat
from pumalib.across.finished import FinishedStudy
from pumalib.reporting.colours import PointStyle, run_styles
from pumalib.reporting.figures import as_label, figure_style, new_figure
from pumalib.reporting.labels import LabelledPoint, place_labels
from pumalib.reporting.statistics import Summary

_SIZE_INCHES, _CROWDED_SIZE_INCHES = (4.2, 3.6), (6.2, 5.2)
_CROWDED = 16
"""Points from which a figure is larger and has no bars."""

_AXIS_MARGIN = 0.14


class Question(NamedTuple):
    """What accuracies must share to stand in one figure."""

    dataset: str
    source: str
    method: str
    threat: Threat
    split: str

    @property
    def title(self) -> str:
        """The question in words."""
        rows = "" if self.split == "test" else f", {self.split} rows"
        name = self.dataset if self.dataset == self.source else f"{self.dataset} ({self.source})"
        return f"{name}, {self.method}, {self.threat}{rows}"


@dataclass(frozen=True)
class Point:
    """A run in a figure; `study` is the number of its study on the page, from 1."""

    study: int
    run: str
    clean: Summary
    robust: Summary


def points_by_question(studies: Sequence[FinishedStudy]) -> dict[Question, list[Point]]:
    """Return the points of each figure: every run under the main attack of its study."""
    found: dict[Question, list[Point]] = {}
    for number, study in enumerate(studies, 1):
        for line in study.runs():
            if line.attack != study.main_attack or line.clean is None or line.robust is None:
                continue
            method = str(study.settings["attacks"][line.attack]["method"])
            source = study.source_of(line.dataset)
            question = Question(line.dataset, source, method, study.threat(line.attack), study.split(line.attack))
            found.setdefault(question, []).append(Point(number, line.run, line.clean, line.robust))
    return found


def draw_trade_off(question: Question, points: Sequence[Point]) -> Figure:
    """Draw the means of runs in per cent; where there is room, with a standard deviation over seeds either way.

    Names have the number of their study where the figure has several; markers of later studies are open.
    """
    numbers = list(dict.fromkeys(point.study for point in points))
    styles = run_styles(list(dict.fromkeys(point.run for point in points)))
    is_crowded = len(points) >= _CROWDED
    with figure_style():
        figure, (axes,) = new_figure(*(_CROWDED_SIZE_INCHES if is_crowded else _SIZE_INCHES))
        labels = []
        for point in points:
            name = point.run if len(numbers) == 1 else f"{point.run} [{point.study}]"
            bars = (0.0, 0.0) if is_crowded else _deviations(point)
            labels.append(_draw(axes, point, name, bars, styles[point.run], point.study == numbers[0]))
        axes.set_title(as_label(question.title))
        axes.set_xlabel("clean accuracy (%)")
        axes.set_ylabel("robust accuracy (%)")
        axes.margins(_AXIS_MARGIN)
        axes.grid(True)
        place_labels(figure, axes, labels)
    return figure


def _deviations(point: Point) -> tuple[float, float]:
    """Return the standard deviations in points; 0 for one seed."""
    clean, robust = (100 * each.standard_deviation for each in (point.clean, point.robust))
    return 0.0 if math.isnan(clean) else clean, 0.0 if math.isnan(robust) else robust


def _draw(
    axes: Axes, point: Point, name: str, bars: tuple[float, float], style: PointStyle, is_filled: bool
) -> LabelledPoint:
    clean, robust = 100 * point.clean.mean, 100 * point.robust.mean
    axes.errorbar(
        clean,
        robust,
        xerr=bars[0],
        yerr=bars[1],
        fmt=style.marker,
        color=style.colour,
        markersize=8 if style.marker == "*" else 5.5,
        markerfacecolor=style.colour if is_filled else "white",
        markeredgecolor="white" if is_filled else style.colour,
        markeredgewidth=0.4 if is_filled else 0.9,
        elinewidth=0.6,
        zorder=4,
    )
    return LabelledPoint(as_label(name), style.colour, clean, robust, *bars)

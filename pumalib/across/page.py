"""The page over several studies: one HTML file with their verdicts, every run, and a figure for each dataset."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from pumalib.across.accuracies import Threat
from pumalib.across.finished import AttackedRun, Difference, FinishedStudy
from pumalib.across.trade_offs import Question, draw_trade_off, points_by_question
from pumalib.reporting.figures import save_png
from pumalib.reporting.files import as_text, markdown_table
from pumalib.reporting.statistics import Summary
from pumalib.reporting.web_page import write_web_page
from pumalib.reporting.words import difference_cell

_HEADER = [
    "study", "run", "dataset", "seeds", "clean (%)", "vs baseline", "attack", "epsilon", "robust (%)", "vs baseline",
    "baseline", "mean epsilon", "pruned (%)",
]  # fmt: skip

_DATA_NOTE = (
    "Accuracies in per cent, mean ± one standard deviation over seeds. Differences are in points. Each is that of the "
    "study's own comparison, with the interval and the star that stand there; `-` where no comparison has the run. "
    "Epsilon is that of the attack, mean epsilon that of training. Nothing here is corrected for having several "
    "studies. To compare two studies, use `puma compare`."
)
_FIGURE_NOTE = (
    "A figure for each dataset and attack: means over seeds, bars one standard deviation. Up and to the right is "
    "better at both. Crowded figures have no bars. Each study is shown under the attack of its primary contrast, else "
    "under its first attack. In a figure of several studies, the number behind a run is that of its study, and markers "
    "of the first study are filled. Studies may have other test images of one dataset."
)


def write_page(studies: Sequence[FinishedStudy], output: Path) -> None:
    """Write the page; links in it are relative to it.

    Args:
        studies: in the order of the page.
        output: the HTML file to write.
    """
    with TemporaryDirectory() as folder:
        pictures = _draw_all(studies, Path(folder))
        write_web_page(f"{len(studies)} studies", _text(studies, pictures, output.parent), list(pictures), output)


def _draw_all(studies: Sequence[FinishedStudy], folder: Path) -> dict[Path, Question]:
    pictures = {}
    for place, (question, points) in enumerate(points_by_question(studies).items()):
        path = folder / f"{place}.png"
        save_png(draw_trade_off(question, points), path)
        pictures[path] = question
    return pictures


def _text(studies: Sequence[FinishedStudy], pictures: dict[Path, Question], folder: Path) -> str:
    images = "\n".join(f"![{as_text(question.title)}]({path.name})" for path, question in pictures.items())
    figures = ["## Clean against robust accuracy", images, _FIGURE_NOTE] if pictures else []
    return "\n\n".join(
        [
            *(_section(number, study, folder) for number, study in enumerate(studies, 1)),
            *figures,
            "## Every run",
            markdown_table(_HEADER, [cells for each in studies for cells in _rows(each)]),
            _DATA_NOTE,
        ]
    )


def _section(number: int, study: FinishedStudy, folder: Path) -> str:
    """Return what a study is, its verdicts and links to its pages."""
    runs = len(set(study.results["run"]))
    seeds = len(set(study.results["seed"]))
    datasets = ", ".join(f"`{name}`" for name in study.settings["datasets"])
    threat = Threat(study.settings["threat"]["norm"], float(study.settings["threat"]["epsilon"]))
    about = f"{runs} runs, {seeds} seed{'s' if seeds > 1 else ''}, dataset {datasets}, threat {threat}."
    verdicts = study.verdicts or ["No gate and no primary contrast: every comparison of this study is exploratory."]
    return "\n\n".join([f"## {number}. {as_text(study.name)}", about, *verdicts, _links(study, folder)])


def _links(study: FinishedStudy, folder: Path) -> str:
    """Return links to the files of a study that are there."""
    reports = study.named.folder / "reports"
    names = [*(key for key in ("gate", "primary") if study.settings.get(key)), *(study.settings.get("reports") or {})]
    wanted = {
        "page": study.named.folder / "README.md",
        "settings": study.named.folder / "settings.html",
        "numbers": study.named.results,
        **{f"report {name}": reports / f"{name}.html" for name in names},
    }
    links = [f"[{as_text(word)}]({_link(path, folder)})" for word, path in wanted.items() if path.is_file()]
    return "Files: " + ", ".join(links) + "."


def _link(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix().replace(" ", "%20").replace(")", "%29")


def _rows(study: FinishedStudy) -> list[list[str]]:
    """Return a row for each run and attack; what is the same for all attacks of a run stands in its first row."""
    rows, seen = [], set()
    for line in study.runs():
        rows.append(_cells(study, line, is_first=line.run not in seen))
        seen.add(line.run)
    return rows


def _cells(study: FinishedStudy, line: AttackedRun, is_first: bool) -> list[str]:
    told = [each for each in (line.clean_difference, line.robust_difference) if each is not None]
    seeds = max(each.num_seeds for each in (line.clean, line.robust) if each is not None)
    before = [as_text(line.dataset), str(seeds), _mean(line.clean), _difference(line.clean_difference)]
    after = [_number(line.mean_epsilon), _percent(line.pruned_fraction)]
    return [
        as_text(study.name),
        f"`{line.run}`",
        *(before if is_first else [""] * len(before)),
        *_attack(study, line.attack),
        _mean(line.robust),
        _difference(line.robust_difference),
        f"`{told[0].baseline}`" if told else "-",
        *(after if is_first else [""] * len(after)),
    ]


def _attack(study: FinishedStudy, attack: str) -> tuple[str, str]:
    if not attack:
        return "-", "-"
    rows = "" if study.split(attack) == "test" else f" ({study.split(attack)} rows)"
    return f"{as_text(attack)}{rows}", str(study.threat(attack))


def _mean(summary: Summary | None) -> str:
    if summary is None:
        return "-"
    mean, deviation = 100 * summary.mean, 100 * summary.standard_deviation
    return f"{mean:.2f}" if math.isnan(deviation) else f"{mean:.2f} ± {deviation:.2f}"


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return "-"
    return difference_cell(difference.value, difference.interval, "*" if difference.is_told else "")


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"

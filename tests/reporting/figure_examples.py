"""A small example of the figure of every report kind, with names as long and points as near as studies have them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pumalib.abstraction.report import draw_abstraction
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.inspection.samples import Samples
from pumalib.inspection.suspects import Suspects
from pumalib.perceptron.decay import Group, draw_decay
from pumalib.perceptron.error_curves import draw_error_curves
from pumalib.perceptron.table import Line
from pumalib.reporting.accuracy_lines import draw_accuracies
from pumalib.reporting.colours import RunStyles, run_styles
from pumalib.reporting.contact_sheet import draw_contact_sheet
from pumalib.reporting.correlation import compare_scores, plot_scores
from pumalib.reporting.estimates import Estimate
from pumalib.reporting.families import Equivalence
from pumalib.reporting.gate import Gain, Weaker
from pumalib.reporting.kinds import (
    browse,
    class_groups,
    comparison,
    cost_frontier,
    cost_page,
    epsilon_distribution,
    gate,
    generated_rows_figure,
    leaderboard_figure,
    margin_classes,
    margin_histogram,
    nearest_neighbours,
    primary,
    pruned_rows,
    ratio_curves,
    robustness_curves,
    score_agreement,
    suspects,
    trade_off,
    training_curves,
)
from pumalib.reporting.margin_counts import Margins
from pumalib.reporting.primary import Contrast
from pumalib.reporting.results import CLEAN_ACCURACY, robust_accuracy
from pumalib.reporting.settings.cost import MARGIN_MODEL, SCORE, TRAINING, CostSettings
from pumalib.reporting.settings.cost_frontier import CostFrontierSettings
from pumalib.reporting.settings.gate import Gate
from pumalib.reporting.settings.leaderboard import LeaderboardSettings
from pumalib.reporting.settings.ratio_curves import RatioCurvesSettings
from pumalib.reporting.settings.robustness_curves import RobustnessCurvesSettings
from pumalib.reporting.settings.score_agreement import ScoreAgreementSettings
from pumalib.reporting.settings.suspects import SuspectsSettings
from pumalib.reporting.settings.trade_off import TradeOffSettings
from pumalib.reporting.settings.training_curves import TrainingCurvesSettings
from pumalib.scores.table import ScoreTable

RUNS = ["trades", "random-20", "pe-20", "pd-20", "puma-0", "puma-20", "puma-40", "control-20", "shuffled-20"]
STYLES: RunStyles = run_styles(RUNS)
THREAT = ThreatSettings(norm="linf", epsilon=0.1)


def rng() -> np.random.Generator:
    """Return numbers that are the same in each example."""
    return np.random.default_rng(0)


def trade_off_figure() -> Figure:
    """Nine runs near each other and one far off."""
    middles = [(84 + 0.3 * place, 73 - 0.4 * (place % 4)) for place in range(len(RUNS))]
    noise = rng().normal(0, 0.2, (len(RUNS) + 1, 5, 2))
    points = [
        (run, seed, (clean + noise[at, seed, 0]) / 100, (robust + noise[at, seed, 1]) / 100, 500)
        for at, (run, (clean, robust)) in enumerate(zip([*RUNS, "mean-20"], [*middles, (93, 20)], strict=True))
        for seed in range(5)
    ]
    columns = ["run", "seed", "clean_accuracy", "robust_accuracy", "num_samples"]
    table = pd.DataFrame(points, columns=columns)
    settings = TradeOffSettings(baseline="trades", attack="cw", frontiers={"epsilon": ("trades", "puma-0")})
    return trade_off.draw_trade_off(table, settings, run_styles([*RUNS, "mean-20"]))


def cost_frontier_figure() -> Figure:
    """Costs that lie near each other, some with scores that cost more."""
    shares = np.linspace(0.25, 1, len(RUNS))[::-1]
    robust = 0.66 - 0.005 * np.arange(len(RUNS)) % 3
    table = pd.DataFrame({"run": RUNS, "of_baseline": shares, "robust_accuracy": robust})
    table["whole_of_baseline"] = np.where(np.arange(len(RUNS)) % 2, shares + 0.2, np.nan)
    table["robust_accuracy_low"], table["robust_accuracy_high"] = robust - 0.01, robust + 0.01
    settings = CostFrontierSettings(baseline="trades", attack="cw", frontiers={"steps": ("trades", "pe-20", "puma-0")})
    return cost_frontier.draw_cost_frontier(table, settings, STYLES)


def comparison_figure() -> Figure:
    """Three metrics whose intervals differ in width by a lot."""
    metrics = [CLEAN_ACCURACY, robust_accuracy("cw"), robust_accuracy("autoattack")]
    table = pd.DataFrame({"run": RUNS})
    for metric, width in zip(metrics, (0.001, 0.01, 0.5), strict=True):
        prefix = f"{metric.column}_minus_baseline"
        table[prefix] = np.linspace(-0.004, 0.006, len(RUNS))
        table[f"{prefix}_low"], table[f"{prefix}_high"] = table[prefix] - width, table[prefix] + width
    return comparison.draw_differences(table, metrics, "trades", STYLES)


def margins() -> Margins:
    """Return margins of two sources, with two cuts of which one stands near epsilon."""
    margin = rng().normal(0.1, 0.1, 600).astype(np.float32)
    cuts = [("margin easiest 20 %", 0.11), ("margin hardest 5 %", -0.06)]
    return Margins("margin", margin, np.arange(600) % 2, np.ones(600, bool), "linf", cuts)


def margin_classes_figure() -> Figure:
    """Ten classes of two sources."""
    names = [f"class {letter}" for letter in "abcdefghij"]
    bins = margin_classes.class_bins(margins(), np.arange(600) % 10, names, 0.1)
    return margin_classes.draw_classes(bins, "linf", 0.1)


def along(place: str, places: list[float], names: tuple[str, ...]) -> pd.DataFrame:
    """Return accuracies of every run along places."""
    rows = [
        {"run": run, place: at}
        | {f"{name}_mean": 0.9 - 0.02 * index for name in names}
        | {f"{name}_sd": 0.01 for name in names}
        for index, run in enumerate(RUNS)
        for at in places
    ]
    return pd.DataFrame(rows)


def training_curves_figure() -> Figure:
    """Nine lines along a training."""
    table = along("images_seen", [10_000.0 * step for step in range(1, 60)], ("clean_accuracy", "robust_accuracy"))
    return training_curves.draw_curves(table, TrainingCurvesSettings(runs=tuple(RUNS), baseline="trades"), STYLES)


def kept_epochs_figure() -> Figure:
    """Nine lines of four kept epochs."""
    table = along("epoch", [1.0, 2.0, 4.0, 8.0], ("clean_accuracy", "robust_accuracy"))
    return draw_accuracies(table, "epoch", "epoch", "trades", STYLES, with_points=True)


def robustness_figure() -> Figure:
    """Nine lines over a hundred epsilons."""
    epsilons = np.linspace(0, 0.2, 101)
    parts = [
        pd.DataFrame({"run": run, "epsilon": epsilons, "mean": (0.9 - 0.05 * at) * np.exp(-10 * epsilons)})
        for at, run in enumerate(RUNS)
    ]
    table = pd.concat(parts, ignore_index=True)
    table["low"], table["high"] = table["mean"] - 0.02, table["mean"] + 0.02
    settings = RobustnessCurvesSettings(runs=tuple(RUNS), baseline="trades", attack="fmn")
    return robustness_curves.draw_robustness(table, settings, THREAT, STYLES)


def ratio_curves_figure() -> Figure:
    """Three groups, with baselines at one height."""
    lines = {"small": ("puma-0", "puma-20"), "large": ("pe-20", "puma-40"), "all": ("pd-20", "random-20")}
    baselines = {"small": "trades", "large": "control-20", "all": "control-20"}
    settings = RatioCurvesSettings(lines=lines, baselines=baselines, attack="cw")
    rows = [
        {"label": label, "run": run, "is_baseline": False, "pruned_fraction": 0.2 * at}
        for label, runs in lines.items()
        for at, run in enumerate(runs)
    ]
    rows += [
        {"label": label, "run": run, "is_baseline": True, "pruned_fraction": 0} for label, run in baselines.items()
    ]
    table = pd.DataFrame(rows)
    for name in ("clean_accuracy", "robust_accuracy"):
        table[f"{name}_mean"], table[f"{name}_sd"] = 0.8 - 0.1 * table["pruned_fraction"], 0.01
    return ratio_curves.draw_ratio_curves(table, settings, STYLES)


def score_agreement_figure() -> Figure:
    """Eight scores: seven panels."""
    names = ["aign", "margin-natural", "margin", "aign-cnn", "el2n", "grand", "forgetting", "difficulty"]
    scores = rng().normal(0, 1, (len(names), 400)).astype(np.float32)
    tables = {name: _scores(each) for name, each in zip(names, scores, strict=True)}
    settings = ScoreAgreementSettings(scores=tuple(names))
    return score_agreement.draw_score_agreement(
        score_agreement.SeedScores(0, tables, np.zeros(400, np.uint8)), settings
    )


def _scores(score: np.ndarray) -> ScoreTable:
    return ScoreTable(score.astype(np.float32), np.ones(len(score), bool), "harder", "", "any", "pool")


def correlation_figure() -> Figure:
    """Two scores of one pool."""
    one, other = (_scores(each) for each in rng().normal(0, 1, (2, 500)))
    return plot_scores(compare_scores(one, other), one, other, ("margin", "classification-difficulty"))


def class_groups_figure() -> Figure:
    """Groups in two columns, some left out."""
    bars = [class_groups.Bar(f"group of animals {at}", 200 * (at % 9 + 1), 3, at % 3 == 0) for at in range(60)]
    return class_groups.draw_groups(bars)


def epsilon_distribution_figure() -> Figure:
    """Epsilons of nine runs."""
    epsilons = {run: [rng().uniform(-0.1, 0.1, 50).astype(np.float32)] for run in RUNS}
    table = epsilon_distribution.distribution_table(epsilons, THREAT.epsilon)
    return epsilon_distribution.draw_distribution(table, THREAT, STYLES)


def nearest_neighbours_figure() -> Figure:
    """Distances of two groups."""
    near, far = (rng().normal(mean, 0.2, 300).clip(0.1).astype(np.float32) for mean in (1, 1.2))
    return nearest_neighbours.draw_nearest_neighbours(far, near)


def cost_figure() -> Figure:
    """Four runs with seconds."""
    amounts = {"rows": 9000, "forward_passes": 5e6, "backward_passes": 4e6, "seconds": 120.0, "seconds_sd": 5.0}
    parts = (TRAINING, MARGIN_MODEL, SCORE, "whole")
    table = pd.DataFrame([{"run": run, "part": part, **amounts} for run in RUNS for part in parts])
    return cost_page.draw_cost(table, CostSettings(runs=tuple(RUNS), baseline="trades", seconds=True))


def gate_figure() -> Figure:
    """Two weaker runs."""
    weighed = [Weaker(run, Gain(0.01, 0.004), Gain(-0.02, 0.005)) for run in ("random-20", "puma-20")]
    return gate.draw_gate(Gate(run="trades", weaker=("random-20", "puma-20"), attack="cw"), weighed, STYLES)


def primary_figure() -> Figure:
    """One contrast between its margins."""
    contrast = Contrast("puma-20", "shuffled-20", "robust_accuracy", "cw", 0.005)
    tested = Equivalence(Estimate(0.001, 1e-6, 1e-6, 5, 1000), 0.005, 0.01, 0.02)
    return primary.draw_primary(contrast, tested, STYLES)


def browse_figure() -> Figure:
    """What ten classes lose."""
    names = [f"class of clothes {letter}" for letter in "abcdefghij"]
    return browse.draw(pd.DataFrame({"share": np.linspace(0.5, 0.01, 10)}, index=names))


def samples(points: bool = False) -> Samples:
    """Return 120 rows of a selection with a cut, or images of an attack."""
    count = 120
    values = rng().uniform(0.2, 0.201, count)
    images = rng().integers(0, 255, (count, 8, 8, 1), np.uint8)
    moved = np.clip(images / 255 + rng().uniform(-0.1, 0.1, images.shape), 0, 1)
    return Samples(
        rows=np.arange(count) + 15_000,
        class_names=("Ankle boot", "T-shirt/top"),
        labels=np.arange(count) % 2,
        groups=np.where(np.arange(count) < 40, "pruned: easiest 20 % by margin", "kept"),
        images=images.__getitem__,
        predictions={"prediction": np.arange(count) % 3 % 2},
        values={"margin": values, "epsilon": np.where(np.arange(count) < 40, np.nan, 0.05)},
        hardness=values,
        sources=np.where(np.arange(count) % 2, "real", "synthetic"),
        points=moved.__getitem__ if points else None,
    )


def pruned_rows_figure() -> Figure:
    """Twelve rows of each group, as the report draws by default."""
    rows = samples()
    return draw_contact_sheet(rows, pruned_rows.chosen_blocks(rows, 12), "rows of puma-20", 2)


def suspects_figure() -> Figure:
    """Thirty suspects."""
    found = Suspects(samples(), np.arange(30), None)
    return suspects.draw(found, SuspectsSettings(score="margin", count=30))


def attack_figure() -> Figure:
    """Images of an attack that kept its points."""
    rows = samples(points=True)
    return draw_contact_sheet(rows, pruned_rows.chosen_blocks(rows, 4), "attacks/puma-20/seed0/cw.h5")


def lines(strategies: tuple[str, ...] = ("none", "pe", "pd")) -> list[Line]:
    """Return lines of the perceptron theory, with errors down to a hundred-thousandth."""
    alphas = np.array([0.5, 1, 2, 4, 8, 16])
    fractions = {"none": (1.0,), "pe": (0.4, 0.1, 0.001), "pd": (0.4, 0.1, 0.001)}
    return [
        Line(
            name, kept, alphas, 0.3 * kept / alphas * np.ones((3, 1)), alphas / kept, np.array([0, 0, 1, 0, 0, 0]), 0.0
        )
        for name in strategies
        for kept in fractions[name]
    ]


def decay_figure() -> Figure:
    """Three epsilons, with and without the filter."""
    groups = [
        Group(epsilon, is_filtered, lines(("none", "pe")))
        for epsilon in (0, 0.01, 0.1)
        for is_filtered in (False, True)
    ]
    return draw_decay(groups, "angle_error")


def abstraction_figure() -> Figure:
    """Four trainings over epsilon."""
    names = ("natural", "adversarial", "learned_scales", "learned_rows")
    rows = [{"training": name, "epsilon": epsilon} for name in names for epsilon in (0.0, 0.1, 0.2)]
    table = pd.DataFrame(rows)
    for name in ("clean_accuracy", "robust_accuracy"):
        table[f"{name}_mean"], table[f"{name}_high"] = 0.8 - table["epsilon"], 0.85 - table["epsilon"]
    return draw_abstraction(table)


def generated_rows_example() -> Figure:
    """Train rows, a plain set, and two that were asked for margins, with long names."""
    names = [
        ("digits", "real"),
        ("second-any", "synthetic"),
        ("guided-entropy-0.5", "synthetic"),
        ("near", "synthetic"),
    ]
    rows = []
    for at, (name, source) in enumerate(names):
        for seed in range(3):
            row: dict[str, object] = {"set": name, "source": source, "seed": seed, "denied": 0.02 + 0.03 * at}
            quantiles = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
            row |= {f"margin_{each}": 0.2 - 0.05 * at + 0.2 * (each - 0.5) + 0.001 * seed for each in quantiles}
            is_asked, is_made = at > 1, source == "synthetic"
            row |= {"band_low": 0.0 if is_asked else np.nan, "band_high": 0.08 if is_asked else np.nan}
            row |= {"asked_from": 0.01 if is_asked else np.nan, "asked_to": 0.2 if is_asked else np.nan}
            row |= {"within": 0.5 if is_asked else np.nan, "plain_within": 0.1 if is_asked else np.nan}
            row |= {"denied_by_other": 0.03 + 0.03 * at, "nearer": 0.001 if is_made else np.nan}
            row |= {"coverage": 0.7 if is_made else np.nan, "expected_coverage": 0.97 if is_made else np.nan}
            row |= {"neighbour_ratio": 1.08 if is_made else np.nan}
            rows.append(row)
    return generated_rows_figure.draw(pd.DataFrame(rows))


def leaderboard_example() -> Figure:
    """Eleven methods at five shares in two panels."""
    shares, methods = (10, 20, 40, 60, 80), ("redraw", "puma", "mean", "cut", "easycore", "pd", "pe", "ccs", "moderate")
    panels = {label: {"runs": f"{label}-{{method}}-keep{{kept}}", "metric": "robust_accuracy"} for label in ("a", "b")}
    settings = LeaderboardSettings.model_validate(
        {
            "kind": "leaderboard",
            "attack": "cw",
            "methods": dict.fromkeys(("random", *methods), shares),
            "panels": panels,
        }
    )
    rows = []
    for panel in panels:
        for kept in shares:
            rows.append({"panel": panel, "kept": kept, "method": "random", "sd": 0.01, "told": ""})
            for at, method in enumerate(methods):
                difference = 0.01 * (at - 4)
                told = "higher" if difference > 0.03 else "cannot be told"
                row = {"panel": panel, "kept": kept, "method": method, "sd": 0.01, "told": told}
                row |= {"minus_random": difference, "minus_random_low": difference - 0.03}
                rows.append(row | {"minus_random_high": difference + 0.03})
    return leaderboard_figure.draw_leaderboard(pd.DataFrame(rows), settings)


FIGURES: dict[str, Callable[[], Figure]] = {
    "trade_off": trade_off_figure,
    "cost_frontier": cost_frontier_figure,
    "comparison": comparison_figure,
    "margin_histogram": lambda: margin_histogram.draw([margins(), margins()], 0.1),
    "margin_classes": margin_classes_figure,
    "training_curves": training_curves_figure,
    "kept_epochs": kept_epochs_figure,
    "robustness_curves": robustness_figure,
    "ratio_curves": ratio_curves_figure,
    "score_agreement": score_agreement_figure,
    "class_groups": class_groups_figure,
    "epsilon_distribution": epsilon_distribution_figure,
    "nearest_neighbours": nearest_neighbours_figure,
    "cost": cost_figure,
    "gate": gate_figure,
    "primary": primary_figure,
    "browse": browse_figure,
    "pruned_rows": pruned_rows_figure,
    "suspects": suspects_figure,
    "generated_rows": generated_rows_example,
    "leaderboard": leaderboard_example,
}
"""Figure of each report kind."""

OTHERS: dict[str, Callable[[], Figure]] = {
    "attack": attack_figure,
    "correlation": correlation_figure,
    "error curves": lambda: draw_error_curves(lines(), "angle_error"),
    "decay": decay_figure,
    "abstraction": abstraction_figure,
}
"""Figures of commands, and of the theories."""


def save_all(folder: Path) -> None:
    """Write every example, to be looked at."""
    for name, draw in (FIGURES | OTHERS).items():
        draw().savefig(folder / f"{name.replace(' ', '-')}.png", dpi=200)

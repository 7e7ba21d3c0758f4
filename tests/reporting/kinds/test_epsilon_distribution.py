from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import create_artifact
from pumalib.reporting.colours import run_styles
from pumalib.reporting.kinds.epsilon_distribution import (
    distribution_page,
    distribution_table,
    draw_distribution,
    make,
    read_epsilons,
)
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.run_files import RunFile
from pumalib.reporting.settings.epsilon_distribution import EpsilonDistributionSettings

SETTINGS = EpsilonDistributionSettings(kind="epsilon_distribution", runs=("trades", "puma"))
THREAT = ThreatSettings(epsilon=0.1)
STYLES = run_styles(["trades", "puma"])


def write_selection(path: Path, epsilons: list[float]) -> Path:
    with create_artifact(path, "selection") as file:
        file.attrs["pool_fingerprint"], file.attrs["mean_epsilon"], file.attrs["cuts"] = "f", np.mean(epsilons), "[]"
        file["rows"], file["epsilons"] = np.arange(len(epsilons)), np.array(epsilons, np.float32)
        file["reason"] = np.full(len(epsilons), -1, np.int16)
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[RunFile]:
    """Return PUMA's selections with two seeds, and one at the threat's epsilon."""
    epsilons = {("puma", 0): [-0.1, 0.0, 0.05, 0.1], ("puma", 1): [0.1] * 4, ("trades", 0): [0.1] * 2}
    return [RunFile(run, seed, write_selection(tmp_path / f"{run}{seed}.h5", e)) for (run, seed), e in epsilons.items()]


def test_shares_are_those_counted_by_hand(files: list[RunFile]) -> None:
    table = distribution_table(read_epsilons(files), 0.1)
    puma = table[table["run"] == "puma"].set_index("epsilon")["share_at_most"]
    for epsilon, share in [(-0.104, 0.0), (-0.09, 1 / 8), (0.03, 2 / 8), (0.09, 3 / 8), (0.104, 1.0)]:
        assert puma[puma.index <= epsilon].iloc[-1] == share
    assert set(table.loc[table["run"] == "trades", "share_at_most"]) == {0.0, 1.0}
    assert table.groupby("run")["num_rows"].first().to_dict() == {"puma": 8, "trades": 2}


def test_each_run_is_a_line_in_its_colour_and_the_threat_is_marked(files: list[RunFile]) -> None:
    (axes,) = draw_distribution(distribution_table(read_epsilons(files), 0.1), THREAT, STYLES).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["puma"].get_color() == STYLES["puma"].colour
    assert lines["trades"].get_ydata()[-1] == 100
    assert {0.0, 0.1} <= {line.get_xdata()[0] for line in axes.lines}
    assert axes.get_xlabel() == "epsilon (L-inf, pixel scale)"


def test_page_tells_means_negative_rows_and_seeds(files: list[RunFile]) -> None:
    page = distribution_page(read_epsilons(files), THREAT)
    assert "| `puma` | 4 | 0.05625 | 12.5 | 62.5 |" in page
    assert "| `trades` | 2 | 0.1 | 0.0 | 100.0 | 0.1 | 0.1 | 0.1 |" in page
    assert "no error bars. Seeds per run: 1 to 2." in page


def test_what_is_no_selection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        read_epsilons([RunFile("puma", 0, tmp_path / "nowhere.h5")])


def test_all_files_are_equal_over_two_draws(
    files: list[RunFile], drawn_twice: Callable[[Callable[[], ReportParts]], dict[str, bytes]]
) -> None:
    drawn_twice(lambda: make(SETTINGS, files=files, threat=THREAT, styles=STYLES))

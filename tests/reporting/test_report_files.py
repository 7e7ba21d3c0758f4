import subprocess
import sys
from pathlib import Path

import matplotlib
import pandas as pd
import pytest

from pumalib.files.artifacts import writing
from pumalib.reporting.figures import FigurePaths, figure_style, new_figure, save_figure
from pumalib.reporting.files import markdown_image, markdown_table, write_csv, write_text


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), writing(path) as temporary:
        temporary.write_text(str(1 / 0))
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_csv_keeps_every_digit_and_names_missing_numbers(tmp_path: Path) -> None:
    write_csv(tmp_path / "deep" / "t.csv", pd.DataFrame({"a": [0.1 + 0.2, float("nan")]}))
    assert (tmp_path / "deep" / "t.csv").read_bytes() == b"a\n0.30000000000000004\nnan\n"


def test_markdown_pieces() -> None:
    assert markdown_table(["run", "x"], [["a", "1"]]) == "| run | x |\n| :-- | --: |\n| a | 1 |"
    assert markdown_image(Path("r/a.md"), Path("r/figures/a.png"), "A") == "![A](figures/a.png)"


def test_a_users_own_matplotlib_settings_change_nothing_and_are_kept(tmp_path: Path) -> None:
    pages = []
    for name, size in (("a", 10.0), ("b", 31.0)):
        with matplotlib.rc_context({"font.size": size, "axes.facecolor": "red", "savefig.dpi": 17}):
            with figure_style():
                figure, (axes,) = new_figure(3.4, 2.0)
                axes.plot([0, 1], [1, 0], label="line")
                axes.legend()
            paths = FigurePaths(tmp_path / f"{name}.png", tmp_path / f"{name}.svg")
            save_figure(figure, *paths)
            assert matplotlib.rcParams["font.size"] == size
        pages.append([path.read_bytes() for path in paths])
    assert pages[0] == pages[1]


def test_drawing_loads_neither_torch_nor_pyplot() -> None:
    modules = ("comparison", "trade_off", "margin_histogram", "nearest_neighbours")
    code = f"""
import sys, importlib
for name in {modules!r}:
    importlib.import_module("pumalib.reporting.kinds." + name)
print({{"torch", "matplotlib.pyplot"}} & set(sys.modules))
"""
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"

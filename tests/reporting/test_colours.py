from itertools import combinations

import pytest

from pumalib.reporting.colours import BASELINE_DASHES, group_line_styles, run_line_styles, run_styles

RUNS = ["trades", "random-20", "pe-20", "pd-12", "pe+pd", "puma-20", "control-20"]


def test_families_keep_their_colours_whatever_else_the_study_has() -> None:
    alone = {run: run_styles([run])[run] for run in RUNS}
    assert run_styles(["aign", *reversed(RUNS)]) | alone == run_styles(["aign", *reversed(RUNS)])
    assert len(set(alone.values())) == len(RUNS)
    assert run_styles(["puma-20", "puma-40"])["puma-40"] == alone["puma-20"]


def test_other_methods_get_colours_that_no_family_of_the_study_has() -> None:
    names = ["aign", "el2n", "pdq", "perceptron"]
    styles = run_styles([*names, *RUNS])
    assert len({style.colour for style in styles.values()}) == len(names) + len(RUNS)


@pytest.mark.parametrize("names", [("el2n-10", "el2n-keep30", "el2n-eps-0.5"), ("small-0", "small-60", "small")])
def test_runs_of_one_method_have_one_colour(names: tuple[str, ...]) -> None:
    styles = run_styles(["first", *names, "last"])
    assert len({styles[name] for name in names}) == 1
    assert len(set(styles.values())) == 3


def test_a_run_added_at_the_end_changes_no_other() -> None:
    names = [f"method{letter}" for letter in "abcdefghijkl"]
    before = run_styles(names)
    assert {name: style for name, style in run_styles([*names, "more"]).items() if name != "more"} == before


def test_a_run_has_one_colour_in_every_figure_and_lines_of_one_figure_are_told_apart() -> None:
    runs = [
        *RUNS,
        *(f"puma-{amount}" for amount in range(0, 60, 5) if amount != 20),
        *(f"m{c}x" for c in "abcdefghijklm"),
    ]
    styles = run_styles(runs)
    for part in (runs, runs[5:9], runs[::-1]):
        lines = run_line_styles(part, styles, "trades")
        assert {run: line.colour for run, line in lines.items()} == {run: styles[run].colour for run in part}
        assert len(set(lines.values())) == len(part)
    assert run_line_styles(runs, styles, "trades")["trades"].dashes == BASELINE_DASHES
    assert run_line_styles(["puma-5"], styles)["puma-5"].dashes == "-"


def test_a_group_has_the_colour_of_its_runs_and_groups_are_told_apart() -> None:
    runs = ["puma-0", "puma-20", "small-0", "small-20", "pe-20", "trades"]
    styles = run_styles(runs)
    groups = {"4k": ["small-0", "small-20"], "20k": ["puma-0", "puma-20"], "all": runs, "again": ["puma-0"]}
    lines = group_line_styles(groups, styles)
    assert lines["4k"].colour == styles["small-0"].colour
    assert lines["20k"].colour == lines["again"].colour == styles["puma-0"].colour
    assert all(one != other for one, other in combinations(lines.values(), 2))
    many = group_line_styles({f"group {letter}": runs for letter in "abcdefghijkl"}, styles)
    assert len(set(many.values())) == 12


def test_no_two_of_many_groups_look_the_same() -> None:
    """Places 0 to 3 and 7 have one colour: the fifth has the dashes of the first again, and the marker of its place."""
    names = ["trades-a", "trades-b", "trades-c", "trades-d", "pe", "pd", "puma", "trades-e"]
    lines = group_line_styles({name: [name] for name in names}, run_styles(names))
    assert len({lines[name].colour for name in names if name.startswith("trades")}) == 1
    assert len(set(lines.values())) == len(names)

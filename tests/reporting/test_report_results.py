from pathlib import Path

import pandas as pd
import pytest

from pumalib.errors import DataError
from pumalib.reporting.results import (
    CLEAN_ACCURACY,
    check_results,
    chosen_attacks,
    chosen_runs,
    read_results,
    refuse_unequal_test_sets,
    robust_accuracy,
    values_by_seed,
)


def test_results_survive_a_round_trip_through_csv(three_runs: pd.DataFrame, tmp_path: Path) -> None:
    results = three_runs.replace({"run": {"trades": "null", "puma-20": "7"}})
    results.loc[results["run"] == "null", "mean_epsilon"] = float("nan")
    results.to_csv(tmp_path / "results.csv", index=False)
    read = read_results(tmp_path / "results.csv")
    assert chosen_runs(read, None) == ["null", "7", "control-20"]
    assert chosen_attacks(read, None) == ["cw"]
    assert read["value"].tolist() == results["value"].tolist()
    assert read["mean_epsilon"].isna().sum() == 6


def test_attacks_that_are_left_open_are_those_of_every_run(seven_runs: pd.DataFrame) -> None:
    assert chosen_attacks(seven_runs, None) == ["cw", "pgd"]
    fewer = seven_runs[(seven_runs["attack"] != "pgd") | (seven_runs["run"] != "pd-12")]
    assert chosen_attacks(fewer, None) == ["cw"]
    assert chosen_attacks(fewer, ["pgd"]) == ["pgd"]


def test_values_come_by_seed_in_order(three_runs: pd.DataFrame) -> None:
    shuffled = three_runs.sample(frac=1, random_state=0)
    assert values_by_seed(shuffled, "puma-20", CLEAN_ACCURACY) == {0: 0.91, 1: 0.93, 2: 0.95}
    assert list(values_by_seed(shuffled, "puma-20", CLEAN_ACCURACY)) == [0, 1, 2]


def test_runs_keep_the_order_that_was_asked_for(three_runs: pd.DataFrame) -> None:
    assert chosen_runs(three_runs, ("puma-20", "trades")) == ["puma-20", "trades"]


def test_unknown_runs_and_attacks_are_refused_with_the_nearest_name(three_runs: pd.DataFrame) -> None:
    with pytest.raises(DataError, match='no run "pumma-20"; did you mean "puma-20"'):
        chosen_runs(three_runs, ("pumma-20",))
    with pytest.raises(DataError, match='no run "trade"; did you mean "trades"'):
        chosen_runs(three_runs, None, "trade")
    with pytest.raises(DataError, match='no attack "pgd"; valid: cw'):
        chosen_attacks(three_runs, ("pgd",))
    with pytest.raises(DataError, match='no attack "none"'):
        chosen_attacks(three_runs, ("none",))


def test_a_run_that_was_not_attacked_is_refused(three_runs: pd.DataFrame) -> None:
    partial = three_runs[~((three_runs["run"] == "puma-20") & (three_runs["attack"] == "cw"))]
    with pytest.raises(DataError, match=r'no robust accuracy \(cw\) of run "puma-20"'):
        values_by_seed(partial, "puma-20", robust_accuracy("cw"))


def test_missing_columns_are_refused(three_runs: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="lacks pool, value"):
        check_results(three_runs.drop(columns=["value", "pool"]))


@pytest.mark.parametrize("value", [-0.01, 93.4, float("nan")])
def test_values_that_are_no_shares_are_refused(three_runs: pd.DataFrame, value: float) -> None:
    three_runs.loc[4, "value"] = value
    with pytest.raises(DataError, match=r'values in \[0, 1\].*run "trades", seed 1, attack "cw"'):
        check_results(three_runs)


def test_repeated_rows_are_refused(three_runs: pd.DataFrame) -> None:
    with pytest.raises(DataError, match='two for run "trades", seed 0'):
        check_results(pd.concat([three_runs, three_runs.head(1)]))


def test_different_test_sets_of_compared_runs_are_refused(three_runs: pd.DataFrame) -> None:
    three_runs.loc[three_runs["run"] == "puma-20", "num_samples"] = 400
    refuse_unequal_test_sets(three_runs, ["trades", "control-20"])
    with pytest.raises(DataError, match="same num_samples"):
        refuse_unequal_test_sets(three_runs, ["trades", "puma-20"])

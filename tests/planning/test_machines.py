"""The arithmetic of predictions, on made-up counts and a made-up machine, by hand."""

from dataclasses import replace

import pytest

from pumalib.planning.machines import MACHINES, Machine

MADE_UP = Machine(
    "made up",
    peak={"float32": 100.0, "tf32": 400.0, "bfloat16": 1000.0},
    bandwidth=10.0,
    memory=1e9,
    reached={"float32": 0.5, "tf32": 0.25, "bfloat16": 0.5},
    bandwidth_reached=0.8,
    launch_seconds=1.0,
)
WORK = {"launches": 3.0, "product bytes": 40.0, "other bytes": 24.0, "flops float32": 1000.0}


def test_arithmetic_then_memory_of_the_rest() -> None:
    # 1000 / (100 x 0.5) = 20 s, longer than the products' 40 / (10 x 0.8) = 5 s; and 24 / 8 = 3 s of all else.
    assert MADE_UP.seconds(WORK) == pytest.approx(23)


def test_products_with_little_arithmetic_wait_for_memory() -> None:
    assert MADE_UP.seconds({**WORK, "flops float32": 50.0}) == pytest.approx(5 + 3)


def test_many_launches_decide_where_each_does_little() -> None:
    assert MADE_UP.seconds({**WORK, "launches": 60.0}) == pytest.approx(60)


def test_tf32_and_bfloat16_have_rates_of_their_own() -> None:
    assert replace(MADE_UP, products="tf32").seconds(WORK) == pytest.approx(1000 / (400 * 0.25) + 3)
    both = {**WORK, "flops bfloat16": 5000.0}
    assert MADE_UP.seconds(both) == pytest.approx(1000 / 50 + 5000 / 500 + 3)


def test_no_time_is_below_what_the_data_sheet_allows() -> None:
    assert MADE_UP.at_peak().seconds(WORK) == pytest.approx(1000 / 100 + 2.4)
    for machine in MACHINES.values():
        assert machine.at_peak().seconds(WORK) <= machine.seconds(WORK)


def test_float32_is_float32_unless_tf32_is_asked_for() -> None:
    assert {machine.products for machine in MACHINES.values()} == {"float32"}

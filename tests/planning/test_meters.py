"""Lines through measurements, and pieces that are counted."""

import pytest
import torch
from torch import nn

from pumalib.planning.meters import Meter, Piece, Reading, Stopwatch, counted, line_through, timed


def test_a_line_splits_what_is_fixed_from_what_each_row_takes() -> None:
    line = line_through(Reading(2, {"seconds": 5.0}), Reading(6, {"seconds": 9.0}))
    assert line.fixed == {"seconds": 3.0}
    assert line.per_row == {"seconds": 1.0}
    assert line.at(500) == {"seconds": 503.0}


def test_noise_gives_neither_a_negative_slope_nor_a_negative_start() -> None:
    start = 2, {"seconds": 5.0}
    assert line_through(Reading(*start), Reading(4, {"seconds": 4.0})).at(100) == {"seconds": 4.0}
    assert line_through(Reading(*start), Reading(4, {"seconds": 19.0})).fixed == {"seconds": 0.0}


def test_rows_of_more_passes_count_as_more_rows() -> None:
    # 2 of something are fixed, and a pass takes 3: two rows of 10 passes take 62, four of 7 take 86.
    line = line_through(Reading(2, {"flops": 62.0}, 10), Reading(4, {"flops": 86.0}, 7))
    assert line.fixed == {"flops": 2.0}
    assert line.per_row == {"flops": 21.0}
    assert (line.passes, line.at(4)) == (7, {"flops": 86.0})


def linear_piece(full: int) -> Piece:
    def run(rows: int, meter: Meter, repetitions: int) -> float:
        layer, inputs = nn.Linear(30, 20), torch.zeros(rows, 30)
        for _ in range(repetitions + 1):
            meter.lap()
            with torch.no_grad():
                layer(inputs)
        meter.lap()
        return 1.0

    return Piece(full, run)


def test_counts_are_linear_in_the_rows_and_weights_are_fixed() -> None:
    line = counted(linear_piece(500))
    assert line.per_row == {
        "launches": 0,
        "flops float32": 2 * 30 * 20,
        "product bytes": 4 * (30 + 20),
        "other bytes": 0,
    }
    assert line.fixed == {"launches": 1, "flops float32": 0, "product bytes": 4 * (30 * 20 + 20), "other bytes": 0}
    assert line.passes == 1


@pytest.mark.parametrize("full", [1, 3, 700])
def test_timing_gives_a_time_of_a_whole_batch(full: int) -> None:
    line = timed(linear_piece(full), seconds=0.2)
    assert line.at(full)["seconds"] > 0
    assert line.passes == 1


def test_the_first_repetition_is_left_out_and_the_lower_quartile_taken() -> None:
    class Replayed(Stopwatch):
        def read(self) -> dict[str, float]:
            return {"seconds": readings.pop(0)}

    readings = [0.0, 100.0, 103.0, 104.0, 106.0, 110.0]
    meter = Replayed()
    for _ in range(6):
        meter.lap()
    assert [lap["seconds"] for lap in meter.laps] == [3, 1, 2, 4]
    assert meter.typical() == {"seconds": 2}

from pathlib import Path

import pytest

from tests.golden.numbers import Numbers, Tolerance, compare, read_numbers
from tests.golden.record import NUMBERS, measure

ADVICE = f"""
Numbers moved that {NUMBERS.name} holds. Where that is meant, run

    python -m tests.golden.record

and say in the changelog, under Results, which numbers moved and by how much. Where it is not, this is a bug:
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    return measure(tmp_path_factory.mktemp("golden"))


def test_no_number_of_the_golden_studies_moves(found: Numbers) -> None:
    moved = compare(found, *read_numbers(NUMBERS))
    assert not moved, ADVICE + "\n".join(moved)


def test_the_recorded_numbers_are_of_the_files_that_the_studies_make(found: Numbers) -> None:
    assert list(read_numbers(NUMBERS)[0]) == list(found)


def test_every_number_that_moved_is_told_with_what_was_expected_and_what_came() -> None:
    expected: Numbers = {
        "golden/model/trades": {"bias": {"count": 4, "norm": 1.0}, "weight": {"count": 4, "norm": 2.0}}
    }
    found: Numbers = {"golden/model/trades": {"bias": {"count": 5, "norm": 1.5}, "gain": {"count": 4, "norm": 2.0}}}
    assert compare(found, expected, Tolerance(0.1, 0)) == [
        "golden/model/trades bias, count: expected 4, got 5, more than 4.0e-01 off",
        "golden/model/trades bias, norm: expected 1, got 1.5, more than 1.0e-01 off",
        "golden/model/trades gain: is new",
        "golden/model/trades weight: is missing",
    ]


def test_one_image_may_fall_into_another_class_where_the_tolerance_has_images() -> None:
    expected: Numbers = {"golden/attack/trades/cw": {"clean_right": {"count": 60, "sum": 40.0}}}
    found: Numbers = {"golden/attack/trades/cw": {"clean_right": {"count": 60, "sum": 41.0}}}
    assert not compare(found, expected, Tolerance(0.0, 1))
    assert len(compare(found, expected, Tolerance(0.0, 0))) == 1


def test_files_that_were_not_made_are_not_missed(tmp_path: Path) -> None:
    assert not compare({}, read_numbers(NUMBERS)[0])

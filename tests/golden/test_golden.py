from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

import pytest

from pumalib.study.file import read_study_file
from tests.golden.numbers import OTHER, STEADY, Numbers, Tolerance, compare, read_numbers
from tests.golden.record import FOLDER, NUMBERS, STUDIES, measure

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


def test_what_rounding_moves_is_too_much_for_steady_numbers_on_another_processor_and_elsewhere_is_not() -> None:
    expected: Numbers = {"model/trades": {"bias": {"count": 4, "norm": 1.0}}}
    found: Numbers = {"model/trades": {"bias": {"count": 4, "norm": 1.01}}}
    assert not compare(_in_study("golden", found), _in_study("golden", expected), OTHER)
    assert compare(_in_study("golden-steps", found), _in_study("golden-steps", expected), OTHER)


def _in_study(study: str, numbers: Numbers) -> Numbers:
    return {f"{study}/{file}": arrays for file, arrays in numbers.items()}


def test_each_method_of_the_studies_has_steady_numbers_too() -> None:
    named = {study: set(_methods_of(read_study_file(FOLDER / study))) for study in STUDIES}
    steady = {study for study in STUDIES if fnmatch(read_study_file(FOLDER / study)["study"], STEADY)}
    assert set.union(*named.values()) == set.union(*(named[study] for study in steady))


def _methods_of(settings: Any) -> Iterator[tuple[str, str]]:
    for key, value in settings.items() if isinstance(settings, dict) else enumerate(settings):
        if key in ("method", "policy"):
            yield key, value
        elif isinstance(value, dict | list):
            yield from _methods_of(value)


def test_every_number_that_moved_is_told_with_what_was_expected_and_what_came() -> None:
    expected: Numbers = {
        "golden/model/trades": {"bias": {"count": 4, "norm": 1.0}, "weight": {"count": 4, "norm": 2.0}}
    }
    found: Numbers = {"golden/model/trades": {"bias": {"count": 5, "norm": 1.5}, "gain": {"count": 4, "norm": 2.0}}}
    assert compare(found, expected, {"*": Tolerance(0.1, 0)}) == [
        "golden/model/trades bias, count: expected 4, got 5, more than 4.0e-01 off",
        "golden/model/trades bias, norm: expected 1, got 1.5, more than 1.0e-01 off",
        "golden/model/trades gain: is new",
        "golden/model/trades weight: is missing",
    ]


def test_one_image_may_fall_into_another_class_where_the_tolerance_has_images() -> None:
    expected: Numbers = {"golden/attack/trades/cw": {"clean_right": {"count": 60, "sum": 40.0}}}
    found: Numbers = {"golden/attack/trades/cw": {"clean_right": {"count": 60, "sum": 41.0}}}
    assert not compare(found, expected, {"*": Tolerance(0.0, 1)})
    assert len(compare(found, expected, {"*": Tolerance(0.0, 0)})) == 1


def test_files_that_were_not_made_are_not_missed() -> None:
    expected = read_numbers(NUMBERS)[0]
    name = next(iter(expected))
    assert not compare({name: expected[name]}, expected)

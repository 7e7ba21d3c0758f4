"""Worst cases over attacks in a study: what they take over, and what is refused before any job."""

from typing import Any

import pytest

from pumalib.attacks.settings import WorstOfSettings
from pumalib.errors import ConfigError
from pumalib.study.file import load_merged_study
from pumalib.study.plan import plan_of
from pumalib.study.slices import settings_used
from pumalib.study.study import Study


def worst_of(*attacks: str, **others: Any) -> dict[str, Any]:
    return {"method": "worst_of", "attacks": list(attacks), **others}


def read(study: dict[str, Any], attacks: dict[str, Any]) -> Study:
    study["attacks"] |= {"square": {"method": "square"}, **attacks}
    checked = load_merged_study(study, [])
    assert isinstance(checked, Study)
    return checked


def test_a_worst_case_is_on_the_images_and_at_the_threat_of_its_attacks(study: dict[str, Any]) -> None:
    shared = {"split": "validation", "num_images": 20, "epsilon": "1/10", "norm": "linf"}
    attacks = {"a": {"method": "pgd", **shared}, "b": {"method": "square", **shared}, "worst": worst_of("a", "b")}
    checked = read(study, attacks)
    worst = checked.settings.attacks["worst"]
    assert isinstance(worst, WorstOfSettings)
    assert (worst.split, worst.num_images, worst.epsilon, worst.norm) == ("validation", 20, 0.1, "linf")
    assert checked.worst_of == {"worst": ("a", "b")}
    assert settings_used(checked)["attacks"]["worst"]["epsilon"] == 0.1


def test_the_threat_spelled_out_is_the_threat_left_out(study: dict[str, Any]) -> None:
    attacks = {"a": {"method": "pgd", "epsilon": 0.2, "norm": "linf"}, "worst": worst_of("cw", "a")}
    assert read(study, attacks).worst_of == {"worst": ("cw", "a")}


def test_a_worst_case_may_cover_fewer_runs_than_its_attacks(study: dict[str, Any]) -> None:
    attacks = {"pgd": {"method": "pgd", "runs": ["trades", "puma"]}, "worst": worst_of("cw", "pgd", runs=["puma"])}
    checked = read(study, attacks)
    assert checked.attacks_of("puma") == ["cw", "square", "pgd", "worst"]
    assert checked.attacks_of("trades") == ["cw", "square", "pgd"]


def test_the_plan_counts_no_attack_for_a_worst_case(study: dict[str, Any]) -> None:
    checked = read(study, {"worst": worst_of("cw", "square")})
    assert plan_of(checked).jobs["attacks"] == 2 * 2 * len(checked.runs)  # attacks, seeds


def test_a_worst_case_keeps_points_if_its_attacks_do(study: dict[str, Any]) -> None:
    attacks = {name: {"method": name, "keep_points": True} for name in ("pgd", "square")}
    checked = read(study, {**attacks, "worst": worst_of("pgd", "square", keep_points=True)})
    assert checked.settings.attacks["worst"].keep_points
    checked = read(study, {**attacks, "worst": worst_of("pgd", "cw")})
    assert not checked.settings.attacks["worst"].keep_points


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        (
            {"a": {"method": "pgd", "keep_points": True}, "worst": worst_of("a", "cw", keep_points=True)},
            "expected attacks that keep points in a worst_of that does, got cw, which keeps none, at "
            "attacks.worst.attacks[1]; say attacks.cw.keep_points: true, or leave attacks.worst.keep_points out",
        ),
        ({"worst": worst_of("cw")}, "expected at least 2 under attacks, got 1 at attacks.worst.attacks"),
        ({"worst": worst_of("cw", "cw")}, "expected each value once"),
        ({"worst": {"method": "worst_of"}}, "expected a value for attacks, got none at attacks.worst.attacks"),
        (
            {"worst": worst_of("cw", "squares")},
            'expected the name of an attack, got "squares"; did you mean "square"? at attacks.worst.attacks[1]',
        ),
        ({"worst": worst_of("nothing", "cw")}, 'expected the name of an attack, got "nothing"'),
        (
            {"worst": worst_of("cw", "worst")},
            "expected other attacks in a worst_of, got worst itself at attacks.worst.attacks[1]",
        ),
        (
            {"inner": worst_of("cw", "square"), "worst": worst_of("cw", "inner")},
            "expected an attack, got inner, which is a worst_of, at attacks.worst.attacks[1]",
        ),
        (
            {"worst": worst_of("cw", "held"), "held": {"method": "pgd", "split": "validation"}},
            "expected attacks of one split in a worst_of, got held with validation beside test at "
            "attacks.worst.attacks[1]; give all of worst the same split",
        ),
        (
            {"worst": worst_of("cw", "few"), "few": {"method": "pgd", "num_images": 9}},
            "expected attacks of one num_images in a worst_of, got few with 9 beside all at attacks.worst.attacks[1]",
        ),
        (
            {"worst": worst_of("cw", "near"), "near": {"method": "pgd", "epsilon": 0.1}},
            "expected attacks of one epsilon in a worst_of, got near with 0.1 beside 0.2 at attacks.worst.attacks[1]",
        ),
        (
            {"worst": worst_of("cw", "square", epsilon=0.1)},
            "expected attacks of one epsilon in a worst_of, got cw with 0.2 beside 0.1 at attacks.worst.attacks[0]",
        ),
        ({"worst": worst_of("cw", "far"), "far": {"method": "pgd", "norm": "l2"}}, "expected the threat's norm linf"),
        (
            {"worst": worst_of("cw", "clean"), "clean": {"method": "clean"}},
            "expected an attack that perturbs, got clean, which measures clean accuracy alone, at",
        ),
        (
            {"worst": worst_of("cw", "some"), "some": {"method": "pgd", "runs": ["puma"]}},
            "expected attacks on every run of a worst_of, got some, which leaves trades out, at "
            "attacks.worst.attacks[1]; add trades to attacks.some.runs, or give attacks.worst.runs",
        ),
        (
            {"worst": worst_of("cw", "square", runs=[])},
            "expected at least 1 under runs, got none at attacks.worst.runs",
        ),
        ({"worst": worst_of("cw", "square", steps=3)}, 'expected a known key, got "steps"'),
    ],
)
def test_worst_cases_that_cannot_be_made_are_refused(
    study: dict[str, Any], attacks: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        read(study, attacks)
    assert message in str(error.value)


def test_a_report_of_kept_epochs_under_a_worst_case_is_refused(study: dict[str, Any]) -> None:
    study["runs"]["trades"] = {"training": {"keep_every": 1}}
    study["reports"] = {"curves": {"kind": "kept_epochs", "runs": ["trades"], "attack": "worst"}}
    with pytest.raises(
        ConfigError, match=r"expected an attack on kept epochs, got worst, .* at reports\.curves\.attack"
    ):
        read(study, {"worst": worst_of("cw", "square")})

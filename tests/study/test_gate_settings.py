"""The key `gate`: what is refused before a job, and the report that it makes."""

from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.study.checks import check_study
from pumalib.study.study import parse_study

GATE = {"run": "trades", "weaker": ["weak"], "attack": "cw-validation", "score": "margin"}


def with_gate(study: dict[str, Any], **changes: Any) -> dict[str, Any]:
    study["gate"] = {**GATE, **changes}
    study["scores"]["real-margin"] = {"method": "deepfool", "model": "trades", "pool": "real"}
    study["runs"]["weak"] = {"epsilon": {"policy": "fixed", "epsilon": 0.1}}
    study["runs"]["weak-wide"] = {
        "epsilon": {"policy": "fixed", "epsilon": 0.1},
        "architecture": {"name": "mlp", "width": 8},
    }
    study["runs"]["strong"] = {"epsilon": {"policy": "fixed", "epsilon": 0.3}}
    for name, own in (("cw-validation", {}), ("cw-small", {"epsilon": 0.1})):
        study["attacks"][name] = {"method": "cw_pgd", "steps": 2, "split": "validation", **own}
    return study


def test_gate_makes_a_report_before_all_others(study: dict[str, Any]) -> None:
    parsed = parse_study(with_gate(study))
    check_study(parsed)
    assert list(parsed.settings.reports) == ["gate", "table", "trade-off"]
    assert parsed.settings.reports["gate"].runs_needed(parsed) == ["trades", "weak"]


def test_weights_kept_on_the_way_are_no_other_training(study: dict[str, Any]) -> None:
    study = with_gate(study)
    study["runs"]["trades"] = {"training": {"keep_every": 1}}
    check_study(parse_study(study))


def test_an_epoch_that_validation_rows_chose_is_refused(study: dict[str, Any]) -> None:
    study = with_gate(study)
    study["defaults"]["training"]["checkpoint"] = "best"
    with pytest.raises(ConfigError, match="expected a run of the last epoch, got trades with checkpoint: best at gate"):
        check_study(parse_study(study))


def test_study_without_a_gate_has_no_such_report(study: dict[str, Any]) -> None:
    assert list(parse_study(study).settings.reports) == ["table", "trade-off"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": "trads"}, 'got "trads"; did you mean "trades"\\? at gate.run'),
        ({"weaker": ["weak", "wek"]}, 'got "wek"; did you mean "weak"\\? at gate.weaker\\[1\\]'),
        (
            {"run": "weak", "weaker": ["trades"]},
            "expected a run at the threat's epsilon 0.2, got weak at 0.1 at gate.run",
        ),
        (
            {"score": "real-margin"},
            "expected margins of pool digits\\+100, as that of trades, got real-margin of real at",
        ),
        ({"weaker": ["trades"]}, 'expected other runs than "trades" under weaker'),
        (
            {"weaker": ["strong"]},
            "expected the training of trades at an epsilon below 0.2, got strong with epsilon 0.3",
        ),
        ({"weaker": ["weak-wide"]}, "expected the training of trades .* got weak-wide with another architecture"),
        ({"weaker": ["puma"]}, "expected a run with one epsilon for every row and nothing pruned, got puma"),
        ({"weaker": ["pruned"]}, "expected a run with one epsilon for every row and nothing pruned, got pruned"),
        ({"attack": "cw"}, "expected an attack on validation rows .* got cw on test rows at gate.attack"),
        ({"attack": "cw-small"}, "expected an attack at the threat, got cw-small with its own epsilon"),
        ({"score": "margn"}, 'got "margn"; did you mean "margin"\\? at gate.score'),
    ],
)
def test_gate_that_asks_something_else_is_refused(study: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_study(parse_study(with_gate(study, **changes)))


def test_report_of_that_kind_belongs_to_the_key(study: dict[str, Any]) -> None:
    study = with_gate(study)
    question = study.pop("gate")
    study["reports"]["mine"] = {"kind": "gate", "question": question}
    with pytest.raises(ConfigError, match="expected the gate under the key gate alone, got a report of kind gate at"):
        check_study(parse_study(study))


def test_report_named_gate_beside_the_key_is_refused(study: dict[str, Any]) -> None:
    study = with_gate(study)
    study["reports"]["gate"] = {"kind": "comparison", "baseline": "trades"}
    with pytest.raises(ConfigError, match='expected another name than "gate" under reports'):
        parse_study(study)

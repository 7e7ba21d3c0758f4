import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from pumalib.reporting.report_settings import ReportSettings
from pumalib.reporting.settings.comparison import ComparisonSettings
from pumalib.reporting.settings.trade_off import TradeOffSettings
from pumalib.study.reports import AnyReportSettings

ADAPTER: TypeAdapter[ReportSettings] = TypeAdapter(AnyReportSettings)


@pytest.mark.parametrize(
    "raw",
    [
        {"kind": "comparison", "baseline": "trades"},
        {
            "kind": "comparison",
            "baseline": "trades",
            "control": "control-20",
            "runs": ["puma-20"],
            "attacks": ["cw"],
        },
        {"kind": "trade_off", "baseline": "trades", "attack": "cw"},
        {"kind": "margin_histogram", "score": "margin", "run": "puma-20"},
        {"kind": "nearest_neighbours", "pool": "digits+10k", "seed": 0},
        {"kind": "comparison", "baseline": "trades", "published": {"puma-20": {"clean_accuracy": 91.37}}},
        {"kind": "trade_off", "baseline": "trades", "attack": "cw", "frontiers": {"epsilon": ["trades", "trades-6"]}},
        {"kind": "margin_histogram", "score": "margin", "beside": "fast-margin"},
        {"kind": "training_curves", "runs": ["puma-20"], "baseline": "random-20"},
        {"kind": "ratio_curves", "lines": {"1M": ["puma-0"]}, "baselines": {"1M": "trades"}, "attack": "cw"},
        {"kind": "robustness_curves", "runs": ["puma-0"], "baseline": "trades", "attack": "shortest", "up_to": 3},
        {"kind": "cost"},
    ],
)
def test_each_kind_is_told_by_its_name(raw: dict[str, object]) -> None:
    assert ADAPTER.validate_python(raw).kind == raw["kind"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"kind": "pie_chart"}, "pie_chart"),
        ({"kind": "trade_off", "baseline": "trades"}, "attack"),
        ({"kind": "comparison", "baseline": "trades", "colour": "red"}, "colour"),
        ({"kind": "comparison", "baseline": "trades", "runs": []}, "at least 1"),
        ({"kind": "comparison", "baseline": "trades", "runs": ["a", "a"]}, "a more than once"),
        ({"kind": "comparison", "baseline": "trades", "control": "trades"}, "other than the baseline"),
        ({"kind": "nearest_neighbours", "pool": "p", "seed": -1}, "greater than or equal to 0"),
        ({"kind": "comparison", "baseline": "a", "published": {"a": {"clean_accuracy": 101}}}, "less than or equal"),
        ({"kind": "trade_off", "baseline": "a", "attack": "cw", "frontiers": {"e": ["a"]}}, "at least 2"),
        ({"kind": "margin_histogram", "score": "margin", "beside": "margin"}, 'another score than score, got "margin"'),
        ({"kind": "training_curves", "runs": []}, "at least 1"),
        ({"kind": "ratio_curves", "lines": {}, "attack": "cw"}, "at least 1"),
        ({"kind": "robustness_curves", "runs": ["a"], "attack": "b", "up_to": 0.5}, "greater than or equal to 1"),
        ({"kind": "ratio_curves", "lines": {"1M": []}, "attack": "cw"}, "at least 1"),
        (
            {"kind": "ratio_curves", "lines": {"1M": ["a"]}, "baselines": {"2M": "b"}, "attack": "cw"},
            'a label of lines, got "2M"; did you mean "1M"',
        ),
    ],
)
def test_impossible_reports_are_refused(raw: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ADAPTER.validate_python(raw)


def test_every_field_is_described_in_the_json_schema() -> None:
    schema = ADAPTER.json_schema()
    for model in schema["$defs"].values():
        assert all("description" in field for field in model["properties"].values())


def test_settings_are_frozen() -> None:
    settings = TradeOffSettings(kind="trade_off", baseline="trades", attack="cw")
    with pytest.raises(ValidationError):
        settings.attack = "pgd"  # type: ignore[misc]
    assert ComparisonSettings(kind="comparison", baseline="trades").runs is None


def test_importing_settings_loads_neither_torch_nor_matplotlib() -> None:
    heavy = {"torch", "matplotlib", "pandas", "numpy"}
    code = f"import sys, pumalib.study.reports; print({heavy!r} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"

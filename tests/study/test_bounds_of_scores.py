# ruff: noqa: E501 (messages stand whole)
"""What a study may do with a score that stops at a distance; the threat's epsilon is 0.2."""

from collections.abc import Callable
from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.scores.settings import DeepfoolSettings
from pumalib.study.file import load_merged_study

Put = Callable[[dict[str, Any], str, Any], dict[str, Any]]
MARGIN = {"policy": "margin", "score": "margin"}


@pytest.fixture
def stopping(study: dict[str, Any]) -> dict[str, Any]:
    """Return a study whose margins stop at 0.25, with a second, whole score."""
    study["scores"]["margin"]["up_to"] = 0.25
    study["scores"]["whole"] = {"method": "refined_margin", "model": "trades"}
    return study


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("runs|puma|epsilon", {**MARGIN, "cap": 0.25}),
        ("runs|puma|epsilon", {**MARGIN, "gap": 0.05}),
        ("runs|puma|epsilon", {**MARGIN, "negative": "drop", "policy": "mean_of_margin"}),
        ("runs|puma|epsilon", {**MARGIN, "score": "whole", "cap": 0.5}),
        ("runs|puma|epsilon", {"policy": "fixed", "where": {"score": "margin", "below": 0.25}}),
        ("runs|pruned|prune", [{"by": "margin", "at_least": 0.25}, {"by": "margin", "below": 0}]),
        ("runs|pruned|prune", [{"by": "whole", "above": 0.3}]),
        ("runs|pruned|prune", [{"by": "margin", "drop": "hardest", "fraction": 0.1}]),
        ("reports|r", {"kind": "margin_histogram", "score": "whole"}),
        ("reports|r", {"kind": "epsilon_distribution", "runs": ["puma"]}),
        ("reports|r", {"kind": "cost"}),
    ],
)
def test_a_study_that_needs_no_more_than_the_bound_is_read(
    stopping: dict[str, Any], put: Put, path: str, value: Any
) -> None:
    load_merged_study(put(stopping, path, value), [])


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("scores|margin|up_to", 0.1,
         "expected up_to of at least 0.2 at scores.margin, for cap 0.2 and gap 0 at runs.puma.epsilon, got 0.1; raise up_to, or leave it out"),
        ("runs|puma|epsilon", {**MARGIN, "cap": 0.3}, "expected up_to of at least 0.3 at scores.margin, for cap 0.3 and gap 0"),
        ("runs|puma|epsilon", {**MARGIN, "gap": 0.06}, "expected up_to of at least 0.26 at scores.margin, for cap 0.2 and gap 0.06"),
        ("runs|puma", {"far": {"score": "margin", "beyond": 0.3}, "training": {"attack_statistics": "running"}},
         "expected up_to of at least 0.3 at scores.margin, for beyond at runs.puma.far"),
        ("runs|puma|epsilon", {**MARGIN, "cap": 0.3, "policy": "shuffled_margin"}, "expected up_to of at least 0.3"),
        ("runs|puma|epsilon", {"policy": "fixed", "where": {"score": "margin", "at_most": 0.25}},
         "expected a threshold within the up_to 0.25 of scores.margin, got 0.25 at runs.puma.epsilon.where.at_most; raise up_to, or leave it out"),
        ("runs|pruned|prune", [{"by": "whole", "above": 0.3}, {"by": "margin", "above": 0.3}],
         "expected a threshold within the up_to 0.25 of scores.margin, got 0.3 at runs.pruned.prune[1].above"),
        ("runs|pruned|prune", [{"by": "margin", "below": -0.3}], "got -0.3 at runs.pruned.prune[0].below"),
        ("scores|margin|up_to", 0, "greater than 0"),
        ("scores|margin|up_to", 8, "expected an amount on the pixel scale [0, 1], where images are at most 1 apart, got 8 at scores.margin.up_to"),
        ("scores|whole", {"method": "deepfool_published", "model": "trades", "up_to": 0.3}, 'got "up_to"'),
        ("reports|r", {"kind": "margin_histogram", "score": "margin"},
         "expected a score that is measured to its end, got margin, which stops at up_to 0.25, at reports.r.score; leave up_to out at scores.margin, or name another score"),
        ("reports|r", {"kind": "margin_histogram", "score": "whole", "beside": "margin"}, "got margin, which stops at up_to 0.25, at reports.r.beside"),
        ("reports|r", {"kind": "margin_classes", "score": "margin"}, "got margin, which stops at up_to 0.25, at reports.r.score"),
        ("reports|r", {"kind": "score_agreement", "scores": ["whole", "margin"]}, "got margin, which stops at up_to 0.25, at reports.r.scores[1]"),
        ("reports|r", {"kind": "pruned_rows", "run": "pruned"}, "got margin, which stops at up_to 0.25, at reports.r.run"),
    ],
)  # fmt: skip
def test_what_needs_more_is_refused_before_any_job(
    stopping: dict[str, Any], put: Put, path: str, value: Any, message: str
) -> None:
    load_merged_study(stopping, [])
    with pytest.raises(ConfigError) as error:
        load_merged_study(put(stopping, path, value), [])
    assert message in str(error.value)


def test_a_score_that_stops_nowhere_is_written_as_before_there_was_the_key() -> None:
    assert "up_to" not in DeepfoolSettings(model="trades").model_dump()
    assert DeepfoolSettings(model="trades", up_to="1/4").model_dump(exclude={"shards"})["up_to"] == 0.25

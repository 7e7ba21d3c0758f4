# ruff: noqa: E501 (messages stand whole)
"""What a study may ask of a score that measures a share of its rows."""

from collections.abc import Callable
from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.scores.settings import EXTRAPOLATED_MODULE, DeepfoolSettings
from pumalib.study.file import load_merged_study
from pumalib.study.slices import score_code

Put = Callable[[dict[str, Any], str, Any], dict[str, Any]]


@pytest.mark.parametrize("method", ["deepfool", "refined_margin", "fast_margin"])
def test_whole_margins_can_be_extrapolated_and_only_such_a_score_depends_on_the_code(
    study: dict[str, Any], method: str
) -> None:
    study["scores"]["margin"] = {"method": method, "model": "trades", "extrapolate": {}}
    study["scores"]["whole"] = {"method": method, "model": "trades"}
    read = load_merged_study(study, [])
    assert EXTRAPOLATED_MODULE in score_code(read, "margin")
    assert EXTRAPOLATED_MODULE not in score_code(read, "whole")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("scores|margin|up_to", 0.1, "expected up_to or extrapolate, got both; bounds say nothing of other rows' margins"),
        ("scores|margin|shards", 2, "expected one shard with extrapolate, got 2; rows need the measured ones of all shards"),
        ("scores|margin|extrapolate|measured", 0, "greater than 0"),
        ("scores|margin|extrapolate|measured", 1, "less than 1"),
        ("scores|margin|extrapolate|neighbours", 0, "greater than 0"),
        ("scores|margin|extrapolate|least_agreement", 1.5, "less than or equal to 1"),
        ("scores|margin|extrapolate", 0.1, "scores.margin"),
        ("scores|margin|method", "deepfool_published", 'got "extrapolate"'),
    ],
)  # fmt: skip
def test_what_cannot_be_extrapolated_is_refused_before_any_job(
    study: dict[str, Any], put: Put, path: str, value: Any, message: str
) -> None:
    put(study, "scores|margin|extrapolate", {})
    load_merged_study(study, [])
    with pytest.raises(ConfigError) as error:
        load_merged_study(put(study, path, value), [])
    assert message in str(error.value)


def test_a_score_that_measures_all_rows_is_written_as_before_there_was_the_key() -> None:
    assert "extrapolate" not in DeepfoolSettings(model="trades").model_dump()
    values = DeepfoolSettings(model="trades", extrapolate={"measured": 0.2}).model_dump(exclude={"shards"})
    assert values["extrapolate"] == {"measured": 0.2, "neighbours": 10, "least_agreement": 0.9, "seed": 0}

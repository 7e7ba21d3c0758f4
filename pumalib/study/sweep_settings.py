"""What a sweep holds: settings of a run, and the values that each of them takes. Imports no torch."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from pumalib.settings import refuse_repeats

KEY_PATTERN = r"^[A-Za-z_]\w*(\.\w+|\[\d+\])*$"
"""Of settings as messages spell them, such as `training.beta` and `prune[0].fraction`."""

MOST_RUNS = 1000
"""Runs that one sweep may stand for; a choice of ours, far above what anybody trains."""


def _expect_values_for_names(values: Any) -> Any:
    """Refuse values that no name can be made of."""
    for value in values if isinstance(values, list) else ():
        if isinstance(value, list | dict) or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(
                f"expected numbers, texts, true, false or null as values of a sweep, got {value}; "
                "write a run of its own for it"
            )
    return values


_Values = Annotated[
    tuple[bool | int | float | str | None, ...],
    Field(min_length=1),
    BeforeValidator(_expect_values_for_names),
    AfterValidator(refuse_repeats),
]

SweptSettings = Annotated[
    dict[str, _Values],
    Field(min_length=1, json_schema_extra={"propertyNames": {"pattern": KEY_PATTERN}}),
]
"""Distinct values of each setting; the run stands for every choice of one value each."""

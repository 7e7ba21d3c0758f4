"""Which weights a training starts from. Imports no torch."""

from __future__ import annotations

from typing import Any

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from pumalib.models.settings import CheckpointWeights
from pumalib.settings import Name, Settings

STARTING_WEIGHTS_MODULE = "pumalib.training.starting_weights"
"""Loads them: a training that starts anew does not depend on it."""


class StartSettings(Settings):
    """Weights that a training starts from, of the run's own architecture; a bare name stands for ``{run: name}``."""

    run: Name | None = None
    """Name under `runs`: its averaged weights of the same seed."""
    checkpoint: str | None = None
    """Path of a weight file of this library or from elsewhere, as under `model` of a score."""
    weights: CheckpointWeights | None = None
    """Which weights of a checkpoint that holds both `model` and `averaged` ones."""

    @model_validator(mode="before")
    @classmethod
    def _expand_name(cls, value: Any) -> Any:
        return {"run": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _check(self) -> StartSettings:
        if (self.run is None) == (self.checkpoint is None):
            given = "both" if self.run is not None else "neither"
            raise ValueError(f"expected exactly one of run and checkpoint, got {given}")
        if self.weights is not None and self.checkpoint is None:
            raise ValueError("expected weights only with checkpoint; a run has its averaged ones alone")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Let editors accept the bare name as well."""
        return {"anyOf": [{"type": "string"}, handler(schema)]}

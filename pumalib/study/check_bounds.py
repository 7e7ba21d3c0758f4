"""Checks of scores that stop at a distance (`up_to`): whether cuts and epsilons need more. Imports no torch.

Whether a cut of a `fraction` falls among the bounded rows is known once they are scored; the selection refuses it then.
"""

from __future__ import annotations

import math
import operator

from pumalib.errors import ConfigError
from pumalib.selection.settings import (
    RANDOM,
    THRESHOLDS,
    CutSettings,
    EpsilonSettings,
    FromMargin,
    RuleSettings,
    WhereSettings,
)
from pumalib.study.study import Study
from pumalib.training.online.settings import OnlineEpsilonSettings

_COMPARE = {"below": operator.lt, "at_most": operator.le, "at_least": operator.ge, "above": operator.gt}
_ROUNDING = 1e-6
"""Relative, of sums of amounts that users write."""


def check_bounds(study: Study) -> None:
    """Refuse cuts and epsilons that need more of a score than it will tell.

    Raises:
        ConfigError: the first problem found.
    """
    for name, run in study.trained.items():
        for index, cut in enumerate(run.prune):
            where = f"runs.{name}.prune[{index}]"
            if not isinstance(cut, CutSettings):
                _expect_whole(study, cut, where)
            elif cut.by != RANDOM:
                _check_threshold(study, cut, cut.by, where)
        _check_epsilon(study, run.epsilon, f"runs.{name}.epsilon")
        if run.far is not None:
            _expect_at_least(study, run.far.score, run.far.beyond, f"beyond at runs.{name}.far")


def _expect_whole(study: Study, rule: RuleSettings, where: str) -> None:
    """Refuse a rule over margins that stop: it looks at the values of all rows."""
    for score in rule.scores:
        up_to = _up_to(study, score)
        if up_to is not None:
            raise ConfigError(
                f"expected a score without up_to for rule {rule.rule}, got {score}, which stops at {up_to:g}, at "
                f"{where}.by; leave up_to out at scores.{score}"
            )


def _check_epsilon(study: Study, policy: EpsilonSettings, where: str) -> None:
    if isinstance(policy, OnlineEpsilonSettings):
        return
    if policy.where is not None:
        _check_threshold(study, policy.where, policy.where.score, f"{where}.where")
    score = getattr(policy, "score", None)
    up_to = None if score is None else _up_to(study, score)
    if up_to is None:
        return
    if not isinstance(policy, FromMargin):
        raise ConfigError(
            f"expected a score without up_to for policy {policy.policy}, got {score}, which stops at {up_to:g}, at "
            f"{where}.score; leave up_to out at scores.{score}"
        )
    cap = policy.cap or study.settings.threat.epsilon
    _expect_at_least(study, str(score), cap + policy.gap, f"cap {cap:g} and gap {policy.gap:g} at {where}")


def _expect_at_least(study: Study, score: str, distance: float, what: str) -> None:
    """Refuse margins that stop before a distance."""
    up_to = _up_to(study, score)
    if up_to is not None and distance > up_to * (1 + _ROUNDING):
        raise ConfigError(
            f"expected up_to of at least {distance:g} at scores.{score}, for {what}, got {up_to:g}; raise up_to, or "
            "leave it out"
        )


def _check_threshold(study: Study, bound: CutSettings | WhereSettings, score: str, where: str) -> None:
    """Refuse a threshold that bounded rows may lie on either side of."""
    up_to = _up_to(study, score)
    if up_to is None:
        return
    given = {name: value for name in THRESHOLDS if (value := getattr(bound, name)) is not None}
    for name, value in given.items():
        ends = [(sign * up_to, sign * math.inf) for sign in (1, -1)]
        if any(_COMPARE[name](nearest, value) != _COMPARE[name](farthest, value) for nearest, farthest in ends):
            raise ConfigError(
                f"expected a threshold within the up_to {up_to:g} of scores.{score}, got {value:g} at {where}.{name}; "
                "raise up_to, or leave it out"
            )


def _up_to(study: Study, score: str) -> float | None:
    """Return where the margins of a score stop; None: they do not."""
    up_to: float | None = getattr(study.settings.scores[score], "up_to", None)
    return up_to

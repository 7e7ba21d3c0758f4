"""Checks of the margins that generators learn, and that pools ask of them. Imports no torch."""

from __future__ import annotations

from pumalib.data.settings import GeneratedSyntheticSettings
from pumalib.errors import ConfigError
from pumalib.scores.settings import MarginSettings
from pumalib.study.names import expect_name
from pumalib.study.study import Study


def check_generators(study: Study) -> None:
    """Refuse margins that are none of exactly the train rows, and pools that ask for margins of who knows none.

    Raises:
        ConfigError: the first problem found.
    """
    for name, generator in study.settings.generators.items():
        if generator.margin is not None:
            _check_score(study, name, generator.margin.score, f"generators.{name}.margin.score")
    for name, pool in study.settings.pools.items():
        if isinstance(pool.synthetic, GeneratedSyntheticSettings):
            _check_asked(study, pool.synthetic, f"pools.{name}.synthetic.margin")


def _check_score(study: Study, generator: str, score: str, where: str) -> None:
    expect_name(score, study.settings.scores, "score", where)
    settings, dataset = study.settings.scores[score], study.settings.generators[generator].dataset
    if not isinstance(settings, MarginSettings):
        raise ConfigError(f"expected a margin, got {score}, a score by {_method_of(settings)}, at {where}")
    up_to = getattr(settings, "up_to", None)
    if up_to is not None:
        raise ConfigError(
            f"expected a margin without up_to, so that all can be put in order, got {score}, which stops at {up_to:g}, "
            f"at {where}; leave up_to out at scores.{score}"
        )
    name = study.score_pool(score)
    pool = study.settings.pools[name]
    if pool.dataset != dataset or pool.synthetic is not None:
        raise ConfigError(
            f"expected a margin of a pool of dataset {dataset} without synthetic rows, whose rows are those that the "
            f"generator is trained on, got {score}, of pool {name}, at {where}; score such a pool"
        )


def _method_of(settings: object) -> str:
    return str(getattr(settings, "method", ""))


def _check_asked(study: Study, synthetic: GeneratedSyntheticSettings, where: str) -> None:
    if synthetic.margin is not None and study.settings.generators[synthetic.generator].margin is None:
        raise ConfigError(
            f"expected a generator that learns margins, got {synthetic.generator}, which learns none, at {where}; set "
            f"margin at generators.{synthetic.generator}, or leave it out here"
        )

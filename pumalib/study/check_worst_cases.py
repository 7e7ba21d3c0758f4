"""Checks of worst cases over attacks: they name attacks that attack the same images at the same threat."""

from __future__ import annotations

from pumalib.attacks.settings import SAME_IN_A_WORST_OF
from pumalib.errors import ConfigError
from pumalib.study.names import expect_name
from pumalib.study.study import Study


def check_worst_cases(study: Study) -> None:
    """Refuse worst cases over attacks that cannot be compared image by image.

    Raises:
        ConfigError: the first problem found.
    """
    for name, named in study.worst_of.items():
        for index, attack in enumerate(named):
            where = f"attacks.{name}.attacks[{index}]"
            _expect_attack(study, name, attack, where)
            _expect_same_threat(study, name, attack, where)
            _expect_every_run(study, name, attack, where)
            _expect_points(study, name, attack, where)


def _expect_attack(study: Study, worst: str, attack: str, where: str) -> None:
    """Refuse what is no attack of the study that perturbs."""
    if attack == worst:
        raise ConfigError(f"expected other attacks in a worst_of, got {attack} itself at {where}; name another attack")
    expect_name(attack, study.settings.attacks, "attack", where)
    if attack in study.worst_of:
        raise ConfigError(f"expected an attack, got {attack}, which is a worst_of, at {where}; name its attacks here")
    if study.settings.attacks[attack].method == "clean":
        raise ConfigError(
            f"expected an attack that perturbs, got {attack}, which measures clean accuracy alone, at {where}; "
            "leave it out"
        )


def _expect_same_threat(study: Study, worst: str, attack: str, where: str) -> None:
    """Refuse an attack on other images than those of the worst case, or at another threat."""
    wanted, got = (_images_and_threat(study, each) for each in (worst, attack))
    for key in SAME_IN_A_WORST_OF:
        if got[key] != wanted[key]:
            raise ConfigError(
                f"expected attacks of one {key} in a worst_of, got {attack} with {_spelled(got[key])} beside "
                f"{_spelled(wanted[key])} at {where}; give all of {worst} the same {key}"
            )


def _images_and_threat(study: Study, attack: str) -> dict[str, object]:
    """Return which images an attack is on and how far it looks, with what it leaves to the threat."""
    settings, threat = study.settings.attacks[attack], study.settings.threat
    return {
        "split": settings.split,
        "num_images": settings.num_images,
        "epsilon": settings.epsilon or threat.epsilon,
        "norm": settings.norm or threat.norm,
    }


def _spelled(value: object) -> str:
    return "all" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _expect_every_run(study: Study, worst: str, attack: str, where: str) -> None:
    """Refuse an attack that leaves out a run which the worst case covers."""
    for run in study.runs:
        if worst in study.attacks_of(run) and attack not in study.attacks_of(run):
            raise ConfigError(
                f"expected attacks on every run of a worst_of, got {attack}, which leaves {run} out, at {where}; add "
                f"{run} to attacks.{attack}.runs, or give attacks.{worst}.runs"
            )


def _expect_points(study: Study, worst: str, attack: str, where: str) -> None:
    """Refuse an attack without points in a worst case that keeps them."""
    if study.settings.attacks[worst].keep_points and not study.settings.attacks[attack].keep_points:
        raise ConfigError(
            f"expected attacks that keep points in a worst_of that does, got {attack}, which keeps none, at {where}; "
            f"say attacks.{attack}.keep_points: true, or leave attacks.{worst}.keep_points out"
        )

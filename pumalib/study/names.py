"""Names that a study uses, held to those that it defines."""

from __future__ import annotations

from collections.abc import Iterable

from pumalib.errors import ConfigError
from pumalib.setting_errors import nearest


def expect_name(name: str, names: Iterable[str], what: str, where: str) -> None:
    """Refuse a name that is not among the names of `what`, with the nearest one.

    Raises:
        ConfigError: the name, what was expected and the key's path.
    """
    known = list(names)
    if name not in known:
        article = "an" if what[0] in "aeiou" else "a"
        raise ConfigError(f'expected the name of {article} {what}, got "{name}"{nearest(name, known)} at {where}')

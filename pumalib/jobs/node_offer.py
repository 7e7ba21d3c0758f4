"""What the first node offers the others: the work of their ranks, and all in which they must agree with it.

It is a file in the results folder. So a node that finds it as the first one wrote it also sees the same inputs.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pumalib.errors import ConfigError
from pumalib.files.artifacts import write_text
from pumalib.files.provenance import changed_since, library_versions
from pumalib.jobs.frame import Frame
from pumalib.jobs.meeting import SECONDS_BETWEEN_LOOKS

_LONGEST_WAIT_FOR_DISK = 60.0
"""Seconds that a shared disk may need to show what another machine wrote, as in `latency-wait` of the profile."""
_HEAD_BYTES = 4096

Check = Callable[[Mapping[str, Any]], None]
"""Refuses the arguments of ranks by a ConfigError."""


@dataclass(frozen=True)
class Offer:
    """The work of a node.

    Attributes:
        devices: of each node.
        frame: of the job.
        arguments: of the ranks.
        versions: of Python and the libraries.
        kinds: of the devices of the first node.
        looks: of the files that ranks read, by path, see `look_of`.
    """

    devices: int
    frame: Mapping[str, Any]
    arguments: Mapping[str, Any]
    versions: Mapping[str, str]
    kinds: Sequence[str]
    looks: Mapping[str, str]

    def write(self, path: Path) -> dict[str, str]:
        """Write the file, and return how other nodes find it."""
        text = json.dumps(asdict(self))
        write_text(path, text)
        return {"path": str(path), "digest": _digest(text.encode()), "host": platform.node(), "folder": os.getcwd()}


def make_offer(frame: Frame, arguments: Mapping[str, Any], devices: Sequence[str], files: Sequence[Path]) -> Offer:
    """Return what this node, the first, offers.

    Args:
        frame: of the job.
        arguments: of the ranks.
        devices: torch devices of this node; each has as many.
        files: that ranks read.
    """
    looks = {str(path): look_of(path) for path in files}
    return Offer(len(devices), vars(frame), arguments, versions(), kinds_of(devices), looks)


def read_offer(found: Mapping[str, str]) -> Offer:
    """Read the file as the first node wrote it.

    Raises:
        ConfigError: it does not come to be seen here.
    """
    path = Path(found["path"])

    def is_there() -> bool:
        return path.is_file() and _digest(path.read_bytes()) == found["digest"]

    if not _comes_true(is_there):
        raise ConfigError(
            f"expected the results folder of the first node ({found['host']}, in {found['folder']}) on {_here()}, "
            f"found no {path} as it wrote it; start every node in the same folder of a disk that all share"
        )
    return Offer(**json.loads(path.read_text(encoding="utf-8")))


def expect_agreement(offer: Offer, devices: Sequence[str], check: Check | None) -> None:
    """Refuse to take part where this node would compute something else than the first one.

    Raises:
        ConfigError: other settings, versions, code, devices or files.
    """
    if check is not None:
        check(offer.arguments)
    for name, version in offer.versions.items():
        if versions()[name] != version:
            raise _differs(f"{name} {version}", f"{name} {versions()[name]}", "install the same versions on every node")
    changed = changed_since(offer.frame["code"])
    if changed:
        code = "use the same checkout on every node"
        raise _differs("the code of the first node", f"another {', '.join(changed)}", code)
    if kinds_of(devices) != list(offer.kinds):
        kinds = "use nodes with the same devices: each keeps a copy of the weights, which other roundings would part"
        raise _differs(_listed(offer.kinds), _listed(kinds_of(devices)), kinds)
    for path, look in offer.looks.items():
        if not _comes_true(partial(_looks, Path(path), look)):
            disk = "start every node in the same folder of a disk that all share"
            raise _differs(f"{path} as the first node sees it", "another file or none", disk)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries, and of what torch itself is built on."""
    return {"Python": platform.python_version(), **library_versions(), "CUDA": str(torch.version.cuda)}


def kinds_of(devices: Sequence[str]) -> list[str]:
    """Return what rounds alike: the kind of each GPU, or the instructions of the CPU that torch uses."""
    cpu = f"cpu with {torch.backends.cpu.get_cpu_capability()}"
    return sorted(cpu if device == "cpu" else torch.cuda.get_device_name(device) for device in devices)


def look_of(path: Path) -> str:
    """Return size and digest of the head of a file; empty: there is none. The head of a state names its content."""
    try:
        with open(path, "rb") as file:
            return f"{os.fstat(file.fileno()).st_size} {_digest(file.read(_HEAD_BYTES))}"
    except OSError:
        return ""


def _looks(path: Path, look: str) -> bool:
    return look_of(path) == look


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _comes_true(condition: Callable[[], bool]) -> bool:
    """Look until something is true, as long as a shared disk may need."""
    until = time.monotonic() + _LONGEST_WAIT_FOR_DISK
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return True


def _differs(expected: str, came: str, advice: str) -> ConfigError:
    return ConfigError(f"expected {expected} on every node of the training, got {came} on {_here()}; {advice}")


def _here() -> str:
    return f"{platform.node()} ({sys.executable})"


def _listed(kinds: Sequence[str]) -> str:
    return " and ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))

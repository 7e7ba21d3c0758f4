"""Two machines for tests: network namespaces of this one, joined by a cable."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Machines:
    """Two namespaces.

    Attributes:
        names: of the namespaces.
        addresses: of each.
    """

    names: tuple[str, str]
    addresses: tuple[str, str]

    def on(self, machine: int) -> list[str]:
        """Return what stands before a command to run it on a machine."""
        return ["ip", "netns", "exec", self.names[machine]]

    def cut(self) -> None:
        """Pull the cable."""
        _ip("-n", self.names[1], "link", "set", "cable", "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        _ip("-n", self.names[1], "link", "set", "cable", "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def two_machines() -> Iterator[Machines]:
    """Make two namespaces, or skip the test where this process may not."""
    if shutil.which("ip") is None:
        pytest.skip("no ip: install iproute2")
    if os.geteuid() != 0:
        pytest.skip("network namespaces are made as root")
    names = tuple(f"puma-{os.getpid()}-{letter}" for letter in "ab")
    machines = Machines((names[0], names[1]), ("10.77.0.1", "10.77.0.2"))
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("-n", names[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", names[1])
        for name, address in zip(names, machines.addresses, strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            _ip("-n", name, "link", "set", "cable", "up")
            _ip("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        _remove(names)
        pytest.skip(f"no network namespaces here: {error.stderr}")
    try:
        yield machines
    finally:
        _remove(names)


def _remove(names: tuple[str, ...]) -> None:
    for name in names:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

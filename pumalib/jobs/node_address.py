"""Where the machines of one training find each other. Imports no torch."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from pumalib.errors import ConfigError

ADDRESS_VARIABLE = "PUMA_FIRST_NODE"
_LONGEST_TRY = 10.0


@dataclass(frozen=True)
class Address:
    """Where the first node is to be found.

    Attributes:
        host: name or IPv4 address.
        port: of TCP; 0 on the first node: any that is free.
    """

    host: str
    port: int

    @classmethod
    def read(cls, text: str, where: str) -> Address:
        """Read such as `host-a:29400`.

        Raises:
            ConfigError: another form.
        """
        host, _, port = text.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ConfigError(
                f"expected the first node as HOST:PORT, such as host-a:29400, got {text!r} at {where}; correct it"
            )
        return cls(host, int(port))

    def __str__(self) -> str:
        """Return what `read` reads."""
        return f"{self.host}:{self.port}"


def in_allocation() -> bool:
    """Return whether this process runs in a job of SLURM."""
    return "SLURM_JOB_ID" in os.environ and shutil.which("srun") is not None


def meeting_place(count: int) -> Address:
    """Return where the nodes meet: in a job of SLURM any free port will do.

    Raises:
        ConfigError: nobody said where.
    """
    if in_allocation():
        return Address(platform.node(), 0)
    given = os.environ.get(ADDRESS_VARIABLE)
    if given is None:
        raise ConfigError(
            f"expected {ADDRESS_VARIABLE}=HOST:PORT in the environment for training.nodes {count}, found none; set it "
            "to an address of this machine before the workflow starts, or set nodes: 1 (docs/cluster.md)"
        )
    return Address.read(given, ADDRESS_VARIABLE)


def address_toward(host: str) -> str:
    """Return the IPv4 address of this machine from which it reaches another one.

    Raises:
        ConfigError: no such host, or no way to it.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((host, 9))  # sends nothing
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigError(
            f"expected a host that {platform.node()} reaches by IPv4, got {host} ({error.strerror or error}); "
            "give its address as numbers, or mend the network"
        ) from None


def interface_of(address: str) -> str | None:
    """Return the network interface of an address of this machine; None: it has no such address."""
    found = psutil.net_if_addrs().items()
    return next((name for name, places in found if address in (place.address for place in places)), None)


def free_port() -> int:
    """Return a port that nothing uses at this moment."""
    with listening() as port:
        return port


@contextmanager
def listening() -> Iterator[int]:
    """Listen at a free port, and return it: for other machines to try whether they reach this one."""
    with socket.create_server(("", 0), backlog=128) as door:
        yield int(door.getsockname()[1])


def expect_reach(address: str, port: int, name: str) -> None:
    """Refuse to begin where ranks would wait for each other for days.

    Raises:
        ConfigError: the other machine is not reached at a port that it listens at.
    """
    try:
        socket.create_connection((address, port), timeout=_LONGEST_TRY).close()
    except OSError as error:
        raise ConfigError(
            f"expected {platform.node()} to reach {name} at any port, got {error.strerror or error} at "
            f"{address}:{port}; open the firewall between the nodes of a training"
        ) from None

"""Where the nodes of one training meet: a store that the first node holds, in which each tells what the others need.

A node is a process on one machine that starts ranks there. Every call looks once and returns; nothing here waits for
another node. What is written are texts, so that a node runs nothing that comes over the network.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import psutil
from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]

from pumalib.jobs.node_address import Address

SECONDS_BETWEEN_LOOKS = 1.0
LONGEST_SILENCE = 30.0
"""Seconds without a sign of a node after which it counts as dead. A choice of ours."""
_LONGEST_CALL = timedelta(seconds=10)


@dataclass(frozen=True)
class Who:
    """A node.

    Attributes:
        host: its name.
        address: IPv4.
        port: at which it listens until its ranks have ended.
    """

    host: str
    address: str
    port: int


@dataclass(frozen=True)
class End:
    """How the ranks of a node ended.

    Attributes:
        kind: name of the error's class; empty: they did their work.
        message: of the error.
    """

    kind: str = ""
    message: str = ""


@dataclass(frozen=True)
class Start:
    """Where the ranks of all nodes find each other.

    Attributes:
        address: of the first node.
        port: of torchrun there.
    """

    address: str
    port: int


class Meeting:
    """What one node sees of a meeting.

    Args:
        store: of the first node.
        count: nodes.
        node: number of this one; 0 is the first.
    """

    def __init__(self, store: TCPStore, count: int, node: int = 0) -> None:
        self._store, self.count, self.node = store, count, node
        self._seen: dict[int, tuple[int, float]] = {}

    @property
    def others(self) -> range:
        """Return the nodes whose life this one watches: the first watches all, the others the first."""
        return range(1, self.count) if self.node == 0 else range(1)

    def introduce(self, address: str, port: int) -> None:
        """Tell who this node is, once it agrees with the first, and where it can be reached for a try."""
        self.sign()
        self._write(f"node/{self.node}", asdict(Who(platform.node(), address, port)))

    def who(self, node: int) -> Who | None:
        """Return who a node is; None: it has not come yet."""
        found = self._read(f"node/{node}")
        return None if found is None else Who(**found)

    def name(self, node: int) -> str:
        """Return how messages call a node."""
        known = self.who(node)
        return f"node {node}" if known is None else f"node {node} ({known.host}, {known.address})"

    def start(self, start: Start) -> None:
        """Let all nodes start their ranks."""
        self._write("start", asdict(start))

    def started(self) -> Start | None:
        """Return what the first node started with; None: not all have come."""
        found = self._read("start")
        return None if found is None else Start(**found)

    def refuse(self, reason: str) -> None:
        """Tell that a node cannot take part."""
        self._write("refused", reason)

    def refused(self) -> str | None:
        """Return why a node cannot take part; None: none said so."""
        reason: str | None = self._read("refused")
        return reason

    def end(self, end: End) -> None:
        """Tell how the ranks of this node ended."""
        self._write(f"end/{self.node}", asdict(end))

    def ended(self, node: int) -> End | None:
        """Return how the ranks of a node ended; None: they have not."""
        found = self._read(f"end/{node}")
        return None if found is None else End(**found)

    def sign(self) -> None:
        """Give a sign of life."""
        self._store.add(f"sign/{self.node}", 1)

    def is_silent(self, node: int) -> bool:
        """Return whether a node that came has given no sign for too long while this one looked on."""
        count, now = self._store.add(f"sign/{node}", 0), time.monotonic()
        if self._seen.get(node, (-1, now))[0] != count:
            self._seen[node] = (count, now)
        return count > 0 and now - self._seen[node][1] > LONGEST_SILENCE

    def _write(self, key: str, value: Any) -> None:
        self._store.set(key, json.dumps(value))

    def _read(self, key: str) -> Any:
        return json.loads(self._store.get(key)) if self._store.check([key]) else None


def call_meeting(port: int, count: int, offer: Mapping[str, str]) -> tuple[Meeting, int]:
    """Open a meeting on this machine, which is then its first node.

    Args:
        port: of TCP; 0: any that is free.
        count: nodes.
        offer: what `join_meeting` hands on.

    Returns:
        The meeting and its port.

    Raises:
        BlockingIOError: the port is taken.
    """
    try:
        store = TCPStore("127.0.0.1", port, is_master=True, timeout=_LONGEST_CALL, wait_for_workers=False)
    except DistError as error:
        if "EADDRINUSE" not in str(error):
            raise
        raise BlockingIOError(f"port {port} is taken") from error
    store.set("offer", json.dumps({**offer, "count": count}))
    return Meeting(store, count), store.port


def join_meeting(address: Address) -> tuple[Meeting, dict[str, str]] | None:
    """Take a seat at a meeting, and return it with what the first node offers; None: there is none, or it is full."""
    try:
        socket.create_connection((address.host, address.port), timeout=2).close()
        store = TCPStore(address.host, address.port, timeout=_LONGEST_CALL, wait_for_workers=False)
        _end_when_unanswered(address.port)
        if not store.check(["offer"]):
            return None
        offer = json.loads(store.get("offer"))
        node = store.add("seats", 1)
    except (OSError, DistError):  # nobody there yet, or no more
        return None
    return (Meeting(store, offer["count"], node), offer) if node < offer["count"] else None


def _end_when_unanswered(port: int) -> None:
    """Let calls of a store fail when the machine at its other end is gone: by itself torch waits for an answer."""
    for connection in psutil.Process().net_connections("tcp"):
        if connection.raddr and connection.raddr.port == port and connection.fd >= 0:
            with socket.socket(fileno=os.dup(connection.fd)) as other_end:
                other_end.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * LONGEST_SILENCE))

"""One job on several machines: the first leads, the others serve; each starts ranks by torchrun and watches the rest.

A training over n nodes ends as one does on one machine: by its result, by one error, or by SIGTERM with its state
saved. A node that gives no sign of life ends it too, because ranks would wait for one that is gone for days.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch.distributed import DistError

from pumalib.errors import ConfigError, PumaError, ResourceError
from pumalib.jobs.devices import hold_devices
from pumalib.jobs.frame import Frame
from pumalib.jobs.meeting import (
    LONGEST_SILENCE,
    SECONDS_BETWEEN_LOOKS,
    End,
    Meeting,
    Start,
    call_meeting,
    join_meeting,
)
from pumalib.jobs.node_address import (
    Address,
    address_toward,
    expect_reach,
    free_port,
    interface_of,
    listening,
    meeting_place,
)
from pumalib.jobs.node_offer import Check, Offer, expect_agreement, make_offer, read_offer
from pumalib.jobs.node_watch import Watch, watched
from pumalib.jobs.slurm import Started, other_nodes
from pumalib.jobs.termination import TerminationError, answer_sigterm
from pumalib.jobs.torchrun import Machine, distance_from_cause, error_of, has_lost_another, run_ranks

_GONE = "Connection closed by peer"
"""What ranks would say that are ended here because others are gone, see `has_lost_another`."""
_LONGEST_WAIT_OF_TASKS = 300.0
"""Seconds that a task which the first node started looks for it."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Team:
    """What runs where.

    Attributes:
        count: nodes.
        devices: of each.
        module: of the ranks, see `run_ranks`.
        server: module whose main code calls `serve_task`.
    """

    count: int
    devices: int
    module: str
    server: str


def lead(team: Team, frame: Frame, arguments: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Do a job as the first of several nodes, and wait for all.

    Args:
        team: the nodes.
        frame: of the job.
        arguments: of the ranks, as JSON.
        files: that they read.

    Raises:
        ConfigError: nobody said where nodes meet, or one cannot take part.
        PumaError, TerminationError, RuntimeError: as `run_ranks`, on any node, or a node died.
    """
    address = meeting_place(team.count)
    path = frame.state_path.with_suffix(".nodes")
    devices = hold_devices(frame.device, team.devices)
    offer = make_offer(frame, arguments, devices, files)
    num_cpus = team.devices * (frame.threads or 1)
    try:
        meeting, port = _called(address, team.count, offer.write(path))
        first = Address(address.host, port)
        others = other_nodes(team.count, num_cpus, team.server, first)
        with listening() as door, watched(meeting) as watch, others as started:
            _gather(meeting, watch, started, first)
            start = Start(_own_address(meeting), free_port())
            meeting.introduce(start.address, door)
            meeting.start(start)
            own = _run(meeting, watch, team.module, devices, offer, start)
            _raise_cause(own, meeting, watch)
    finally:
        path.unlink(missing_ok=True)


def serve(module: str, address: Address, check: Check | None = None, longest_wait: float = math.inf) -> None:
    """Take part in the next job that a first node leads, and return when it has ended.

    Args:
        module: of the ranks.
        address: of the first node.
        check: refuses other work than this node is for.
        longest_wait: seconds to look for the first node.

    Raises:
        ConfigError: this node cannot take part, or finds no first node.
        PumaError, TerminationError, RuntimeError: as the ranks of this node, or the first node died.
    """
    own_address, until = address_toward(address.host), time.monotonic() + longest_wait
    log.info("waiting for a training at %s", address)
    while (joined := join_meeting(address)) is None:
        if time.monotonic() > until:
            raise ConfigError(
                f"expected {platform.node()} to reach the first node at {address} within {longest_wait:.0f} s, got no "
                "answer; open the firewall between the nodes of a training"
            )
        time.sleep(SECONDS_BETWEEN_LOOKS)
    meeting, found = joined
    try:
        with listening() as door, watched(meeting) as watch:
            offer, devices = _agreed(meeting, found, check)
            meeting.introduce(own_address, door)
            log.info("taking part as node %d of %d in %s", meeting.node, meeting.count, offer.frame["log"])
            own = _run(meeting, watch, module, devices, offer, _wait_for_start(meeting, watch))
    except DistError as error:
        raise _death_of_first() from error
    if own is not None:
        raise _death_of_first() if watch.silent else own


def _agreed(meeting: Meeting, found: Mapping[str, str], check: Check | None) -> tuple[Offer, tuple[str, ...]]:
    """Return the work and the devices of this node, or tell the first node why it cannot take part."""
    try:
        offer = read_offer(found)
        devices = hold_devices(str(offer.frame["device"]), offer.devices)
        expect_agreement(offer, devices, check)
    except PumaError as error:
        meeting.refuse(str(error))
        raise
    return offer, devices


def _called(address: Address, count: int, offer: Mapping[str, str]) -> tuple[Meeting, int]:
    """Open the meeting, once no other job has one at this port."""
    is_told = False
    while True:
        try:
            return call_meeting(address.port, count, offer)
        except BlockingIOError:
            if not is_told:
                log.info("waiting: another training, or another program, uses port %d", address.port)
            is_told = True
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _gather(meeting: Meeting, watch: Watch, started: Started, first: Address) -> None:
    """Wait until all nodes have come.

    Raises:
        ConfigError: one cannot take part.
        ResourceError: one that had come is gone.
    """
    if started.process is None:
        command = f"python -m pumalib node STUDY {first}"
        text = f"waiting for {meeting.count - 1} more nodes: run `{command}` on each, in {os.getcwd()}"
        log.info("%s", text)
        print(text, file=sys.stderr, flush=True)
    while not all(meeting.who(node) for node in meeting.others):
        reason = meeting.refused()
        if reason is not None:
            raise ConfigError(reason)
        started.check()
        for node in watch.silent:
            raise _death(meeting, node)
        time.sleep(SECONDS_BETWEEN_LOOKS)
    log.info("training on %s", ", ".join(meeting.name(node) for node in meeting.others))


def _own_address(meeting: Meeting) -> str:
    """Return the address of this machine, the first node, that the others reach."""
    second = meeting.who(1)
    return address_toward("" if second is None else second.address)


def _wait_for_start(meeting: Meeting, watch: Watch) -> Start:
    while (start := meeting.started()) is None:
        reason = meeting.refused()
        if reason is not None:
            raise ConfigError(reason)
        if watch.silent:
            raise _death_of_first()
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return start


def _run(
    meeting: Meeting, watch: Watch, module: str, devices: Sequence[str], offer: Offer, start: Start
) -> BaseException | None:
    """Run the ranks of this node; tell the others how they ended, and return the error."""
    interface = interface_of(address_toward(start.address))
    if interface is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)  # by itself gloo takes that of the host's name
    machine = Machine(meeting.node, meeting.count, start.address, start.port)
    own: BaseException | None = None
    try:
        _expect_reach(meeting)
        run_ranks(module, devices, Frame(**offer.frame), offer.arguments, machine)
    except (Exception, TerminationError) as error:
        own = RuntimeError(_GONE) if watch.has_killed else error
    meeting.end(End() if own is None else End(type(own).__name__, str(own)))
    return own


def _expect_reach(meeting: Meeting) -> None:
    """Try to reach every other node.

    Raises:
        ConfigError: one is not reached.
    """
    for node in range(meeting.count):
        known = meeting.who(node)
        if known is not None and node != meeting.node:
            expect_reach(known.address, known.port, meeting.name(node))


def _raise_cause(own: BaseException | None, meeting: Meeting, watch: Watch) -> None:
    """Wait until all nodes have ended, and raise what the job failed of, if it did.

    Of errors on several nodes, the one nearest to a cause is raised; what only says that a rank is gone comes last.
    """
    ends = {node: meeting.ended(node) for node in meeting.others}
    while any(end is None and node not in watch.silent for node, end in ends.items()):
        time.sleep(SECONDS_BETWEEN_LOOKS)
        ends = {node: meeting.ended(node) for node in meeting.others}
    failed = {node: end for node, end in ends.items() if end is not None and end.kind}
    errors = [error_of(end.kind, end.message, meeting.name(node)) for node, end in failed.items()]
    errors += [_death(meeting, node) for node, end in ends.items() if end is None]
    errors += [] if own is None else [own]
    if not errors:
        return
    cause = min(errors, key=distance_from_cause)
    if has_lost_another(cause):
        raise ResourceError(
            f"expected the nodes of the training to stay connected, got: {cause}; see to the network between "
            f"{', '.join(meeting.name(node) for node in meeting.others)} and this machine, then run the same command "
            "again to go on from the saved state"
        )
    raise cause


def _death(meeting: Meeting, node: int) -> ResourceError:
    return ResourceError(
        f"expected every node of the training to live on, got no sign of {meeting.name(node)} for "
        f"{LONGEST_SILENCE:.0f} s; see to that machine, then run the same command again to go on from the saved state"
    )


def _death_of_first() -> ResourceError:
    return ResourceError(
        "expected the first node of the training to live on, lost the connection to it, or got no sign of it for "
        f"{LONGEST_SILENCE:.0f} s; this node can take part again when the job is started again"
    )


def serve_task(module: str) -> None:
    """Serve as a process of its own, as a task of SLURM is; the command line names the address of the first node."""
    level, form = logging.INFO, f"%(asctime)s %(levelname)s {platform.node()}: %(message)s"
    logging.basicConfig(level=level, format=form)
    answer_sigterm()
    try:
        serve(module, Address.read(sys.argv[1], "the command line"), longest_wait=_LONGEST_WAIT_OF_TASKS)
    except (Exception, TerminationError) as error:
        log.error("%s", error)
        raise SystemExit(1) from None

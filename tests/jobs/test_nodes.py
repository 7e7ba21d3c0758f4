"""Machines of one training: how they find each other, what they must agree in, and whose error is told."""

import socket
import sys
from pathlib import Path

import pytest
import torch

from pumalib.errors import ConfigError, ResourceError
from pumalib.jobs import node_offer
from pumalib.jobs.frame import Frame
from pumalib.jobs.meeting import End, Start, call_meeting, join_meeting
from pumalib.jobs.node_address import (
    Address,
    address_toward,
    expect_reach,
    free_port,
    interface_of,
    listening,
    meeting_place,
)
from pumalib.jobs.node_offer import expect_agreement, look_of, make_offer, read_offer
from pumalib.jobs.termination import TerminationError
from pumalib.jobs.torchrun import distance_from_cause, error_of

HERE = "127.0.0.1"
PYTHON = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}


@pytest.mark.parametrize("text", ["host", "host:", ":29400", "host:0", "host:65536", "host:a", ""])
def test_an_address_without_host_or_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected the first node as HOST:PORT, such as host-a:29400, got .* at X"):
        Address.read(text, "X")


def test_an_address_is_read_as_it_is_written() -> None:
    assert str(Address.read("host-a:29400", "X")) == "host-a:29400"
    assert Address.read(" host-a:29400", "X") == Address("host-a", 29400)


def test_machines_meet_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.delenv("PUMA_FIRST_NODE", raising=False)
    with pytest.raises(ConfigError, match=r"expected PUMA_FIRST_NODE=HOST:PORT .* for training\.nodes 3, found none"):
        meeting_place(3)
    monkeypatch.setenv("PUMA_FIRST_NODE", "host-a:29400")
    assert meeting_place(3) == Address("host-a", 29400)


def test_a_machine_reaches_itself_through_its_loopback() -> None:
    assert address_toward("localhost") == HERE
    assert interface_of(HERE) == "lo"
    assert interface_of("192.0.2.255") is None


def test_a_host_that_is_nowhere_is_told_in_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"expected a host that .* reaches by IPv4, got nowhere\.invalid \("):
        address_toward("nowhere.invalid")


def test_machines_that_do_not_reach_each_other_are_told_before_they_wait() -> None:
    with listening() as port:
        expect_reach(HERE, port, "node 1")
    with pytest.raises(ConfigError, match=r"expected .* to reach node 1 at any port, got .* at 127\.0\.0\.1:\d+; open"):
        expect_reach(HERE, port, "node 1")


def test_nodes_take_seats_until_there_are_none() -> None:
    meeting, port = call_meeting(0, 3, {"path": "offer"})
    address = Address(HERE, port)
    joined = [join_meeting(address) for _ in range(4)]
    assert [None if found is None else found[0].node for found in joined] == [1, 2, None, None]
    (second, offer), *_ = [found for found in joined if found is not None]
    assert (offer["path"], second.count) == ("offer", 3)
    assert (list(meeting.others), list(second.others)) == ([1, 2], [0])


def test_nobody_is_met_where_nothing_or_something_else_listens() -> None:
    assert join_meeting(Address(HERE, free_port())) is None


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        with pytest.raises(BlockingIOError, match="is taken"):
            call_meeting(other.getsockname()[1], 2, {})


def test_what_one_node_writes_the_others_read() -> None:
    first, port = call_meeting(0, 2, {})
    joined = join_meeting(Address(HERE, port))
    assert joined is not None
    second = joined[0]
    assert (first.who(1), first.ended(1), second.started(), second.refused()) == (None, None, None, None)
    second.introduce("192.0.2.7", 80)
    first.start(Start("192.0.2.1", 4711))
    second.end(End("DataError", "a loss that is not finite"))
    first.refuse("other versions")
    who = first.who(1)
    assert who is not None
    assert (who.address, who.port) == ("192.0.2.7", 80)
    assert second.started() == Start("192.0.2.1", 4711)
    assert first.ended(1) == End("DataError", "a loss that is not finite")
    assert second.refused() == "other versions"
    assert not first.is_silent(1)


def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[node_offer.Offer, dict[str, str]]:
    """Return an offer and how it is found; a disk is waited for no time."""
    monkeypatch.setattr(node_offer, "_LONGEST_WAIT_FOR_DISK", 0)
    (tmp_path / "pool.h5").write_bytes(b"rows")
    offer = make_offer(Frame("job.log", "errors.txt", PYTHON), {"seed": 0}, ["cpu", "cpu"], [tmp_path / "pool.h5"])
    return offer, offer.write(tmp_path / "job.nodes")


def test_an_offer_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer, found = offered(tmp_path, monkeypatch)
    assert read_offer(found) == offer
    assert (offer.devices, offer.arguments) == (2, {"seed": 0})
    expect_agreement(offer, ["cpu", "cpu"], None)


def test_another_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = offered(tmp_path, monkeypatch)
    (tmp_path / "job.nodes").write_text("{}")
    with pytest.raises(ConfigError, match=r"expected the results folder of the first node .*; start every node in"):
        read_offer(found)


def test_an_input_that_is_another_here_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer, _ = offered(tmp_path, monkeypatch)
    (tmp_path / "pool.h5").write_bytes(b"ROWS")
    with pytest.raises(
        ConfigError, match=r"expected .*pool\.h5 as the first node sees it on every node .*, got another"
    ):
        expect_agreement(offer, ["cpu", "cpu"], None)


def test_other_devices_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer, _ = offered(tmp_path, monkeypatch)
    kind = f"cpu with {torch.backends.cpu.get_cpu_capability()}"
    with pytest.raises(ConfigError, match=rf"expected 2 x {kind} on every node of the training, got 1 x {kind} on "):
        expect_agreement(offer, ["cpu"], None)


def test_other_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_offer, "_LONGEST_WAIT_FOR_DISK", 0)
    frame = Frame("job.log", "errors.txt", {"pumalib.ranks": "0" * 16, **PYTHON})
    offer = make_offer(frame, {}, ["cpu"], [])
    with pytest.raises(ConfigError, match=r"expected the code of the first node on every node .*; use the same"):
        expect_agreement(offer, ["cpu"], None)


def test_a_file_that_is_not_there_looks_like_none(tmp_path: Path) -> None:
    assert look_of(tmp_path / "none") == ""
    (tmp_path / "some").write_bytes(b"")
    assert look_of(tmp_path / "some").startswith("0 ")


def test_the_error_nearest_to_a_cause_is_told() -> None:
    told = [
        error_of("ResourceError", "ran out of memory", "node 1"),
        error_of("KeyError", "'x'", "node 1"),
        error_of("RuntimeError", "rank 0: [..pair.cc:534] Connection closed by peer [10.0.0.2]", "node 0"),
        error_of("TerminationError", "stopped by SIGTERM", "node 1"),
    ]
    assert [type(error) for error in told] == [ResourceError, RuntimeError, RuntimeError, TerminationError]
    assert sorted(told, key=distance_from_cause) == told
    assert str(told[1]) == "node 1: KeyError: 'x'"

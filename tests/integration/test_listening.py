"""A server listens on loopback only, and on a port of its own."""

from __future__ import annotations

import os
import socket

import psutil
import pytest

from model_server.serving.batching import Batching
from moma_core.address import Address
from moma_core.rpc.dynamics import DynamicsClient, serve_dynamics
from moma_core.rpc.endpoint import Endpoint, ListenError


def listeners(pid):
    """Addresses on which a process listens; gRPC's IPv6 sockets hold IPv4 addresses mapped."""
    found = psutil.Process(pid).net_connections("inet")
    listening = [c.laddr for c in found if c.status == psutil.CONN_LISTEN]
    return {(c.ip.removeprefix("::ffff:"), c.port) for c in listening}


@pytest.fixture
def batching(model):
    """A model with its thread."""
    batching = Batching(model)
    yield batching
    batching.close()


@pytest.mark.reliability(10, "secure_by_default")
@pytest.mark.parametrize(
    "listen",
    ["0.0.0.0:0", "[::]:0", "192.168.1.5:0", "8.8.8.8:0", "example.org:0"],
)
def test_what_is_not_loopback_is_refused_before_anything_listens(batching, listen):
    before = listeners(os.getpid())
    with pytest.raises(ListenError, match="cannot listen on"):
        serve_dynamics(batching, Endpoint(bind=Address.parse(listen)))
    assert listeners(os.getpid()) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_server_listens_on_loopback_and_nowhere_else(batching, host):
    before = listeners(os.getpid())
    server = serve_dynamics(batching, Endpoint(bind=Address(host, 0)))
    opened = listeners(os.getpid()) - before
    server.stop(0.0)
    assert {f"{ip}:{port}" for ip, port in opened} == {str(server.address)}
    assert server.address.host == "127.0.0.1"


@pytest.mark.reliability(10, "secure_by_default")
def test_both_servers_of_another_process_listen_on_loopback_and_nowhere_else(peer):
    found = {f"{ip}:{port}" for ip, port in listeners(peer.pid)}
    assert found == {str(peer.dynamics), str(peer.learner)}
    assert all(address.startswith("127.0.0.1:") for address in found)


def test_a_listener_on_every_interface_would_be_seen():
    with socket.socket() as stranger:
        stranger.bind(("", 0))
        stranger.listen()
        assert ("0.0.0.0", stranger.getsockname()[1]) in listeners(os.getpid())


@pytest.mark.reliability(19, "port_and_owner_conflict")
def test_a_port_that_another_program_holds_is_named_with_its_owner(batching):
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(ListenError, match=rf"127\.0\.0\.1:{port}: .*process {os.getpid()} "):
            serve_dynamics(batching, Endpoint(bind=Address("127.0.0.1", port)))


@pytest.mark.reliability(19, "port_and_owner_conflict")
def test_a_second_server_on_a_port_is_refused_and_the_first_one_serves_on(batching, peer):
    pattern = rf"{peer.dynamics}: .*process {peer.pid} "
    with pytest.raises(ListenError, match=pattern):
        serve_dynamics(batching, Endpoint(bind=peer.dynamics))
    client = DynamicsClient(peer.dynamics)
    assert client.describe() == batching.describe()
    client.close()


def test_a_port_is_free_again_after_its_server_stopped(batching):
    first = serve_dynamics(batching, Endpoint())
    first.stop(0.0)
    second = serve_dynamics(batching, Endpoint(bind=first.address))
    second.stop(0.0)
    assert second.address == first.address

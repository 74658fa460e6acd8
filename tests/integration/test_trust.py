"""A run's servers let in who shows its keys, and nobody else, within two seconds."""

from __future__ import annotations

import stat
import time
from collections import Counter
from contextlib import closing, contextmanager

import grpc
import pytest

from moma.engines import keys
from moma_core.address import Address
from moma_core.pb import learner_pb2, learner_pb2_grpc
from moma_core.rpc.endpoint import Endpoint
from moma_core.rpc.handlers import Methods
from moma_core.rpc.learner import LearnerClient
from moma_core.rpc.server import serve
from moma_core.rpc.trust import DeniedError, ForbiddenError, Guard, Keys, Pass

SOON_S = 2.0
TIMES = 60
"""Attempts of each of the five kinds."""
SERVICE = "moma_core.pb.Learner"


@pytest.fixture
def made(tmp_path):
    """Makes directories of keys."""

    def make(name, **how):
        keys.make(tmp_path / name, (), 1, **({"mutual": False} | how))
        return tmp_path / name

    return make


@contextmanager
def served(directory, operators=()):
    """A server with these keys: its address, and how often each of its methods was reached."""
    reached = Counter()

    def describe(_, __):
        reached["Describe"] += 1
        return learner_pb2.DescribeRunReply(card="{}")

    methods: Methods = {"Describe": (learner_pb2.DescribeRunRequest, describe)}
    server = serve({SERVICE: methods}, Endpoint(keys=Keys(directory)), operators)
    try:
        yield server.address, reached
    finally:
        server.stop(0.0)


def ask(channel):
    """Asks over a channel of whatever kind."""
    stub = learner_pb2_grpc.LearnerStub(channel)
    return stub.Describe(learner_pb2.DescribeRunRequest(), timeout=SOON_S)


def shown(address, trust):
    """Asks as our own callers do; the answer is no card, so that is how one is known."""
    with closing(LearnerClient(address, trust=trust)) as client:
        client.describe()


def let_in(address, trust):
    """Asks with keys that are good."""
    with pytest.raises(ValueError, match="is no RunCard"):
        shown(address, trust)


def secure(address, directory):
    """A channel that knows the server and shows nothing."""
    tls = grpc.ssl_channel_credentials((directory / "ca.pem").read_bytes())
    options = (("grpc.ssl_target_name_override", "moma"),)
    return grpc.secure_channel(str(address), tls, options)


def attempts(made, right):
    """The five ways in that there must not be, each from the server's address to an error."""
    other, revoked = made("other"), copied(right / "worker.token")
    wrong = other / "worker.token"
    keys.renew(right, "worker")

    def no_token(address):
        with secure(address, right) as channel:
            ask(channel)

    def plaintext(address):
        with grpc.insecure_channel(str(address)) as channel:
            ask(channel)

    return {
        "no token": no_token,
        "wrong token": lambda address: shown(address, Pass(token=wrong, ca=right / "ca.pem")),
        "revoked token": lambda address: shown(address, Pass(token=revoked, ca=right / "ca.pem")),
        "wrong certificate": lambda address: shown(address, Keys(other).of("worker")),
        "plaintext": plaintext,
    }


@pytest.mark.reliability(10, "secure_by_default")
def test_of_three_hundred_attempts_without_the_keys_none_gets_in_and_each_is_refused_soon(
    made, record_property
):
    right = made("right")
    ways = attempts(made, right)
    with served(right) as (address, reached):
        for way in ways.values():
            for _ in range(TIMES):
                begun = time.monotonic()
                with pytest.raises((grpc.RpcError, DeniedError)):
                    way(address)
                assert time.monotonic() - begun < SOON_S
        assert reached == {}
        for role in ("worker", "operator"):
            let_in(address, Keys(right).of(role))
        assert reached["Describe"] == 2
    assert len(ways) * TIMES == 300
    record_property("tried", 300)
    record_property("note", "attempts without the keys, each refused within 2 s")


def test_without_the_guard_tokens_of_any_kind_would_get_in(made, monkeypatch):
    right = made("right")
    ways = attempts(made, right)
    monkeypatch.setattr(Guard, "admit", lambda *_, **__: None)
    with served(right) as (address, reached):
        ways["no token"](address)
        for name in ("wrong token", "revoked token"):
            with pytest.raises(ValueError, match="is no RunCard"):
                ways[name](address)
        assert reached["Describe"] == 3


def test_a_server_that_runs_refuses_a_token_soon_after_it_was_replaced(made):
    right = made("right")
    with served(right) as (address, reached):
        kept = Pass(token=copied(right / "worker.token"), ca=right / "ca.pem")
        let_in(address, kept)
        keys.renew(right, "worker")
        time.sleep(0.6)
        with pytest.raises(DeniedError, match="unknown or revoked"):
            shown(address, kept)
        let_in(address, Keys(right).of("worker"))
        assert reached["Describe"] == 2


def copied(token):
    """A token as it lies on another machine."""
    path = token.with_name("elsewhere.token")
    path.write_bytes(token.read_bytes())
    path.chmod(0o600)
    return path


def test_a_workers_token_is_refused_by_what_takes_an_operators(made):
    right = made("right")
    with served(right, operators=("Describe",)) as (address, reached):
        with pytest.raises(ForbiddenError, match="takes the run's operator token"):
            shown(address, Keys(right).of("worker"))
        let_in(address, Keys(right).of("operator"))
        assert reached["Describe"] == 1


def test_with_mutual_keys_a_token_alone_is_not_enough(made):
    right, other = made("right", mutual=True), made("other", mutual=True)
    with served(right) as (address, reached):
        let_in(address, Keys(right).of("worker"))
        stranger = right.with_name("mixed")
        stranger.mkdir()
        for name, source in (("worker.token", right), ("ca.pem", right), ("client.pem", other)):
            (stranger / name).write_bytes((source / name).read_bytes())
            (stranger / name).chmod(0o600)
        with pytest.raises(OSError, match=r".+"):
            shown(address, Pass(token=stranger / "worker.token"))
        (stranger / "client.pem").unlink()
        with pytest.raises(OSError, match=r".+"):
            shown(address, Pass(token=stranger / "worker.token"))
        assert reached["Describe"] == 1


def test_keys_are_for_their_owner_alone_and_others_are_refused(made):
    right = made("right")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in right.iterdir()}
    assert modes.pop("ca.pem") == 0o644
    assert set(modes.values()) == {0o600}
    assert modes.keys() == {"server.pem", "worker.token", "operator.token"}
    (right / "worker.token").chmod(0o644)
    with pytest.raises(ValueError, match="others may read it: chmod 600"):
        Keys(right)


def test_nobody_calls_beyond_loopback_in_plaintext():
    with pytest.raises(ValueError, match="give --token-file"):
        LearnerClient(Address("192.168.1.5", 80))


def test_a_proxy_in_the_environment_is_not_asked(made, monkeypatch):
    right = made("right")
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with served(right) as (address, reached):
        let_in(address, Keys(right).of("worker"))
        assert reached["Describe"] == 1
        monkeypatch.setenv("MOMA_HTTP_PROXY", "1")
        with pytest.raises(OSError, match=r"."):
            shown(address, Keys(right).of("worker"))


@pytest.mark.parametrize("command", ["serve", "learn", "train"])
def test_a_start_beyond_loopback_is_refused_with_the_command_that_makes_keys(
    cli, capsys, tmp_path, command
):
    what = {"serve": ("--model", tmp_path)}.get(
        command, ("reacher-tiny", "--run-dir", tmp_path / "r")
    )
    begun = time.process_time()  # it waits for nothing, so that others here do not count
    assert cli(command, *what, "--listen", "0.0.0.0:0") == 2
    assert time.process_time() - begun < SOON_S
    assert "moma keys DIR" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_the_command_makes_keys_once_and_renews_a_token(cli, capsys, tmp_path):
    where = tmp_path / "keys"
    assert cli("keys", where, "--host", "10.0.0.5", "--host", "node-1") == 0
    before = (where / "worker.token").read_bytes()
    said = capsys.readouterr().out
    assert str(where / "worker.token") in said
    assert before.decode().strip() not in said
    assert cli("keys", where) == 2
    assert "holds keys already" in capsys.readouterr().err
    assert (where / "worker.token").read_bytes() == before
    assert cli("keys", where, "--renew", "worker") == 0
    assert (where / "worker.token").read_bytes() != before

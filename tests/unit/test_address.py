"""Addresses as text, in cards and on command lines; what a server may listen on."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from moma_core import documents
from moma_core.address import FREE, Address
from moma_core.rpc.endpoint import Endpoint, ListenError
from moma_core.rpc.trust import Keys
from moma_core.runtime.commandline import parse
from moma_core.types import RunCard
from tests.builders import make_config, run_card

HERE = Address("127.0.0.1", 4711)


@pytest.mark.parametrize("text", ["127.0.0.1:4711", "localhost:0", "node-3:65535", "[::1]:80"])
def test_text_becomes_an_address_and_back(text):
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "0", ":80", "localhost", "127.0.0.1:", "h:http", "h:-1", "h:65536", "h:99999", "h:²"],
)
def test_what_is_no_host_and_port_is_refused_by_its_words(text):
    with pytest.raises(ValueError, match="must be HOST:PORT with a port up to 65535") as refusal:
        Address.parse(text)
    assert repr(text) in str(refusal.value)


def test_a_card_carries_its_servers_and_refuses_what_is_no_address():
    card = run_card(make_config())
    text = documents.dump(card)
    assert documents.parse(RunCard, text, "a peer").model_servers == card.model_servers != ()
    port = f'"port": {card.model_servers[0].port}'
    assert port in text
    for wrong in ('"port": 65536', '"port": "80"', '"port": null'):
        with pytest.raises(ValueError, match=r"a peer is no RunCard: .*(port|PORT)"):
            documents.parse(RunCard, text.replace(port, wrong), "a peer")


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that takes addresses."""

    learner: Address
    """The learner's."""
    servers: tuple[Address, ...] = ()
    """Several."""
    one: Address | None = None
    """One or none."""
    listen: Address = FREE
    """Where to listen."""


def test_a_command_line_takes_addresses_as_single_words():
    plain = parse(Command, ["--learner", "127.0.0.1:4711"], "x")
    assert plain == Command(learner=HERE)
    words = ["--learner", "a:1", "--servers", "b:2", "c:3", "--one", "d:4", "--listen", "e:5"]
    assert parse(Command, words, "x") == Command(
        learner=Address("a", 1),
        servers=(Address("b", 2), Address("c", 3)),
        one=Address("d", 4),
        listen=Address("e", 5),
    )


def test_a_command_line_says_which_flag_is_no_address(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(Command, ["--learner", "nowhere"], "x")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "--learner: address 'nowhere' must be" in said
    assert "HOST:PORT" in said


def test_an_endpoint_is_called_where_it_listens_unless_it_says_otherwise():
    bound = Endpoint().bound(4711)
    assert (bound.bind, bound.address) == (HERE, HERE)
    forwarded = Endpoint(bind=Address("localhost", 0), advertised=Address("node-3", 7000)).bound(1)
    assert (forwarded.bind, forwarded.address) == (Address("127.0.0.1", 1), Address("node-3", 7000))


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("0.0.0.0", "moma keys DIR"),
        ("[::]", "moma keys DIR"),
        ("192.168.1.5", "moma keys DIR"),
        ("example.org", "'example.org' is no IP address"),
    ],
)
def test_only_loopback_may_be_listened_on_without_keys(host, why):
    with pytest.raises(ListenError) as refusal:
        Endpoint(bind=Address(host, 80))
    assert str(refusal.value).startswith(f"cannot listen on '{host}:80'")
    assert why in str(refusal.value)


def test_peers_are_told_an_address_that_they_can_call_with_the_port_that_was_got(keys):
    every = Address("0.0.0.0", 0)
    with pytest.raises(ListenError, match="add --advertise HOST:0"):
        Endpoint(bind=every, keys=keys)
    endpoint = Endpoint(bind=every, advertised=Address("node-3", 0), keys=keys).bound(4711)
    assert endpoint.address == Address("node-3", 4711)
    assert endpoint.bind == Address("0.0.0.0", 4711)


@pytest.mark.parametrize(
    ("host", "own"),
    [("localhost", True), ("127.0.0.9", True), ("[::1]", True), ("10.0.0.1", False), ("n", False)],
)
def test_loopback_is_known_by_its_name_and_numbers(host, own):
    assert Address(host, 1).loopback is own


@pytest.fixture
def keys(tmp_path):
    """Files in the place of a run's keys; none of them is read here."""
    for name in ("ca.pem", "server.pem", "worker.token", "operator.token"):
        (tmp_path / name).touch(mode=0o600)
    return Keys(tmp_path)

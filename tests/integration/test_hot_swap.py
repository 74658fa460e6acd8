"""A server's model is replaced while clients ask: no answer mixes two, no broken one gets in."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest
import torch

from model_server.serving.swapped import Swapped
from model_server.world_model import files
from moma_core.address import Address
from moma_core.ports import InvalidFieldError
from moma_core.rpc.channel import once
from moma_core.rpc.replicas import Replicas
from moma_core.storage import StorageError
from tests.builders import PER_ROW
from tests.integration.parts import in_thread, make_rows, open_model, serving, until

CLIENTS, SWAPS, BROKEN = 8, 200, 10


class Spoilt:
    """A model that answers what is no number."""

    def __init__(self, inner):
        self._inner = inner

    def describe(self):
        return self._inner.describe()

    def metrics(self):
        return {}

    def predict(self, query):
        answer = self._inner.predict(query)
        return replace(answer, reward=answer.reward * torch.nan)


class Patched(Swapped):
    """Puts another model's weights into this one's, tensor by tensor."""

    def swap(self, build):
        made, mine = build(), self._inner
        mine._card = made.describe()
        with torch.no_grad():
            for old, new in zip(
                mine.ensemble.parameters(), made.ensemble.parameters(), strict=True
            ):
                old.copy_(new)
                time.sleep(0.002)


@pytest.fixture
def models(run):
    """Two models that differ in every weight, and say so."""
    one, other = open_model(run), open_model(run)
    with torch.no_grad():
        for weight in other.ensemble.parameters():
            weight.mul_(1.5)
    other._card = replace(other._card, digest="f" * 64)
    return one, other


@pytest.fixture
def spoilt(run, tmp_path):
    """A model's directory in one byte of which a bit is another."""
    place = shutil.copytree(run.model, tmp_path / "model")
    weights = next(place.glob("*.safetensors"))
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    return place


def asking(address, expected, over, found):
    """Asks again and again; counts answers by model, and those that are not what it answers."""
    rows = make_rows(next(iter(expected.values()))[0])
    with closing(Replicas((address,), once, print)) as client:
        while not over.is_set():
            answer = client.predict(rows)
            _, right = expected[answer.model]
            same = all(
                torch.allclose(getattr(answer, n).float(), getattr(right, n).float(), atol=1e-3)
                for n in PER_ROW
            )
            found[answer.model if same else "mixed"] += 1


def under_load(swapped, models, work):
    """Lets clients ask while `work` is done; returns what they counted."""
    cards = [one.describe() for one in models]
    expected = {c.digest: (c, m.predict(make_rows(c))) for c, m in zip(cards, models, strict=True)}
    over, counts = threading.Event(), [Counter() for _ in range(CLIENTS)]
    with serving(swapped) as (_, address):
        calls = [in_thread(lambda c=c: asking(address, expected, over, c)) for c in counts]
        until(lambda: all(counts), 30, "answers")
        work()
        over.set()
        for call in calls:
            call.result(10)
    return sum(counts, Counter())


@pytest.mark.reliability(9, "hot_swap_atomic")
def test_200_swaps_under_8_clients_mix_nothing_and_10_broken_models_are_refused(
    models, spoilt, record_property
):
    """A model server is told to take another model, and that one is broken.

    Symptom: "it goes on with the model that it has" in a model server's log.
    Cause: The model's files are not whole, or it answers what is no number.
    What we do: A model is built and tried aside, and bound only then; no answer is of two.
    What you do: Look after the files, and send SIGHUP again.
    """
    swapped, refused = Swapped(models[0]), []

    def swaps():
        for number in range(SWAPS):
            good = models[number % 2]
            if number % (SWAPS // BROKEN):
                swapped.swap(lambda good=good: good)
                continue
            build = (lambda: files.load(spoilt)) if number % 40 else (lambda: Spoilt(models[1]))
            with pytest.raises((StorageError, InvalidFieldError)):
                swapped.swap(build)
            refused.append(number)

    found = under_load(swapped, models, swaps)
    record_property("tried", SWAPS)
    record_property("passed", SWAPS - found["mixed"])
    assert len(refused) == BROKEN
    assert found["mixed"] == 0
    assert all(found[one.describe().digest] > 0 for one in models)


def test_weights_that_are_replaced_in_place_are_mixed(models, run):
    """Negative control."""
    patched = Patched(open_model(run))

    def swaps():
        for number in range(6):
            patched.swap(lambda n=number: models[1 - n % 2])

    assert under_load(patched, models, swaps)["mixed"] > 0


def test_a_served_model_is_loaded_anew_on_sighup_and_a_broken_one_is_not(
    run, model, spoilt, tmp_path
):
    place, log = shutil.copytree(run.model, tmp_path / "served"), tmp_path / "stderr.log"
    words = ("--model", place, "--threads", "1", "--announce", tmp_path / "address.json")
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "moma", "serve", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        until((tmp_path / "address.json").exists, 60, "address of a model server")
        told = json.loads((tmp_path / "address.json").read_text())
        with closing(Replicas((Address.parse(told["address"]),), once, print)) as client:
            [name] = [path.name for path in place.glob("*.safetensors")]
            for source, words in ((spoilt, "goes on with"), (run.model, "from now on")):
                shutil.copyfile(source / name, place / name)
                process.send_signal(signal.SIGHUP)
                until(lambda words=words: words in log.read_text(), 30, words)
                digest = client.predict(make_rows(model.describe())).model
                assert digest == model.describe().digest
    finally:
        process.kill()
        process.wait(10)

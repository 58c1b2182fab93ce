"""What waits to be sent: in order, in parts, once; and what happens to what is refused or left over."""

import logging
import threading
import time
from pathlib import Path

import pytest

from models.errors import TrackingError
from tasks.tracking import outbox
from tasks.tracking.outbox import Letter, Outbox, send_kept

LOGGER = logging.getLogger("tests.outbox")


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(outbox, "SEND_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(outbox, "RETRY_SECONDS", 0.02)


def points(*steps: int) -> list[outbox.Point]:
    return [("loss", 0.0, 1, step) for step in steps]


class Receiver:
    """MLflow's place: is away as long as `away` is set, and refuses what names step -13."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.away, self.num_asked = threading.Event(), 0

    def __call__(self, letter: Letter) -> None:
        self.num_asked += 1
        if self.away.is_set():
            raise TrackingError("away")
        if any(step == -13 for *_, step in letter.metrics):
            raise ValueError("no step -13 here")
        self.letters.append(letter)

    def wait_until_asked(self, times: int) -> None:
        deadline = time.monotonic() + 10
        while self.num_asked < times:
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)

    @property
    def steps(self) -> list[int]:
        return [step for letter in self.letters for *_, step in letter.metrics]


def opened(folder: Path, receiver: Receiver) -> Outbox:
    return Outbox(folder, "http://here", "r1", receiver, LOGGER)


def test_many_numbers_go_in_parts_in_order_and_the_state_goes_last(tmp_path):
    receiver = Receiver()
    receiver.away.set()
    box = opened(tmp_path, receiver)
    box.add(points(*range(2500)), {"one": "1"})
    receiver.away.clear()
    box.close("FINISHED", 30)
    assert receiver.steps == list(range(2500))
    assert max(len(letter.metrics) for letter in receiver.letters) == 1000
    assert [letter.status for letter in receiver.letters][-1] == "FINISHED"
    assert [letter.status for letter in receiver.letters][:-1] == [None] * (len(receiver.letters) - 1)
    assert [letter.tags for letter in receiver.letters if letter.tags] == [{"one": "1"}], "told once"
    assert not list(tmp_path.iterdir())


def test_numbers_wait_while_it_is_away_and_are_sent_once(tmp_path, caplog):
    receiver = Receiver()
    box = opened(tmp_path, receiver)
    receiver.away.set()
    box.add(points(0, 1))
    receiver.wait_until_asked(3)
    box.add(points(2))
    receiver.away.clear()
    box.close("FINISHED", 30)
    assert receiver.steps == [0, 1, 2]
    assert sum("wait until it is back" in record.message for record in caplog.records) == 1


def test_what_is_left_over_is_kept_and_sent_later(tmp_path, caplog):
    receiver = Receiver()
    receiver.away.set()
    box = opened(tmp_path / "unsent", receiver)
    box.add(points(*range(1001)), {"one": "1"})
    box.close("FAILED", 0.1)
    (file,) = (tmp_path / "unsent").iterdir()
    assert f"1001 numbers of run r1 are kept in {file}; the next run sends them" in caplog.text
    send_kept(tmp_path / "unsent", "http://here", receiver, LOGGER)
    receiver.away.clear()
    send_kept(tmp_path / "unsent", "http://elsewhere", receiver, LOGGER)
    assert file.exists() and not receiver.letters and "could not be sent: away" in caplog.text
    send_kept(tmp_path / "unsent", "http://here", receiver, LOGGER)
    assert not file.exists() and receiver.steps == list(range(1001))
    assert receiver.letters[-1].status == "FAILED" and receiver.letters[-1].tags == {"one": "1"}


def test_what_is_refused_is_named_and_holds_up_nothing_else(tmp_path, caplog):
    receiver = Receiver()
    box = opened(tmp_path, receiver)
    box.add(points(-13))
    receiver.wait_until_asked(1)
    box.add(points(14))
    box.close("FINISHED", 30)
    assert receiver.steps == [14] and receiver.letters[-1].status == "FINISHED"
    assert "MLflow refuses 1 numbers of run r1: no step -13 here" in caplog.text


def test_what_cannot_even_be_kept_is_said_to_be_lost(tmp_path, caplog):
    receiver = Receiver()
    receiver.away.set()
    (tmp_path / "file").write_text("")
    box = opened(tmp_path / "file", receiver)
    box.add(points(1, 2))
    box.close("FINISHED", 0.1)
    assert "2 numbers of run r1 are lost" in caplog.text


def test_a_damaged_file_is_named_and_left(tmp_path, caplog):
    (tmp_path / "r2.json").write_text("{")
    send_kept(tmp_path, "http://here", Receiver(), LOGGER)
    assert "r2.json could not be sent" in caplog.text and (tmp_path / "r2.json").exists()

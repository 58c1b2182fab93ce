"""What waits to be sent: in order, in parts, once; and what happens to what is refused or left over."""

import logging
import threading
import time
from pathlib import Path

import pytest

from models.errors import TrackingError
from tasks.tracking import outbox
from tasks.tracking.outbox import Letter, Outbox, RunGone, send_kept

LOGGER = logging.getLogger("tests.outbox")


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(outbox, "SEND_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(outbox, "RETRY_SECONDS", 0.02)


def points(*steps: int) -> list[outbox.Point]:
    return [("loss", 0.0, 1, step) for step in steps]


class Receiver:
    """MLflow's place: is away as long as `away` is set, knows no run while `gone` is, and refuses a whole letter for one thing in it:
    a number with a `?` in its name or at step -13, a tag without a value, the state UNHEARD_OF."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.away, self.gone, self.num_asked = threading.Event(), threading.Event(), 0

    def __call__(self, letter: Letter) -> None:
        self.num_asked += 1
        if self.away.is_set():
            raise TrackingError("away")
        if self.gone.is_set():
            raise RunGone
        if any(step == -13 for *_, step in letter.metrics):
            raise ValueError("no step -13 here")
        if any("?" in name for name, *_ in letter.metrics):
            raise ValueError("no ? in a name")
        if "" in letter.tags.values():
            raise ValueError("a tag says something")
        if letter.status == "UNHEARD_OF":
            raise ValueError("no such state")
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
    assert sum("the numbers of this run wait, training does not" in record.message for record in caplog.records) == 1


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


def test_what_is_refused_is_named_once_and_the_rest_is_delivered(tmp_path, caplog):
    receiver = Receiver()
    receiver.away.set()
    box = opened(tmp_path, receiver)
    box.add(points(*range(40), -13, *range(40, 80)), {"one": "1", "empty": "", "two": "2"})
    box.add([("pass?", 0.5, 1, step) for step in range(80, 90)])
    receiver.away.clear()
    box.close("FINISHED", 30)
    assert sorted(receiver.steps) == list(range(80))
    assert {key for letter in receiver.letters for key in letter.tags} == {"one", "two"}
    assert [letter.status for letter in receiver.letters if letter.status] == ["FINISHED"]
    assert receiver.letters[-1].status == "FINISHED", "the end comes last"
    told = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert sorted(told) == [
        "MLflow refuses the number loss (0.0 at step -13) of run r1: no step -13 here",
        "MLflow refuses the number pass? (0.5 at step 80) of run r1: no ? in a name",
        "MLflow refuses the tag empty of run r1: a tag says something",
    ]
    assert not list(tmp_path.iterdir())


def test_what_is_refused_again_and_again_is_told_once(tmp_path, caplog):
    receiver = Receiver()
    box = opened(tmp_path, receiver)
    for number in range(3):
        asked = receiver.num_asked
        box.add([("pass?", 0.5, 1, number), *points(number)])
        receiver.wait_until_asked(asked + 3)
    box.close("UNHEARD_OF", 30)
    assert sorted(receiver.steps) == [0, 1, 2]
    assert caplog.text.count("MLflow refuses the number pass?") == 1
    assert "MLflow refuses the state UNHEARD_OF of run r1: no such state" in caplog.text


def test_when_it_goes_away_between_the_parts_of_a_letter_the_rest_comes_later(tmp_path, caplog):
    receiver, was_away = Receiver(), threading.Event()

    def goes_away_once(letter: Letter) -> None:
        receiver(letter)
        if not was_away.is_set():
            was_away.set()
            receiver.away.set()

    box = Outbox(tmp_path, "http://here", "r1", goes_away_once, LOGGER)
    box.add(points(1, -13, 2, 3))
    receiver.wait_until_asked(5)
    assert receiver.letters, "a part has gone through"
    receiver.away.clear()
    box.close("FINISHED", 30)
    assert set(receiver.steps) == {1, 2, 3} and receiver.letters[-1].status == "FINISHED"
    assert caplog.text.count("MLflow refuses the number loss (0.0 at step -13)") == 1


def test_a_run_that_is_deleted_in_mlflow_is_told_of_once_and_nothing_is_kept_for_it(tmp_path, caplog):
    receiver = Receiver()
    receiver.gone.set()
    box = opened(tmp_path, receiver)
    box.add(points(1))
    receiver.wait_until_asked(1)
    box.add(points(2))
    box.close("FINISHED", 30)
    assert receiver.num_asked == 1 and not list(tmp_path.iterdir())
    assert caplog.text.count("run r1 is not in MLflow any more") == 1


def test_what_was_kept_is_delivered_but_for_what_is_refused(tmp_path, caplog):
    receiver = Receiver()
    outbox.keep(tmp_path, Letter(uri="http://here", run_id="r1", metrics=points(1, -13, 2), status="FAILED"))
    outbox.keep(tmp_path, Letter(uri="http://here", run_id="r2", metrics=points(3)))
    send_kept(tmp_path, "http://here", receiver, LOGGER)
    assert sorted(receiver.steps) == [1, 2, 3] and not list(tmp_path.iterdir())
    assert [letter.status for letter in receiver.letters if letter.status] == ["FAILED"]
    assert "MLflow refuses the number loss (0.0 at step -13) of run r1" in caplog.text
    outbox.keep(tmp_path, Letter(uri="http://here", run_id="r3", metrics=points(4)))
    receiver.gone.set()
    send_kept(tmp_path, "http://here", receiver, LOGGER)
    assert not list(tmp_path.iterdir()) and "run r3 is not in MLflow any more" in caplog.text


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

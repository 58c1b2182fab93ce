"""Many labelers at once, on a real server that is killed in the middle: what was confirmed is there, and nothing is there twice."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from labeling.store import accounts
from labeling.store.batches import mark_instructions_read, publish
from labeling.store.database import FeedbackStore
from labeling.store.schema import Assignment, Judgement, Labeler, SignIn, Task
from models.records import Completion, Prompt
from models.settings.batch import BatchConfig
from tests.free_port import free_port
from tests.waiting import CEILING_SECONDS, until_it_answers

NUM_PROMPTS = 8  # docs/results.md: fifty labelers with 100 prompts
NOW = datetime.now(UTC)


class Server:
    """`rein label` in a process of its own."""

    def __init__(self, store_url: str, log: Path):
        self.port = free_port()
        self.url, self.store_url, self.log = f"http://127.0.0.1:{self.port}", store_url, log
        self.is_up = threading.Event()

    def start(self) -> None:
        """Returns once it answers."""
        command = [Path(sys.executable).parent / "rein", "label", "--port", str(self.port), "--store", self.store_url]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until_it_answers(self.process, f"{self.url}/health", self.log)
        self.is_up.set()

    def kill(self) -> None:
        self.is_up.clear()
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Labelers:
    """Those who ask for a task, rank it at random, and send it until it is confirmed."""

    def __init__(self, server: Server, batch_id: str, deadline: float):
        self.server, self.batch_id, self.deadline = server, batch_id, deadline
        self.confirmed: list[tuple[int, str, list]] = []
        self.num_retries = 0

    def work(self, cookie: str, form_token: str, seed: int) -> None:
        generator = random.Random(seed)
        headers = {"X-Form-Token": form_token, "Origin": self.server.url}
        with httpx.Client(
            base_url=self.server.url, cookies={"rein_sign_in": cookie}, headers=headers, timeout=60
        ) as client:
            shown = self.post(client, f"/api/batches/{self.batch_id}/next", None)
            while shown["task"] is not None:
                names = [one["id"] for one in shown["task"]["completions"]]
                generator.shuffle(names)
                levels = [names] if generator.random() < 0.2 else [[name] for name in names]
                answer = {"submission": f"s{seed}-{shown['task']['assignment']}", "levels": levels}
                done = self.post(client, f"/api/assignments/{shown['task']['assignment']}/judgement", answer)
                self.confirmed.append((done["saved"], answer["submission"], [sorted(level) for level in levels]))
                shown = done["next"]

    def post(self, client: httpx.Client, path: str, json: dict | None) -> dict:
        while True:
            assert time.monotonic() < self.deadline, "took too long"
            try:
                answer = client.post(path, json=json)
            except httpx.TransportError:  # the server is gone: send the same again when it is back
                self.num_retries += 1
                assert self.server.is_up.wait(CEILING_SECONDS)
                continue
            assert answer.status_code == 200, answer.text
            return answer.json()


def prepared(store: FeedbackStore, num_labelers: int) -> tuple[str, list[tuple[str, str]]]:
    """A published batch, and (cookie, form token) of each labeler."""
    prompts = [Prompt.of(f"Problem {n}?", "train") for n in range(NUM_PROMPTS)]
    completions = [Completion.of(one.id, f"Advice {index}.") for one in prompts for index in range(4)]
    with store.write() as session:
        config = BatchConfig(labelers_per_prompt=num_labelers)
        batch_id = publish(session, config, "load", "Judge.", prompts, completions, (), NOW)
        cookies = []
        for number in range(num_labelers):
            token = accounts.add_labeler(session, f"labeler {number}", False, NOW)
            session.flush()
            cookies.append(accounts.sign_in(session, token, NOW))
        session.flush()
        for labeler in session.scalars(select(Labeler.id)):
            mark_instructions_read(session, labeler, batch_id, 1, NOW)
        tokens = [accounts.visitor_of(session, cookie, NOW).form_token for cookie in cookies]
        assert len(set(session.scalars(select(SignIn.form_token)))) == num_labelers
    return batch_id, list(zip(cookies, tokens, strict=True))


@pytest.mark.parametrize("num_labelers", [12, pytest.param(50, marks=pytest.mark.nightly)])
def test_many_labelers_and_a_killed_server(store, tmp_path, num_labelers):
    batch_id, sign_ins = prepared(store, num_labelers)
    server = Server(store.url, tmp_path / "server.log")
    server.start()
    try:
        labelers = Labelers(server, batch_id, time.monotonic() + CEILING_SECONDS)
        with ThreadPoolExecutor(num_labelers) as pool:
            working = [pool.submit(labelers.work, *one, seed) for seed, one in enumerate(sign_ins)]
            while len(labelers.confirmed) < 3 * num_labelers and not any(one.done() for one in working):
                threading.Event().wait(0.02)
            server.kill()
            server.start()
            for one in working:
                one.result()
    finally:
        server.process.terminate()
        server.process.wait()
    assert labelers.num_retries > 0, "the kill was noticed"
    with store.read() as session:
        rows = {row.id: row for row in session.scalars(select(Judgement))}
        places = session.execute(
            select(Task.prompt_id, Assignment.labeler_id, Assignment.state).join(Task, Task.id == Assignment.task_id)
        ).all()
    assert len(labelers.confirmed) == len(rows) == num_labelers * NUM_PROMPTS, "none lost, none twice"
    for saved, submission, levels in labelers.confirmed:
        assert (rows[saved].submission, rows[saved].levels) == (submission, levels)
    assert len({row.assignment_id for row in rows.values()}) == len(rows)
    assert {state for *_, state in places} == {"done"}
    assert Counter(prompt for prompt, _, _ in places) == dict.fromkeys({one for one, _, _ in places}, num_labelers)
    assert len({(prompt, labeler) for prompt, labeler, _ in places}) == len(places)

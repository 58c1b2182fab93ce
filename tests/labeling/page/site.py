"""A labelers' page that really runs: a store in a file, uvicorn in a thread, and people who sign in."""

import re
import socket
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvicorn
from sqlalchemy import select

from labeling.page.app import LOCAL_HOSTS
from labeling.page.serve import server_config
from labeling.store.accounts import add_labeler
from labeling.store.batches import GoldPrompt, publish
from labeling.store.database import FeedbackStore
from labeling.store.schema import Assignment, Judgement, Labeler
from models.records import Completion, Prompt
from models.settings.batch import BatchConfig, BatchTask, RankingTask

NOW = datetime(2026, 5, 1, tzinfo=UTC)
STORE = "feedback.db"
INSTRUCTIONS = "Put first what helps **most**."


class Site:
    """A store and a server over it, that can be stopped and started again on the same port."""

    def __init__(self, folder: Path):
        self.store = FeedbackStore(f"sqlite:///{folder / STORE}")
        self.tokens: dict[str, str] = {}
        self.clients: list[httpx.Client] = []
        self.port = 0
        self.start()

    def start(self) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", self.port))
        self.socket.listen(128)  # from now on who connects is kept waiting until the server runs
        self.port = self.socket.getsockname()[1]
        self.server = uvicorn.Server(server_config(self.store, "127.0.0.1", self.port, LOCAL_HOSTS))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.stop()
        self.store.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- who and what is there ---------------------------------------------------------------------------------------

    def add(self, name: str, is_overseer: bool = False) -> str:
        """A new person's token."""
        with self.store.write() as session:
            self.tokens[name] = add_labeler(session, name, is_overseer, NOW)
        return self.tokens[name]

    def publish(
        self,
        texts: dict[str, list[str]],
        task: BatchTask | None = None,
        title: str = "Advice",
        instructions: str = INSTRUCTIONS,
        labelers_per_prompt: int = 3,
        shown_first: str = "formatted",
        gold: Sequence[GoldPrompt] = (),
        **settings: object,
    ) -> str:
        """A batch of prompts (text -> texts of its completions) to judge by helpfulness; its id."""
        config = BatchConfig(
            task=task or RankingTask(),
            labelers_per_prompt=labelers_per_prompt,
            texts=shown_first,
            gold="gold.jsonl" if gold else None,
            **settings,
        )
        prompts = [Prompt.of(text, "train") for text in texts]
        completions = [
            Completion.of(prompt.id, text) for prompt in prompts for index, text in enumerate(texts[prompt.text])
        ]
        with self.store.write() as session:
            return publish(session, config, title, instructions, prompts, completions, gold, NOW)

    # --- what was said ----------------------------------------------------------------------------------------------

    def judgements(self, name: str) -> list[Judgement]:
        """All revisions of what someone said, oldest first."""
        with self.store.read() as session:
            query = select(Judgement).join(Assignment).join(Labeler).where(Labeler.name == name).order_by(Judgement.id)
            return list(session.scalars(query))

    def states(self, name: str) -> list[str]:
        """The states of someone's assignments, oldest first."""
        with self.store.read() as session:
            query = select(Assignment.state).join(Labeler).where(Labeler.name == name).order_by(Assignment.id)
            return list(session.scalars(query))

    # --- over HTTP ---------------------------------------------------------------------------------------------------

    def client(self) -> httpx.Client:
        """Someone who is not signed in, and whose requests come from the page itself."""
        self.clients.append(httpx.Client(base_url=self.url, headers={"Origin": self.url}, verify=False, timeout=60))
        return self.clients[-1]

    def sign_in(self, name: str) -> httpx.Client:
        """A client that is signed in and sends its form token along."""
        client = self.client()
        token = self.tokens.get(name) or self.add(name)
        answer = client.post("/sign-in", data={"token": token})
        assert answer.status_code == 303, answer.text
        client.headers["X-Form-Token"] = form_token(client.get("/batches").text)
        return client

    def labeler(self, name: str, batch_id: str) -> httpx.Client:
        """As `sign_in`, with the batch's instructions read."""
        client = self.sign_in(name)
        read(client, batch_id, 1)
        return client


def form_token(page: str) -> str:
    return re.search(r'name="form_token" value="([^"]+)"', page)[1]


def read(client: httpx.Client, batch_id: str, version: int) -> None:
    answer = client.post(f"/batches/{batch_id}/instructions-read", data={"version": version})
    assert answer.status_code == 303, answer.text


def next_of(client: httpx.Client, batch_id: str) -> dict:
    answer = client.post(f"/api/batches/{batch_id}/next")
    assert answer.status_code == 200, answer.text
    return answer.json()


def names_of(task: dict) -> list[str]:
    return [one["id"] for one in task["completions"]]

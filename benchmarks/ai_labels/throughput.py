"""How much of what a server can give a labeler takes: 16 questions at once, each answered after 50 ms.

What it can give is measured in the same run, with 16 bare connections that send the same bytes again and again and read nothing of the answers:
320 a second less what the server itself takes for each.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ai_labels.server import RESPONSE
from benchmarks.trials import PROJECT
from labeling.labelers.ai import ask_model
from models.judge_model.kept_answers import KeptAnswers
from models.records import Completion, Prompt
from models.settings.asked.labels import AILabeler

CONCURRENCY, LATENCY_SECONDS = 16, 0.05
WANTED_SHARE = 0.9


async def most_per_second(port: int, num_questions: int) -> float:
    """What the server answers in a second to clients that do nothing but wait for it."""
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "What helps? " * 40}]}).encode()
    question = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    left = iter(range(num_questions))

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            writer.write(question)
            await reader.readexactly(len(RESPONSE))
        writer.close()
        await writer.wait_closed()

    started = time.monotonic()
    await asyncio.gather(*(ask() for _ in range(CONCURRENCY)))
    return num_questions / (time.monotonic() - started)


def measure(num_prompts: int) -> dict[str, Any]:
    """Asks about two completions of each prompt, in both orders, and keeps each answer; the labels are the same tie, which is no matter."""
    prompts = [Prompt.of(f"Question {number}: what helps?", "train") for number in range(num_prompts)]
    shown = [
        (one, [Completion.of(one.id, text) for text in ("Open a window.", "Wait until it is over.")]) for one in prompts
    ]
    with serving() as port, tempfile.TemporaryDirectory() as folder:
        with ThreadPoolExecutor(1) as beside:  # this thread may have a loop of its own
            possible = beside.submit(lambda: asyncio.run(most_per_second(port, num_prompts))).result()
        address = f"http://127.0.0.1:{port}/v1"
        labeler = AILabeler(
            name="judge", model={"kind": "endpoint", "address": address, "model": "m", "concurrency": CONCURRENCY}
        )
        started = time.monotonic()
        said = ask_model(labeler, "helpfulness", shown, KeptAnswers(Path(folder) / "answers.jsonl"))
        seconds = time.monotonic() - started
    per_second = said.told["answers"] / seconds
    return {
        "case": f"{CONCURRENCY} at once, {LATENCY_SECONDS:g} s each",
        "answers": said.told["answers"],
        "seconds": round(seconds, 2),
        "answers_per_second": round(per_second, 1),
        "server_can_per_second": round(possible, 1),
        "share": round(per_second / possible, 3),
        "load_average": round(
            os.getloadavg()[0], 1
        ),  # of the machine: what waits for a processor, too, waits longer for answers
        "as_wanted": per_second / possible >= WANTED_SHARE,
    }


@contextmanager
def serving() -> Iterator[int]:
    """The port of a server in a process of its own."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.ai_labels.server", str(port), str(LATENCY_SECONDS)]
    process = subprocess.Popen(command, cwd=PROJECT)
    try:
        while process.poll() is None and not _listens(port):
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

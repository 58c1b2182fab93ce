"""Labelers that are language models, behind a real server: their rankings, what of them can be read, and that a kill loses no answer."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from labeling.labelers.ai import ask_model, shown_together
from models.errors import DataError
from models.judge_model.kept_answers import KeptAnswers
from models.records import Completion, Prompt, Ranking
from models.settings.asked.labels import AILabeler
from tests.models.judge_server import chat, longer_is_better, serving, shown
from tests.waiting import until

PROJECT = Path(__file__).resolve().parents[3]
PROMPT = Prompt.of("My sink leaks.", "train")
TEXTS = ("a", "bb", "ccc", "dd dd")


def completions(prompt: Prompt, *texts: str) -> list[Completion]:
    return [Completion.of(prompt.id, text) for text in texts]


def labeler(address: str, **settings) -> AILabeler:
    model = {"kind": "endpoint", "address": address, "model": "small", "backoff_seconds": 0.01}
    return AILabeler(name="judge", model=model, **settings)


def ranked(ranking: Ranking, texts=TEXTS) -> list[set[str]]:
    text_of = {one.id: one.text for one in completions(PROMPT, *texts)}
    return [{text_of[name] for name in level} for level in ranking.levels]


@pytest.mark.parametrize(("asks", "questions"), [("pairs", 4 * 3), ("lists", 2)])
def test_it_ranks_all_completions_of_a_prompt(asks, questions):
    """Of four completions there are six pairs, each asked in both orders; or one list, asked forwards and backwards."""
    with serving(longer_is_better) as server:
        said = ask_model(
            labeler(server.address, asks=asks), "length", [(PROMPT, completions(PROMPT, *TEXTS))], KeptAnswers()
        )
        assert len(server.bodies) == questions
    (ranking,) = said.rankings
    assert ranked(ranking) == [{"dd dd"}, {"ccc"}, {"bb"}, {"a"}]
    assert (ranking.labeler, ranking.criterion, ranking.prompt_id) == ("judge", "length", PROMPT.id)
    assert (said.told["position_bias"], said.told["consistency"], said.told["answers"]) == (0, 1, questions)
    assert said.told["prompt_tokens"] == 100 * questions and said.unreadable == []


def test_what_it_says_of_nothing_but_the_order_is_a_tie_and_what_cannot_be_read_is_left_out():
    def judge(body: dict) -> dict:
        return chat("no idea" if "a" in shown(body) else "1")

    with serving(judge) as server:
        said = ask_model(labeler(server.address), "length", [(PROMPT, completions(PROMPT, *TEXTS))], KeptAnswers())
    assert ranked(*said.rankings) == [{"bb", "ccc", "dd dd"}], "a is in no pair that could be read"
    assert said.told["unreadable"] == 6 and said.unreadable == ["no idea"] * 5
    with serving(lambda body: chat("no idea")) as server:
        nothing = r"judge: no ranking follows from any of 12 answers, such as 'no idea'; look at the model"
        with pytest.raises(DataError, match=nothing):
            ask_model(labeler(server.address), "length", [(PROMPT, completions(PROMPT, *TEXTS))], KeptAnswers())


def test_beside_people_it_is_asked_about_what_somebody_saw_together():
    a, b, c, d = completions(PROMPT, *TEXTS)
    rankings = [
        *(Ranking.of(PROMPT.id, who, "x", [[a.id], [b.id]]) for who in ("ann", "ben")),
        Ranking.of(PROMPT.id, "cleo", "x", [[b.id], [c.id, a.id]]),
        Ranking.of(PROMPT.id, "dan", "x", [[d.id]]),
    ]
    together = shown_together([PROMPT], [a, b, c, d], rankings)
    assert [prompt for prompt, _ in together] == [PROMPT, PROMPT]
    assert {frozenset(one.text for one in texts) for _, texts in together} == {
        frozenset({"a", "bb"}),
        frozenset({"a", "bb", "ccc"}),
    }


KILLED = """
import sys
from pathlib import Path
from labeling.labelers.ai import ask_model
from models.judge_model.kept_answers import KeptAnswers
from tests.labeling.labelers.test_ai import hundred, labeler

ask_model(labeler(sys.argv[1]), "length", hundred(), KeptAnswers(Path(sys.argv[2])))
"""


def hundred() -> list[tuple[Prompt, list[Completion]]]:
    """Of two completions each: 200 questions."""
    prompts = [Prompt.of(f"Question {number}.", "train") for number in range(100)]
    return [(prompt, completions(prompt, "a", "bb")) for prompt in prompts]


def test_a_kill_in_the_middle_of_200_judgements_loses_none_that_was_answered(tmp_path):
    """The server answers a hundred questions and then holds all others until the process that asks them is dead."""
    kept, killed = tmp_path / "answers.jsonl", threading.Event()
    answered: list[str] = []

    def judge(body: dict) -> dict:
        with server.lock:
            is_answered = len(answered) < 100
            if is_answered:
                answered.append(body["messages"][0]["content"])
        if not is_answered and not killed.is_set():
            killed.wait()
        return longer_is_better(body)

    with serving(judge) as server:
        command = [sys.executable, "-c", KILLED, server.address, str(kept)]
        process = subprocess.Popen(command, cwd=PROJECT)
        until(lambda: kept.exists() and kept.read_bytes().count(b"\n") == 100 and len(server.bodies) == 116)
        process.kill()
        process.wait()
        assert len(kept.read_text().splitlines()) == 100
        killed.set()
        before = len(server.bodies)
        said = ask_model(labeler(server.address), "length", hundred(), KeptAnswers(kept))
        again = [body["messages"][0]["content"] for body in server.bodies[before:]]
    assert len(again) == 100 and not set(again) & set(answered), "only the rest is asked"
    assert len(said.rankings) == 100 and said.told["answers"] == 200
    assert len({json.loads(line)["key"] for line in kept.read_text().splitlines()}) == 200

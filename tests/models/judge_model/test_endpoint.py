"""A judge model behind a real server that is busy, slow, broken, or wants another key."""

import math
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import ValidationError

from models.errors import ConfigError, DataError, PipelineError
from models.judge_model.endpoint import open_model
from models.judge_model.judge_model import Question, ask_all, usage_of
from models.judge_model.kept_answers import KeptAnswers
from models.settings.asked.judge_models import EndpointModel
from tests.free_port import free_port
from tests.models.judge_server import JudgeServer, chat, cut_off, serving, silent, status
from tests.tolerances import close

WHICH = Question(messages=({"role": "user", "content": "1 or 2?"},), options=("1", "2"), max_tokens=4)


def endpoint(server: JudgeServer, **settings) -> EndpointModel:
    return EndpointModel(address=server.address, model="small", backoff_seconds=0.01, **settings)


def one(body: dict) -> dict:
    return chat("1")


def question(text: str) -> Question:
    return Question(messages=({"role": "user", "content": text},), max_tokens=4)


def test_what_is_asked_and_what_is_read():
    with serving(lambda body: chat("1", {"1": 0.5, " 1": 0.1, "2": 0.3, "The": 0.1})) as server:
        answer = open_model(endpoint(server)).ask(WHICH)
    (body,) = server.bodies
    assert body == {
        "model": "small",
        "messages": [{"role": "user", "content": "1 or 2?"}],
        "max_tokens": 4,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 20,
    }
    assert answer.text == "1" and (answer.prompt_tokens, answer.completion_tokens) == (100, 2)
    assert close(math.exp(answer.logprobs["1"]), 0.6), "with and without a space before it"
    assert close(math.exp(answer.logprobs["2"]), 0.3) and set(answer.logprobs) == {"1", "2"}


def test_a_server_that_tells_no_probabilities():
    with serving(one) as server:
        assert open_model(endpoint(server)).ask(WHICH).logprobs == {}
        open_model(endpoint(server, logprobs=False)).ask(WHICH)
    assert "logprobs" in server.bodies[0] and "logprobs" not in server.bodies[1]


@pytest.mark.parametrize(
    "fault",
    [
        *(status(429, "slow down", Retry_After="0"), status(500), status(503, "<html>", Retry_After="soon")),
        *(status(200, "<html>welcome</html>"), status(200, '{"object": "error"}'), status(200, '["list"]')),
        *(status(200, '{"choices": []}'), cut_off),
    ],
    ids=["429", "500", "503", "html", "no choices", "a list", "none chosen", "half an answer"],
)
def test_after_a_fault_it_is_asked_again(fault):
    with serving(one, fault, fault) as server:
        assert open_model(endpoint(server)).ask(WHICH).text == "1"
    assert len(server.bodies) == 3 and server.bodies[0] == server.bodies[2]


def test_a_server_that_does_not_answer_in_time():
    with serving(one, silent) as server:
        assert open_model(endpoint(server, timeout_seconds=0.2)).ask(WHICH).text == "1"
        server.replies += [silent, silent]
        with pytest.raises(PipelineError, match=r"v1/chat/completions: no answer within 0.2 s; asked 2 times"):
            open_model(endpoint(server, timeout_seconds=0.2, num_tries=2)).ask(WHICH)


def test_it_waits_as_long_as_the_server_asks_for():
    """By its own backoff it would wait a minute."""
    soon = format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)
    with serving(one, status(429, Retry_After="0.3"), status(429, Retry_After=soon)) as server:
        model = open_model(EndpointModel(address=server.address, model="small", backoff_seconds=60))
        began = time.monotonic()
        model.ask(WHICH)
        assert 0.3 <= time.monotonic() - began < 30
    hours = pytest.raises(PipelineError, match="asks to wait for 7200 s; what was answered so far is kept")
    with serving(one, status(429, Retry_After="7200")) as server, hours:
        open_model(endpoint(server)).ask(WHICH)


def test_a_fault_that_lasts_ends_after_so_many_tries():
    complaint = pytest.raises(PipelineError, match=r"its answer is no chat completion: 'no'.*asked 3 times")
    with serving(one, *[status(200, "no")] * 3) as server, complaint:
        open_model(endpoint(server, num_tries=3)).ask(WHICH)
    assert len(server.bodies) == 3
    away = EndpointModel(address=f"http://127.0.0.1:{free_port()}/v1", model="m", num_tries=2, backoff_seconds=0.01)
    with pytest.raises(PipelineError, match=r"cannot be reached.*asked 2 times"):
        open_model(away).ask(WHICH)


@pytest.mark.parametrize(
    ("reply", "error", "complaint"),
    [
        (status(401, "bad key"), ConfigError, r"refuses the key in MY_API_KEY \(401\)"),
        (status(403), ConfigError, r"refuses the key in MY_API_KEY \(403\)"),
        (status(404, "no such model"), ConfigError, r"not there, or no model 'small' \(404\): 'no such model'"),
        (status(307, Location="https://other/v1"), ConfigError, "it has moved to https://other/v1"),
        (status(400, "context is full"), DataError, r"refuses a question \(400\): 'context is full'.*logprobs: false"),
    ],
    ids=["401", "403", "404", "307", "400"],
)
def test_what_asking_again_cannot_mend_ends_it_at_once(reply, error, complaint, monkeypatch):
    monkeypatch.setenv("MY_API_KEY", "s3cret")
    with serving(one, reply) as server, pytest.raises(error, match=complaint) as caught:
        open_model(endpoint(server, key_variable="MY_API_KEY")).ask(WHICH)
    assert len(server.bodies) == 1 and "s3cret" not in str(caught.value)


def test_the_key_comes_from_the_variable_alone(monkeypatch):
    monkeypatch.delenv("MY_API_KEY", raising=False)
    config = EndpointModel(address="http://localhost:1/v1", model="m", key_variable="MY_API_KEY")
    with pytest.raises(ConfigError, match="MY_API_KEY is not set"):
        open_model(config)
    monkeypatch.setenv("MY_API_KEY", "s3cret\n")
    with serving(one) as server:
        open_model(endpoint(server, key_variable="MY_API_KEY")).ask(WHICH)
    assert server.headers[0]["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in config.model_dump_json()


@pytest.mark.parametrize(
    "settings",
    [{"key_variable": "AWS_SECRET_ACCESS_KEY"}, {"address": "http://me:s3cret@host/v1"}, {"address": "file:///etc"}],
)
def test_no_setting_holds_a_secret_or_sends_another_one_off(settings):
    with pytest.raises(ValidationError) as caught:
        EndpointModel(**{"address": "http://host/v1", "model": "m"} | settings)
    assert "s3cret" not in str(caught.value)


def test_tokens_and_what_they_cost_are_added_up():
    with serving(one) as server:
        model = open_model(endpoint(server, price_prompt=2, price_completion=10))
        answers = ask_all(model, [question("a"), question("b")], KeptAnswers())
    # two of 100 + 2 tokens: 200 * 2 / 1e6 + 4 * 10 / 1e6
    assert usage_of(model, answers) == {"answers": 2, "prompt_tokens": 200, "completion_tokens": 4, "cost": 0.00044}


def test_so_many_questions_are_under_way_at_once_and_no_more():
    together = []

    def judge(body: dict) -> dict:
        with server.lock:
            server.under_way += 1
            together.append(server.under_way)
        time.sleep(0.01)  # what an answer takes
        with server.lock:
            server.under_way -= 1
        return chat(body["messages"][0]["content"])

    with serving(judge) as server:
        server.under_way = 0
        model = open_model(endpoint(server, concurrency=4))
        answers = ask_all(model, [question(str(n)) for n in range(40)], KeptAnswers())
    assert [answer.text for answer in answers] == [str(n) for n in range(40)], "in the order of the questions"
    assert max(together) == 4


def test_what_is_kept_is_not_asked_again_nor_one_question_twice(tmp_path):
    file = tmp_path / "deep" / "answers.jsonl"
    with serving(lambda body: chat(body["messages"][0]["content"])) as server:
        model = open_model(endpoint(server))
        ask_all(model, [question("a"), question("b"), question("a")], KeptAnswers(file))
        assert len(server.bodies) == 2
        with file.open("a") as half:
            half.write('{"key": "q_half an answ')  # a kill came while it was written
        heard: list[float] = []
        texts = [a.text for a in ask_all(model, [question("c"), question("a")], KeptAnswers(file), heard.append)]
        assert texts == ["c", "a"] and heard == [100.0]
        assert [body["messages"][0]["content"] for body in server.bodies[2:]] == ["c"]
        other = open_model(EndpointModel(address=server.address, model="other"))
        ask_all(other, [question("a")], KeptAnswers(file))
        assert len(server.bodies) == 4, "what another model said is no answer of this one"
    assert len(file.read_text().splitlines()) == 4


def test_what_is_answered_beside_a_failure_is_kept(tmp_path):
    def judge(body: dict) -> dict:
        return chat(body["messages"][0]["content"])

    broken = status(200, "")
    with serving(judge, *[None] * 10, broken, broken) as server:
        model = open_model(endpoint(server, concurrency=1, num_tries=2))
        with pytest.raises(PipelineError, match="what was answered so far is kept"):
            ask_all(model, [question(str(n)) for n in range(50)], KeptAnswers(tmp_path / "kept"))
        assert len(server.bodies) < 50, "the rest is not asked for nothing"
        kept = KeptAnswers(tmp_path / "kept")
        assert len((tmp_path / "kept").read_text().splitlines()) == len(server.bodies) - 2 >= 10
        before = len(server.bodies)
        ask_all(model, [question(str(n)) for n in range(50)], kept)
        assert len(server.bodies) - before == 50 - (before - 2), "the next time the rest alone is asked"

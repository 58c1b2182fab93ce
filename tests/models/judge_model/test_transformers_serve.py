"""A judge model behind `transformers serve`, a server that others wrote: it says what the same weights say in this process."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from models.judge_model import endpoint, local
from models.judge_model.judge_model import Question
from models.judge_model.kept_answers import KeptAnswers
from models.judge_model.verdicts import Asker, Texts
from models.settings.asked.judge_models import AskedModel, EndpointModel, LocalModel
from tests.free_port import free_port
from tests.waiting import until_it_answers

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(
        importlib.util.find_spec("openai") is None, reason="`transformers serve` needs the package openai"
    ),
]


@pytest.fixture(scope="module")
def served(config: LocalModel, tmp_path_factory) -> Iterator[EndpointModel]:
    port, log = free_port(), tmp_path_factory.mktemp("serve") / "log"
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", config.base.model]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
    until_it_answers(process, f"http://127.0.0.1:{port}/health", log)
    yield EndpointModel(address=f"http://127.0.0.1:{port}/v1", model=config.base.model, concurrency=2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_it_says_what_the_same_weights_say_here(config, served):
    question = Question(messages=({"role": "user", "content": "my sink is leaking"},), max_tokens=12)
    there, here = (module.open_model(one).ask(question) for module, one in ((endpoint, served), (local, config)))
    assert there.text.strip() == here.text != ""
    assert there.prompt_tokens == here.prompt_tokens and there.completion_tokens > 0


def test_what_it_says_without_sense_is_no_label(served):
    one = Asker(AskedModel(model=served, preamble=""), "helpfulness", KeptAnswers())
    labels = one.compare([Texts("my sink", ("call", "wait")), Texts("my lamp", ("wait", "call"))])
    figures = one.tally.figures(one.model)
    assert labels.count(None) * 2 >= figures["unreadable"] and figures["answers"] == 4
    assert figures["prompt_tokens"] > 0 and endpoint.tells_probabilities(served) is False

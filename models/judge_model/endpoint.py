"""A judge model behind any server that speaks OpenAI's chat completions.

Where the server is busy (429), fails (5xx), does not answer in time, cuts the answer off or gives back no chat completion, the question is asked
again, after the wait that the server asks for (Retry-After) or else one that doubles. What asking again cannot mend ends it at once.
"""

import email.utils
import math
import os
import random
import threading
import time
import weakref
from collections import Counter
from collections.abc import Sequence
from typing import Any

import httpx

from models.errors import ConfigError, DataError, PipelineError
from models.judge_model.judge_model import Answer, Question
from models.settings.asked.judge_models import EndpointModel

MOST_LIKELY = 20  # tokens that a server tells the log-probabilities of; OpenAI's gives no more
LONGEST_WAIT_SECONDS = 300.0
SHOWN = 200
GREETING = Question(
    messages=({"role": "user", "content": "Answer with 1, and nothing else."},), options=("1",), max_tokens=8
)


class AnswerError(PipelineError):
    """The server gave no usable answer, and might the next time. `wait_seconds`: what it asked for; None: nothing."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


def open_model(config: EndpointModel) -> "_Endpoint":
    """The model there. Raises ConfigError where the variable that is to hold the key is not set; the server is not asked yet."""
    return _Endpoint(config)


def tells_probabilities(config: EndpointModel) -> bool:
    """Asks the server a short question, twice at most. Raises as `ask` does."""
    once_more = config.model_copy(update={"num_tries": min(config.num_tries, 2)})
    return bool(_Endpoint(once_more).ask(GREETING).logprobs)


class _Endpoint:
    def __init__(self, config: EndpointModel) -> None:
        self.config, self.num_at_once = config, config.concurrency
        self.price_prompt, self.price_completion = config.price_prompt, config.price_completion
        self.address = f"{config.address.rstrip('/')}/chat/completions"
        self._url = httpx.URL(self.address)  # read once
        self.identity = f"{config.model} at {self.address}"
        self._stopped = threading.Event()
        self._http = httpx.Client(
            headers=_headers(config),
            timeout=config.timeout_seconds,
            limits=httpx.Limits(max_connections=config.concurrency, max_keepalive_connections=config.concurrency),
        )
        weakref.finalize(self, self._http.close)  # whoever asks has no end of its own

    def ask(self, question: Question) -> Answer:
        """The answer. Raises ConfigError for a key that is refused and an address that leads nowhere, DataError for a question that
        is, PipelineError where the server has not answered in `num_tries` tries."""
        body = self._body(question)
        wait = self.config.backoff_seconds
        for tries in range(1, self.config.num_tries + 1):
            try:
                return self._asked_once(body, question.options)
            except AnswerError as error:
                if tries == self.config.num_tries or self._stopped.is_set():
                    raise PipelineError(f"{error}; asked {tries} times; what was answered so far is kept") from None
                asked_for = error.wait_seconds
            if asked_for is not None and asked_for > LONGEST_WAIT_SECONDS:
                raise PipelineError(
                    f"{self.address}: busy, and asks to wait for {asked_for:.0f} s; what was answered so far is kept: run the same again then"
                )
            self._stopped.wait(wait * random.uniform(0.75, 1.25) if asked_for is None else asked_for)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
        raise AssertionError("the last try raises")

    def stop(self) -> None:
        self._stopped.set()

    def _body(self, question: Question) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.config.model,
            "messages": list(question.messages),
            "max_tokens": question.max_tokens,
            "temperature": 0,
        }
        if question.options and self.config.logprobs:
            body |= {"logprobs": True, "top_logprobs": MOST_LIKELY}
        return body

    def _asked_once(self, body: dict[str, Any], options: Sequence[str]) -> Answer:
        try:
            response = self._http.post(self._url, json=body)
        except httpx.TimeoutException:
            raise AnswerError(f"{self.address}: no answer within {self.config.timeout_seconds:g} s") from None
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise AnswerError(f"{self.address}: cannot be reached, or cuts its answers off ({reason})") from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ConfigError(f"{self.address}: no address of a server ({error})") from None
        self._refuse(response)
        try:
            return _read(response.json(), options)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise AnswerError(
                f"{self.address}: its answer is no chat completion: {response.text[:SHOWN]!r}; is this an OpenAI-compatible server?"
            ) from None

    def _refuse(self, response: httpx.Response) -> None:
        """Raises what the status says, if it says that something is wrong."""
        status, said = response.status_code, response.text[:SHOWN]
        if status in (401, 403):
            variable = self.config.key_variable
            why = f"refuses the key in {variable}" if variable else "asks for a key: name its variable in key_variable"
            raise ConfigError(f"{self.address}: {why} ({status})")
        if response.is_redirect:
            raise ConfigError(
                f"{self.address}: it has moved to {response.headers.get('location')}; use the address there"
            )
        if status == 404:
            raise ConfigError(f"{self.address}: not there, or no model {self.config.model!r} (404): {said!r}")
        if status in (408, 409, 425, 429) or status >= 500:
            raise AnswerError(f"{self.address}: busy or failing ({status}): {said!r}", _retry_after(response))
        if status >= 400:
            hint = "; if it knows no logprobs, set logprobs: false" if self.config.logprobs else ""
            raise DataError(f"{self.address}: refuses a question ({status}): {said!r}{hint}")


def _headers(config: EndpointModel) -> dict[str, str]:
    if config.key_variable is None:
        return {}
    key = os.environ.get(config.key_variable, "").strip()
    if not key:
        raise ConfigError(f"{config.key_variable} is not set; it holds the key of {config.address}")
    return {"Authorization": f"Bearer {key}"}


def _retry_after(response: httpx.Response) -> float | None:
    """The seconds that the server asks to wait, which may be given as a date (RFC 9110, section 10.2.3)."""
    said = response.headers.get("retry-after")
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _read(said: dict[str, Any], options: Sequence[str]) -> Answer:
    (choice, *_), usage = said["choices"], said.get("usage") or {}
    return Answer(
        text=choice["message"]["content"] or "",  # some say nothing where they have reasoned too long, or refuse
        logprobs=_first_token(choice.get("logprobs") or {}, options),
        prompt_tokens=usage.get("prompt_tokens") or 0,
        completion_tokens=usage.get("completion_tokens") or 0,
    )


def _first_token(logprobs: dict[str, Any], options: Sequence[str]) -> dict[str, float]:
    """Option -> log of the summed probability of the tokens that spell it, at the first token of the answer that is no white space."""
    tokens = [one for one in logprobs.get("content") or () if one["token"].strip()]
    found: Counter[str] = Counter()
    for one in (tokens[0].get("top_logprobs") or tokens[:1]) if tokens else ():
        if (spelled := one["token"].strip()) in options:
            found[spelled] += math.exp(one["logprob"])
    return {option: math.log(probability) for option, probability in found.items() if probability > 0}

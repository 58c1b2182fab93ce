"""The settings of a language model that judges texts: where it is, and what it is told before each question."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from models.settings.addresses import EndpointAddress
from models.settings.base import Count, Kind, OneOf, Positive, Settings
from models.settings.compute import Compute
from models.settings.training import PretrainedBase

Price = Annotated[float, Field(ge=0)]


class JudgeModelKind(Kind):
    """A language model that is asked. Its module promises `open_model` (models/judge_model/judge_model.py)."""

    @property
    def named(self) -> str:
        """What the model is called: two of one name are one model, wherever they are."""
        raise NotImplementedError


class EndpointModel(JudgeModelKind):
    """A model behind a server that speaks OpenAI's chat completions: a provider's, llama.cpp's, vLLM's, `transformers serve`."""

    code = "models.judge_model.endpoint"
    uncounted_fields = (
        *("key_variable", "concurrency", "timeout_seconds", "num_tries", "backoff_seconds"),
        *("price_prompt", "price_completion"),
    )
    kind: Literal["endpoint"] = "endpoint"
    address: EndpointAddress
    """Where it is, up to what stands before /chat/completions, such as https://host/v1. `${NAME}` is replaced from the environment."""
    model: Annotated[str, Field(pattern=r"\S")]
    """What the server calls the model."""
    key_variable: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*API_KEY$")] | None = None
    """The environment variable that holds the key, such as OPENAI_API_KEY; left out, none is sent. The key itself stands in no setting."""
    logprobs: bool = True
    """Ask for the log-probabilities of the answers; false for a server that refuses a request for them."""
    concurrency: Count = 16
    """Questions under way at once."""
    timeout_seconds: Positive = 60.0
    """How long to wait for an answer."""
    num_tries: Count = 6
    """How often a question is asked in all, where the server is busy, fails, or answers with half an answer or none."""
    backoff_seconds: Positive = 1.0
    """The wait before the second try; it doubles from try to try. What the server says (Retry-After) counts instead."""
    price_prompt: Price = 0.0
    """What a million tokens of questions cost, in whatever currency; the report adds it up."""
    price_completion: Price = 0.0
    """What a million tokens of answers cost."""

    @property
    def named(self) -> str:
        return self.model


class LocalModel(JudgeModelKind):
    """A causal language model in the run's own process: no server, and the log-probabilities of its answers exactly."""

    counts_whole = True  # what it says depends on the precision
    code = "models.judge_model.local"
    kind: Literal["local"] = "local"
    base: PretrainedBase
    """The model, and how it is read."""
    compute: Compute = Compute(precision="float32")
    """Where it runs. In bfloat16 it is quicker, and its log-probabilities are in steps of a tenth."""

    @property
    def named(self) -> str:
        return self.base.model


JudgeModel = Annotated[JudgeModelKind, OneOf(JudgeModelKind)]


class AskedModel(Settings):
    """What all share that ask a model: who is asked, and what it is told before each question."""

    local_fields = ("instructions",)
    needs_probabilities: ClassVar[bool] = False
    """Whether it makes nothing of answers without their probabilities."""
    model: JudgeModel
    """Who is asked."""
    preamble: str = "You judge completions of a prompt. What counts is their {criterion}, and nothing else."
    """What stands before each question; {criterion} is replaced. Empty: nothing."""
    instructions: str | None = None
    """A text file that follows it, such as the instructions that people are given. `${NAME}` is replaced from the environment."""
    chain_of_thought: bool = False
    """Have it reason first, and ask for the verdict then: two questions in place of one."""
    max_reasoning_tokens: Count = 256
    """How long it may reason."""

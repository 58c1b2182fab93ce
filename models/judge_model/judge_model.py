"""What a language model that judges is asked, what it answers, and how many questions are asked at once, each answer kept as it comes.

The module of a kind of judge model offers:

- `open_model(config) -> JudgeModel`;
- `tells_probabilities(config) -> bool`: whether it does, of its answers; asked before a run makes anything, so that it raises where the model is away.
"""

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol, runtime_checkable

from pydantic import Field

from models.conversation import Message
from models.judge_model.kept_answers import KeptAnswers
from models.records import Record, content_id


class Question(Record):
    """Messages {role, content} up to where the model answers. `options`: the answers that there are, one token each, of which the
    probabilities are wanted; none: a text is wanted."""

    messages: tuple[Message, ...]
    options: tuple[str, ...] = ()
    max_tokens: int


class Answer(Record):
    """`logprobs`: option -> log-probability (nats) that the answer begins with it, as far as the model tells; empty where it tells none."""

    text: str
    logprobs: dict[str, float] = Field({})
    prompt_tokens: int = 0
    completion_tokens: int = 0


@runtime_checkable
class JudgeModel(Protocol):
    """Answers questions. `identity`: by what its answers are known from those of another one; `num_at_once`: how many questions it may be asked at a time."""

    identity: str
    num_at_once: int
    price_prompt: float
    price_completion: float
    """What a million tokens cost."""

    def ask(self, question: Question) -> Answer:
        """The answer, the same one to the same question as far as the model can. Called from several threads. Raises PipelineError."""

    def stop(self) -> None:
        """What is under way need not be tried again: nobody waits for it."""


def ask_all(
    model: JudgeModel,
    questions: Sequence[Question],
    kept: KeptAnswers,
    tell: Callable[[float], None] = lambda percent: None,
) -> list[Answer]:
    """The answers in the order of the questions. What is kept is not asked, nor the same question twice; each answer is kept as it comes.

    `tell` hears how many percent are answered, from several threads in the context of this one. When a question fails for good, those under way
    are waited for and kept, the others are not asked.
    """
    keys = [content_id("q", model.identity, one.model_dump()) for one in questions]
    waiting = {key: one for key, one in zip(keys, questions, strict=True) if kept.find(key) is None}
    num_all, left = len(set(keys)), enumerate(waiting.items(), start=1)

    def ask_on() -> None:
        # threads take the next from one iterator, each in one step; a future for each question, for which this thread wakes, slows all of them
        for number, (key, question) in left:
            kept.keep(key, model.ask(question).model_dump())
            tell(100 * (num_all - len(waiting) + number) / num_all)

    with ThreadPoolExecutor(model.num_at_once, thread_name_prefix="judge") as pool:
        threads = range(min(model.num_at_once, len(waiting)))
        asking = [pool.submit(contextvars.copy_context().run, ask_on) for _ in threads]
        try:
            for done in as_completed(asking):
                done.result()
        except BaseException:
            model.stop()
            for _ in left:  # nobody finds another one
                pass
            raise
    return [Answer.model_validate(kept.find(key)) for key in keys]


def usage_of(model: JudgeModel, answers: Sequence[Answer]) -> dict[str, float]:
    """What answers took: `answers`, `prompt_tokens`, `completion_tokens`, and `cost` where the settings say a price."""
    asked, said = (sum(getattr(one, f"{what}_tokens") for one in answers) for what in ("prompt", "completion"))
    told: dict[str, float] = {"answers": len(answers), "prompt_tokens": asked, "completion_tokens": said}
    if cost := (asked * model.price_prompt + said * model.price_completion) / 1e6:
        told["cost"] = cost
    return told

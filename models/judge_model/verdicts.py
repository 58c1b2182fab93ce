"""Which of two completions a judge model finds better, asked in both orders, and how good it finds one.

Of a pair (a, b) let p be the probability of the answer "the first" with a shown first, and q with b shown first. Then

- label = (p + (1 - q)) / 2, the probability that a is better; where the model tells no probabilities p and q are 1 or 0, so that verdicts which
  agree are the label, and others a tie;
- position bias = mean of p and q over all pairs, minus one half; consistency = the share of pairs whose two verdicts name the same text.

Source: Lee et al. 2023, "RLAIF vs. RLHF", "Preference labeling with LLMs" and "Direct RLAIF".
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from models.judge_model.judge_model import Answer, JudgeModel, ask_all, usage_of
from models.judge_model.kept_answers import KeptAnswers
from models.judge_model.questions import (
    DIGITS,
    PAIR,
    Asked,
    ask_grade,
    ask_order,
    ask_pair,
    option_of,
    order_of,
    preamble_of,
)
from models.settings.asked.judge_models import AskedModel

MAX_SHOWN = 5


class Texts(NamedTuple):
    """A prompt and completions of it."""

    prompt: str
    completions: tuple[str, ...]


@dataclass
class Tally:
    """What becomes figures: each pair's two answers as probabilities of "the first", and the answers that could not be read."""

    both_orders: list[tuple[float, float]] = field(default_factory=list)
    option_mass: list[float] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def figures(self, model: JudgeModel) -> dict[str, float]:
        """`position_bias`, `consistency`, `unreadable`, what it took (`usage_of`); `option_mass`: how much of the model's probability lies on the
        answers that were asked for, where it tells."""
        told: dict[str, float] = {"unreadable": len(self.unreadable)}
        if self.both_orders:
            told["position_bias"] = fmean((p + q) / 2 for p, q in self.both_orders) - 0.5
            told["consistency"] = fmean(_sign(p) == -_sign(q) for p, q in self.both_orders)
        if self.option_mass:
            told["option_mass"] = fmean(self.option_mass)
        return told | usage_of(model, self.answers)

    def shown(self) -> list[str]:
        """A few of the answers that could not be read."""
        return self.unreadable[:MAX_SHOWN]


class Asker:
    """A judge model and what it is told before each question. `tally`: what has come of all questions so far."""

    def __init__(
        self,
        config: AskedModel,
        criterion: str,
        kept: KeptAnswers,
        tell: Callable[[float], None] = lambda percent: None,
    ) -> None:
        self.config, self.kept, self.tell = config, kept, tell
        self.preamble = preamble_of(config, criterion)
        self.model: JudgeModel = config.model.load_module().open_model(config.model)
        self.tally = Tally()

    def compare(self, pairs: Sequence[Texts]) -> list[float | None]:
        """Of each pair the label: the probability that its first completion is the better one. None: an answer could not be read."""
        asked = [ask_pair(self.preamble, prompt, *shown) for prompt, (a, b) in pairs for shown in ((a, b), (b, a))]
        chances = [self._chance(answer) for answer in self.answers(asked)]
        return [self._label(p, q) for p, q in zip(chances[::2], chances[1::2], strict=True)]

    def order(self, lists: Sequence[Texts]) -> list[dict[tuple[int, int], float]]:
        """As `compare`, of every two places of each list, asked for the order of the whole, forwards and backwards. Empty: an answer could not be read."""
        asked = [ask_order(self.preamble, prompt, shown) for prompt, texts in lists for shown in (texts, texts[::-1])]
        answers = self.answers(asked)
        return [
            self._labels(*both, len(texts))
            for both, (_, texts) in zip(zip(answers[::2], answers[1::2], strict=True), lists, strict=True)
        ]

    def grade(self, completions: Sequence[Texts]) -> list[float | None]:
        """The expected grade `sum_s s P(s)` of each completion, s = 1 to 10, scaled to -1 to 1: (grade - 5.5) / 4.5. P is normalised over the ten
        answers. None: the model tells no probability of any of them."""
        asked = [ask_grade(self.preamble, prompt, text) for prompt, (text,) in completions]
        grades = []
        for answer in self.answers(asked):
            chances = self._chances(answer, DIGITS)
            if chances is None:
                self.tally.unreadable.append(answer.text)
            grades.append(chances and (sum((int(digit) + 1) * p for digit, p in chances.items()) - 5.5) / 4.5)
        return grades

    def answers(self, asked: Sequence[Asked]) -> list[Answer]:
        """The verdicts, with chain of thought behind the reasons that the model gave before."""
        if not self.config.chain_of_thought:
            return self._asked([one.at_once() for one in asked])
        reasons = self._asked([one.reasons(self.config.max_reasoning_tokens) for one in asked])
        return self._asked([one.after(reason.text) for one, reason in zip(asked, reasons, strict=True)])

    def _asked(self, questions: list) -> list[Answer]:
        answers = ask_all(self.model, questions, self.kept, self.tell)
        self.tally.answers += answers
        return answers

    def _chance(self, answer: Answer) -> float | None:
        """The probability of "the first"; None where the answer says neither."""
        if chances := self._chances(answer, PAIR):
            return chances.get(PAIR[0], 0.0)
        option = option_of(answer, PAIR)
        if option is None:
            self.tally.unreadable.append(answer.text)
            return None
        return float(option == PAIR[0])

    def _chances(self, answer: Answer, options: Sequence[str]) -> dict[str, float] | None:
        """Option -> probability, normalised over the options; None where the model tells none."""
        told = {option: math.exp(answer.logprobs[option]) for option in options if option in answer.logprobs}
        mass = sum(told.values())
        if not mass:
            return None
        self.tally.option_mass.append(mass)
        return {option: chance / mass for option, chance in told.items()}

    def _label(self, p: float | None, q: float | None) -> float | None:
        if p is None or q is None:
            return None
        self.tally.both_orders.append((p, q))
        return (p + 1 - q) / 2

    def _labels(self, forwards: Answer, backwards: Answer, count: int) -> dict[tuple[int, int], float]:
        levels = [order_of(answer, count) for answer in (forwards, backwards)]
        self.tally.unreadable += [
            answer.text for answer, order in zip((forwards, backwards), levels, strict=True) if order is None
        ]
        if None in levels:
            return {}
        places, turned = ({one: place for place, level in enumerate(order) for one in level} for order in levels)
        labels = {}
        for i in range(count):
            for j in range(i + 1, count):
                p = _above(places[i], places[j])
                q = _above(turned[count - 1 - j], turned[count - 1 - i])  # backwards j is shown before i
                labels[i, j] = self._label(p, q)
        return labels


def _above(first: int, second: int) -> float:
    return (first < second) + 0.5 * (first == second)


def _sign(chance: float) -> int:
    return (chance > 0.5) - (chance < 0.5)

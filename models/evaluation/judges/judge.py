"""What says which of two completions is better, and what it was made of.

The module of a kind of judge offers:

- `knows(prompt) -> bool`: whether it can judge completions of this prompt; asked when prompts are read, not after training;
- `open_judge(config, material, compute) -> Judge | PairJudge`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from models.conversation import transcript
from models.errors import DataError
from models.settings.judges import JudgeKind


@dataclass(frozen=True)
class Material:
    """What a run has that a judge may be made of, as folders.

    `rewards`: those that the compared policies were tuned on. `held_out_reward`: one that nothing was tuned on, where a stage made it.
    `votes`: what people said of the very texts that are compared, where they were asked. `kept`: a file for answers that are paid for, which is
    there again after a kill.
    """

    rewards: Sequence[Path] = ()
    held_out_reward: Path | None = None
    votes: Path | None = None
    kept: Path | None = None


@runtime_checkable
class Judge(Protocol):
    """Grades completions."""

    def grade(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        """How good each completion is; higher is better, and only the order of one prompt's completions counts. Minus infinity: unusable."""

    def figures(self, prompts: Sequence[str], completions: Sequence[str]) -> dict[str, float]:
        """What else it says of a model's completions, by name, such as the share of helpful ones."""


class PairOutcomes(NamedTuple):
    """`by_prompt`: how far the first text is the better one: 1, .5 (equal), 0, or between; None: nobody has said. `told`: what else is
    to be said of them, by name, such as how many people gave them."""

    by_prompt: Sequence[float | None]
    told: dict[str, float]


@runtime_checkable
class PairJudge(Protocol):
    """Says which of two texts is better, and grades neither: people who were shown both."""

    def outcomes(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> PairOutcomes:
        """Who was better at each prompt, of which each is given once, with a text of either model."""

    def figures(self, prompts: Sequence[str], completions: Sequence[str]) -> dict[str, float]:
        """As of a `Judge`."""


def require_known(config: JudgeKind, prompts: Sequence[str]) -> None:
    """Raises DataError naming prompts that the judge could not judge completions of."""
    knows = config.load_module().knows
    unknown = [prompt for prompt in prompts if not knows(prompt)]
    if unknown:
        shown = ", ".join(repr(transcript(prompt)[:80]) for prompt in unknown[:3])
        raise DataError(
            f"evaluation.judges: {config.kind} does not know {len(unknown)} of {len(prompts)} held-out "
            f"prompts, such as {shown}; choose another judge"
        )

"""The judge that is a language model: it is shown a text of either model in both orders, and says which is better."""

from collections.abc import Sequence

from models.errors import DataError
from models.evaluation.judges.judge import Material, PairOutcomes
from models.judge_model.kept_answers import KeptAnswers
from models.judge_model.verdicts import Asker, Texts
from models.settings.compute import Compute
from models.settings.judges import AIJudge


def knows(prompt: str) -> bool:
    """A language model can be asked about any prompt."""
    return True


class _AIJudge:
    def __init__(self, config: AIJudge, kept: KeptAnswers) -> None:
        self.config, self.kept = config, kept

    def outcomes(self, prompts: Sequence[str], first: Sequence[str], second: Sequence[str]) -> PairOutcomes:
        """The probability that the first is better; one half for equal texts, without a question; None where an answer could not be read.

        Raises DataError where none could be.
        """
        texts = [Texts(prompt, pair) for prompt, *pair in zip(prompts, first, second, strict=True)]
        differing = [one for one in texts if one.completions[0] != one.completions[1]]
        asker = Asker(self.config, self.config.criterion, self.kept)
        said = iter(asker.compare([Texts(prompt, tuple(pair)) for prompt, pair in differing]))
        outcomes = [next(said) if first != second else 0.5 for _, (first, second) in texts]
        if differing and not asker.tally.both_orders:
            such = asker.tally.shown()[0][:200]
            raise DataError(
                f"evaluation.judges: ai: none of its {len(asker.tally.unreadable)} answers could be read, such as {such!r}"
            )
        return PairOutcomes(
            outcomes, {"num_prompts": sum(one is not None for one in outcomes)} | asker.tally.figures(asker.model)
        )

    def figures(self, prompts: Sequence[str], completions: Sequence[str]) -> dict[str, float]:
        return {}


def open_judge(config: AIJudge, material: Material, compute: Compute) -> _AIJudge:
    """Its model is opened when it is asked. Each answer is in `material.kept` as soon as it has come."""
    return _AIJudge(config, KeptAnswers(material.kept))

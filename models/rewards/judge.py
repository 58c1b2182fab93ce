"""What a judge model thinks of a completion as its score, without a reward model (direct RLAIF).

    score = (sum_s s P(s) - 5.5) / 4.5        s = 1 to 10

P(s) is the probability of the answer s to the question how good the completion is, normalised over the ten answers: -1 is as bad and 1 as good as
can be. Source: Lee et al. 2023, "RLAIF vs. RLHF", "Direct RLAIF". The answers are the digits 0 to 9, since 10 is two tokens in many vocabularies.

Scores are not whitened: they are in the judge's own units, and nothing is asked to train it.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.distributed.collectives import this_rank
from models.errors import ConfigError
from models.judge_model.judge_model import usage_of
from models.judge_model.kept_answers import KeptAnswers
from models.judge_model.questions import preamble_of
from models.judge_model.verdicts import Asker, Tally, Texts
from models.records import StepMetrics
from models.rewards.scorer import RewardTask, Scorer
from models.settings.compute import Compute
from models.settings.rewards import JudgeReward

JUDGE_FILE = "judge.json"
WORST = -1.0
_LOGGER = logging.getLogger(__name__)


def train(task: RewardTask, config: JudgeReward) -> Iterator[StepMetrics]:
    """Notes who is asked and how; there are no steps. The instructions are kept as they are now."""
    told = config.model_copy(update={"preamble": preamble_of(config, config.criterion), "instructions": None})
    if this_rank() == 0:
        (task.folder / JUDGE_FILE).write_text(told.model_dump_json(indent=1), encoding="utf-8")
    yield from ()


def load(folder: Path, compute: Compute) -> Scorer:
    """The judge model as `train` noted it; it is opened now, and a server is asked when something is scored."""
    config = JudgeReward.model_validate_json((folder / JUDGE_FILE).read_text(encoding="utf-8"))
    return Scorer(Grader(config))


class Grader:
    """Prompts and completions as texts -> a score each. What it has asked so far is added up, and logged.

    Raises ConfigError for a model that tells no probabilities of its answers. A completion of which it names no grade has the worst score, with a
    warning: a policy must not be paid for texts that leave its judge speechless.
    """

    def __init__(self, config: JudgeReward) -> None:
        self._asker = Asker(config, config.criterion, KeptAnswers())
        self._used: Counter[str] = Counter()

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
        asker = self._asker
        asker.kept, asker.tally = KeptAnswers(), Tally()  # a long run would keep all it has seen
        grades = asker.grade([Texts(prompt, (text,)) for prompt, text in zip(prompts, completions, strict=True)])
        self._used.update(usage_of(asker.model, asker.tally.answers))
        _LOGGER.info("judge so far: %s", ", ".join(f"{name} {used:g}" for name, used in self._used.items()))
        if unreadable := asker.tally.shown():
            if grades.count(None) == len(grades):
                raise ConfigError(
                    f"reward, kind judge: {asker.model.identity} tells no log-probabilities of the digits that were asked for (it says "
                    f"{unreadable[0][:200]!r}); take a server that does, or model.kind local"
                )
            _LOGGER.warning("the judge names no grade of %d completions, such as %r", grades.count(None), unreadable[0])
        return torch.tensor([WORST if grade is None else grade for grade in grades], dtype=torch.float32)

"""What gives a completion its score, and how it is kept and loaded, of whichever kind it is.

The module of a kind of reward offers:

- `train(task: RewardTask, config) -> Iterator[StepMetrics]`: writes what it takes to score into `task.folder`, yields its steps;
- `load(folder, compute) -> Scorer`: what that gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from models.errors import ArtifactError
from models.network.networks import RewardModel
from models.records import Completion, Pair, Prompt, read_records
from models.rewards.kind_file import KIND_FILE, read_kind
from models.settings.compute import Compute
from models.training.checkpoints import Checkpoints

Score = Callable[[Sequence[str], Sequence[str]], Tensor]
"""Prompts and completions as texts -> one normalised score each, higher is better."""


@dataclass(frozen=True)
class Scorer:
    """A reward, ready to score. `logit_std`: what a score is multiplied by to be the logit of a preference.

    `network` and `tokenizer`: what a value model may start from; None where scores come from no such network.
    """

    score: Score
    logit_std: float = 1.0
    network: RewardModel | None = None
    tokenizer: PreTrainedTokenizerBase | None = None


@dataclass(frozen=True)
class RewardTask:
    """What a reward is trained from, and the folder that it is written into."""

    folder: Path
    base: Path
    prompts: list[Prompt]
    """Training prompts alone."""
    completions: list[Completion]
    pairs: list[Pair]
    compute: Compute
    seed: int
    checkpoints: Checkpoints

    @classmethod
    def read(
        cls,
        folder: Path,
        base: Path,
        feedback: Path,
        pairs: Path,
        compute: Compute,
        seed: int,
        checkpoints: Checkpoints,
    ) -> "RewardTask":
        """From the folders of a base model, of a feedback snapshot and of its pairs."""
        return cls(
            folder,
            base / "model",
            [prompt for prompt in read_records(feedback / "prompts.jsonl", Prompt) if prompt.split == "train"],
            read_records(feedback / "completions.jsonl", Completion),
            read_records(pairs / "pairs.jsonl", Pair),
            compute,
            seed,
            checkpoints,
        )


def load_scorer(folder: Path, compute: Compute) -> Scorer:
    """The reward in a folder, ready to score. Raises ArtifactError where there is none."""
    kind = read_kind(folder)
    if kind is None:
        raise ArtifactError(f"{folder}: no reward of Rein: {KIND_FILE} is missing")
    return kind.load_module().load(folder, compute)

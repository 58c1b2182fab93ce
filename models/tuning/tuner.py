"""What a way of tuning the policy is given.

The module of a kind offers `tune(task: TuningTask, config) -> Iterator[StepMetrics]`: writes `model/`, the tuned policy (a folder that
`AutoModelForCausalLM` loads, or else one that models/evaluation/writer.py knows), into `task.folder`, and yields the numbers of its
updates, or nothing where it makes none. It may offer `update_cost(base, prompts, config, sampling, compute) -> UpdateCost`, which
`rein check` prints; `prompts` are tokens.
"""

from dataclasses import dataclass
from pathlib import Path

from models.evaluation.judges.judge import Judge
from models.records import Completion, Pair, Prompt, Text, read_records
from models.settings.compute import Compute
from models.settings.generation import SamplingConfig
from models.training.checkpoints import Checkpoints


@dataclass(frozen=True)
class UpdateCost:
    """About what an update takes: seconds, and bytes of memory besides those of weights, gradients and moments."""

    seconds: float
    bytes: float


@dataclass(frozen=True)
class ComparedCompletions:
    """Which completions of training prompts people prefer."""

    prompts: list[Prompt]
    """Training prompts alone."""
    completions: list[Completion]
    pairs: list[Pair]


@dataclass(frozen=True)
class TuningTask:
    """What a policy is tuned from, and the folder that it is written into.

    `base` and `reward`: folders of the model to start from and of the reward (models/rewards/scorer.py loads it). `texts`: those of
    the kind's `text_source`.
    """

    folder: Path
    base: Path
    reward: Path
    prompts: list[str]
    """To tune on."""
    validation_prompts: list[str]
    """To look at on the way; nothing is learned from them."""
    texts: list[str] | None
    judge: Judge | None
    """What chooses which policy on the way is kept; None: the last one."""
    sampling: SamplingConfig
    compute: Compute
    seed: int
    checkpoints: Checkpoints
    compared: ComparedCompletions | None = None
    """For a kind that `reads_pairs`."""


def read_prompts(feedback: Path, prompts: Path | None) -> tuple[list[str], list[str]]:
    """Prompts to tune on, those of the feedback or of a folder of their own, and the feedback's validation prompts.

    Of a folder of their own those are left aside that the feedback holds out: what it was decided on stays unseen.
    """
    told = read_records(feedback / "prompts.jsonl", Prompt)
    given = told if prompts is None else read_records(prompts / "prompts.jsonl", Prompt)
    side = {prompt.id: prompt.split for prompt in given} | {prompt.id: prompt.split for prompt in told}
    validation = [one.text for one in told if one.split == "validation"]
    return [one.text for one in given if side[one.id] == "train"], validation


def read_compared(feedback: Path, completions: Path | None, pairs: Path | None) -> ComparedCompletions | None:
    """From the folders of feedback (its prompts), of the completions that the pairs name, and of the pairs, where there are such."""
    if completions is None or pairs is None:
        return None
    return ComparedCompletions(
        [prompt for prompt in read_records(feedback / "prompts.jsonl", Prompt) if prompt.split == "train"],
        read_records(completions / "completions.jsonl", Completion),
        read_records(pairs / "pairs.jsonl", Pair),
    )


def read_texts(texts: Path | None) -> list[str] | None:
    """The texts of a folder, where there is one."""
    return None if texts is None else [row.text for row in read_records(texts / "texts.jsonl", Text)]

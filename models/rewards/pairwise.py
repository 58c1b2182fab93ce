"""The pairwise reward model: all pairs of a prompt together, every completion and their prompt encoded once."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from models.conversation import transcript
from models.distributed.collectives import gather_rows, share_of
from models.distributed.fsdp import whole
from models.errors import DataError, TrainingError
from models.network.architecture import context_length
from models.network.dialogue import encode_completion, encode_prompt
from models.network.networks import RewardModel, freeze
from models.network.packing import PackedBatch, read_in_parts, reading_at_once
from models.network.precision import autocast, pick_device
from models.records import Completion, Pair, Prompt, StepMetrics
from models.rewards.learning import Losses, Row, learn_rows, sequences_of
from models.rewards.pairwise_losses import centering_penalty, pairwise_loss
from models.rewards.scorer import RewardTask, Scorer
from models.settings.compute import Compute
from models.settings.rewards import PairwiseReward, PairwiseTraining
from models.settings.training import Training
from models.shapes import Float
from models.training.checkpoints import Checkpoints

MIN_STD = 1e-6  # where all completions have one and the same logit

PairLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Logits of the chosen and of the rejected of N pairs, their labels and margins -> a loss each."""


def train(task: RewardTask, config: PairwiseReward) -> Iterator[StepMetrics]:
    """Trains a reward model on the body of the base and writes it, an ordinary sequence-classification checkpoint; yields the steps."""
    tokenizer = AutoTokenizer.from_pretrained(task.base)
    reward_model = RewardModel.start(task.base, task.seed)
    length = context_length(reward_model.model.config)
    comparisons = group_pairs(tokenizer, task.prompts, task.completions, task.pairs, length, config.margin_coef)
    yield from train_reward(reward_model, comparisons, config, task.compute, task.seed, task.checkpoints)
    reward_model.save(task.folder, tokenizer)


def load(folder: Path, compute: Compute) -> Scorer:
    """What `train` wrote, on the device that the settings ask for, in their precision."""
    return scorer_of(*RewardModel.load(folder), compute)


def scorer_of(reward_model: RewardModel, tokenizer: PreTrainedTokenizerBase, compute: Compute) -> Scorer:
    """A reward model with one logit, ready to score, as above."""
    freeze(reward_model).to(pick_device(compute))

    def score(prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
        with autocast(compute):
            return score_texts(reward_model, tokenizer, prompts, completions)

    def reads(prompt: str, completion: str) -> bool:
        return len(encode_for_score(tokenizer, prompt, completion)) <= context_length(reward_model.model.config)

    normalised = reward_model.model.config
    return Scorer(score, normalised.score_std, reward_model, tokenizer, reads=reads, logit_mean=normalised.score_mean)


@dataclass(frozen=True)
class Comparison(Row):
    """One prompt's completions as token sequences, and its pairs as places among them."""

    chosen: list[int]
    rejected: list[int]
    label: list[float]
    weight: list[float]
    margin: list[float]


def encode_for_score(tokenizer: PreTrainedTokenizerBase, prompt: str, completion: str, ended: bool = True) -> list[int]:
    """The tokens whose last one the score is read at: prompt in the chat template, completion, end of sequence."""
    return encode_prompt(tokenizer, prompt) + encode_completion(tokenizer, completion, ended)


def group_pairs(
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    pairs: Sequence[Pair],
    context_length: int,
    margin_coef: float = 1.0,
) -> list[Comparison]:
    """One `Comparison` per prompt that has pairs, in the order of the prompts; margins times `margin_coef`.

    Raises DataError when a prompt with its completion is longer than the context.
    """
    text_of = {completion.id: completion.text for completion in completions}
    pairs_of: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        pairs_of[pair.prompt_id].append(pair)
    comparisons = []
    for prompt in prompts:
        own = pairs_of.get(prompt.id)
        if not own:
            continue
        named = list(dict.fromkeys(name for pair in own for name in (pair.chosen, pair.rejected)))
        place = {name: number for number, name in enumerate(named)}
        sequences = [encode_for_score(tokenizer, prompt.text, text_of[name]) for name in named]
        longest = max(len(sequence) for sequence in sequences)
        if longest > context_length:
            raise DataError(
                f"prompt {prompt.id} with a completion has {longest} tokens, the model reads {context_length}: "
                f"{transcript(prompt.text)[:80]!r}"
            )
        comparisons.append(
            Comparison(
                sequences=sequences,
                chosen=[place[pair.chosen] for pair in own],
                rejected=[place[pair.rejected] for pair in own],
                label=[pair.label for pair in own],
                weight=[pair.weight for pair in own],
                margin=[margin_coef * pair.margin for pair in own],
            )
        )
    return comparisons


class AllPairs(NamedTuple):
    """The pairs of several prompts, as places among all their completions in a row; the weights of a prompt's pairs add up to one."""

    chosen: list[int]
    rejected: list[int]
    label: list[float]
    weight: list[float]
    margin: list[float]


def all_pairs(comparisons: Sequence[Comparison]) -> AllPairs:
    """Those of these prompts, in their order."""
    pairs = AllPairs([], [], [], [], [])
    offset = 0
    for comparison in comparisons:
        pairs.chosen.extend(offset + place for place in comparison.chosen)
        pairs.rejected.extend(offset + place for place in comparison.rejected)
        pairs.label.extend(comparison.label)
        pairs.margin.extend(comparison.margin)
        total = sum(comparison.weight)
        pairs.weight.extend(weight / total for weight in comparison.weight)
        offset += len(comparison.sequences)
    return pairs


def comparison_loss(
    reward_model: RewardModel, comparisons: Sequence[Comparison], centering: float, pair_loss: PairLoss = pairwise_loss
) -> tuple[Float[Tensor, ""], Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Loss summed over prompts, and the logits of all chosen and rejected completions.

    Each prompt counts once: the weighted mean over its C(K,2) pairs (Ouyang et al. 2022, equation 1), plus `centering`
    times the mean of `centering_penalty`. Every completion passes through the network once, not once per pair, and so does
    the prompt (`PackedBatch`).
    """
    logits = reward_model.logits(PackedBatch.of(sequences_of(comparisons), reward_model.model.device))
    pairs = all_pairs(comparisons)
    better, worse = logits[pairs.chosen], logits[pairs.rejected]
    loss = pair_loss(better, worse, logits.new_tensor(pairs.label), logits.new_tensor(pairs.margin))
    loss = loss + centering * centering_penalty(better, worse)
    return (loss * logits.new_tensor(pairs.weight)).sum(), better.detach(), worse.detach()


def train_reward(
    reward_model: RewardModel,
    comparisons: Sequence[Comparison],
    config: PairwiseTraining,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints | None = None,
    pair_loss: PairLoss = pairwise_loss,
) -> Iterator[StepMetrics]:
    """`learn_comparisons`, and then the normalisation is fixed on the completions that were compared."""
    yield from learn_comparisons(reward_model, comparisons, config, compute, seed, checkpoints, pair_loss)
    fix_normalisation(whole(reward_model), sequences_of(comparisons), config, compute)


def learn_comparisons(
    reward_model: RewardModel,
    comparisons: Sequence[Comparison],
    config: PairwiseTraining,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints | None = None,
    pair_loss: PairLoss = pairwise_loss,
) -> Iterator[StepMetrics]:
    """Trains the reward model in place, one step a batch of prompts.

    Yields each step's `loss` (of a prompt; in nats, unless `pair_loss` is another) and, where the batch has strict pairs, `accuracy` on them.
    Dropout stays off: comparing two completions through different random networks adds noise to their difference.
    With `lora` its body learns through an adapter that is merged into it at the end. With `checkpoints`, training goes on from
    the newest one.
    """
    if not comparisons:
        raise DataError("no training prompt has a pair to learn from")

    def losses(rows: Sequence[Comparison]) -> Losses:
        loss, better, worse = comparison_loss(reward_model, rows, config.centering, pair_loss)
        strict = better.new_tensor([label for row in rows for label in row.label]) > 0.5
        return Losses(loss, (better > worse)[strict].sum().item())

    yield from learn_rows(reward_model, comparisons, losses, config, compute, seed, checkpoints, num_strict_pairs)


def num_strict_pairs(rows: Sequence[Comparison]) -> int:
    """Of these prompts: pairs of which one is better."""
    return sum(label > 0.5 for row in rows for label in row.label)


@torch.no_grad()
def fix_normalisation(
    reward_model: RewardModel, sequences: Sequence[Sequence[int]], config: Training, compute: Compute
) -> Float[Tensor, " N"]:
    """Sets mean and standard deviation of the logit over these sequences, computed as scores are and no more at once than was learned from, as the
    checkpoint's normalisation; gives back the logits.

    Raises TrainingError when a logit is not finite.
    """
    reward_model.set_normalisation(mean=0.0, std=1.0)
    with autocast(compute), reading_at_once(config.microbatch_tokens):
        logits = gather_rows(score_sequences(reward_model, share_of(sequences))).double()
    if not torch.isfinite(logits).all():
        raise TrainingError(
            "the reward model's logits on its training completions are not finite; try a lower reward.learning_rate, or "
            "compute.precision float32"
        )
    reward_model.set_normalisation(mean=logits.mean().item(), std=max(logits.std(unbiased=False).item(), MIN_STD))
    return logits


@torch.no_grad()
def score_sequences(reward_model: RewardModel, sequences: Sequence[Sequence[int]]) -> Float[Tensor, " N"]:
    """Normalised scores of token sequences, in their order, on the CPU; as many at a time as `read_in_parts` reads."""

    def read(rows: slice) -> Tensor:
        return reward_model.scores(PackedBatch.of(sequences[rows], reward_model.model.device)).cpu()

    scores = read_in_parts([len(sequence) for sequence in sequences], read)
    return torch.cat(scores) if scores else torch.zeros(0)


def score_texts(
    reward_model: RewardModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    completions: Sequence[str],
) -> Float[Tensor, " N"]:
    """Normalised scores of completions as texts: the reward model's own tokenizer and template, end token appended.

    Raises DataError when a text is longer than the reward model's context.
    """
    sequences = [encode_for_score(tokenizer, p, c) for p, c in zip(prompts, completions, strict=True)]
    limit = context_length(reward_model.model.config)
    longest = max((len(sequence) for sequence in sequences), default=0)
    if longest > limit:
        raise DataError(f"a completion to score has {longest} tokens, the reward model reads {limit}")
    return score_sequences(reward_model, sequences)

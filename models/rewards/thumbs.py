"""The reward model of thumbs: a logit above zero for what people want, also of a prompt with one completion.

The loss of a completion with logit s, a share p of whose votes are thumbs up: `-p log sigmoid(s) - (1 - p) log sigmoid(-s)`. A pair is
the same of the difference of two logits (Ouyang et al. 2022, equation 1) less its margin, where it has one, so that rankings and thumbs are learned from together: the
thumbs fix where zero is, which pairs leave open.

Sources: Jung et al. 2024, "Binary Classifier Optimization for Large Language Model Alignment" (the logistic loss of single
thumbs); Bradley and Terry 1952.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from models.class_votes import UNWANTED, WANTED
from models.distributed.fsdp import whole
from models.errors import DataError
from models.network.architecture import context_length
from models.network.networks import RewardModel
from models.network.packing import PackedBatch
from models.records import StepMetrics
from models.rewards import pairwise
from models.rewards.learning import Losses, Row, learn_rows, sequences_of
from models.rewards.pairwise import encode_for_score, fix_normalisation
from models.rewards.pairwise_losses import pairwise_loss
from models.rewards.scorer import Classes, RewardTask, Scorer
from models.settings.compute import Compute
from models.settings.rewards import ThumbsReward


def train(task: RewardTask, config: ThumbsReward) -> Iterator[StepMetrics]:
    """Trains a reward model on the body of the base and writes it, an ordinary sequence-classification checkpoint; yields the steps."""
    tokenizer = AutoTokenizer.from_pretrained(task.base)
    reward_model = RewardModel.start(task.base, task.seed)
    rows = judged_prompts(tokenizer, task, context_length(reward_model.model.config))
    yield from learn_rows(
        reward_model,
        rows,
        lambda batch: judged_loss(reward_model, batch),
        config,
        task.compute,
        task.seed,
        task.checkpoints,
    )
    fix_normalisation(whole(reward_model), sequences_of(rows), config, task.compute)
    reward_model.save(task.folder, tokenizer)


def load(folder: Path, compute: Compute) -> Scorer:
    """What `train` wrote. It tells two classes apart: wanted, with probability sigmoid(logit), and unwanted."""
    scorer = pairwise.load(folder, compute)

    def probabilities(prompts: Sequence[str | None], completions: Sequence[str]) -> Tensor:
        logits = scorer.logits(scorer.score([prompt or "" for prompt in prompts], completions))
        return torch.stack([torch.sigmoid(-logits), torch.sigmoid(logits)], dim=1)

    return replace(scorer, classes=Classes((UNWANTED, WANTED), probabilities))


@dataclass(frozen=True)
class Judged(Row):
    """Completions of one prompt, and all that was said of them, by their places: thumbs, with the share that is up, and pairs."""

    rated: list[int]
    share: list[float]
    chosen: list[int]
    rejected: list[int]
    label: list[float]
    weight: list[float]
    margin: list[float]


def judged_prompts(tokenizer: PreTrainedTokenizerBase, task: RewardTask, context_length: int) -> list[Judged]:
    """One row for each training prompt of which something was said. Raises DataError for a text that is longer than the context."""
    text_of = {one.id: one.text for one in task.completions}
    asked = {one.id: one.text for one in task.prompts}
    thumbs: dict[str, dict[str, float]] = defaultdict(dict)
    for one in task.votes:
        thumbs[one.prompt or ""][one.text] = one.shares.get(WANTED, 0.0)
    pairs = defaultdict(list)
    for pair in task.pairs:
        if pair.prompt_id in asked:
            pairs[asked[pair.prompt_id]].append(pair)
    rows = []
    for prompt in dict.fromkeys([*thumbs, *pairs]):
        said, own = thumbs[prompt], pairs[prompt]
        texts = dict.fromkeys([*said, *(text_of[name] for pair in own for name in (pair.chosen, pair.rejected))])
        place = {text: number for number, text in enumerate(texts)}
        sequences = [encode_for_score(tokenizer, prompt, text) for text in place]
        if (longest := max(map(len, sequences))) > context_length:
            raise DataError(
                f"a completion has {longest} tokens with its prompt, the reward model reads {context_length}: {prompt[:80]!r}"
            )
        rows.append(
            Judged(
                sequences=sequences,
                rated=[place[text] for text in said],
                share=list(said.values()),
                chosen=[place[text_of[pair.chosen]] for pair in own],
                rejected=[place[text_of[pair.rejected]] for pair in own],
                label=[pair.label for pair in own],
                weight=[pair.weight for pair in own],
                margin=[pair.margin for pair in own],
            )
        )
    return rows


def judged_loss(reward_model: RewardModel, rows: Sequence[Judged]) -> Losses:
    """Each prompt counts once: the weighted mean over its thumbs, of weight 1, and its pairs. Every completion is read once."""
    logits = reward_model.logits(PackedBatch.of(sequences_of(rows), reward_model.model.device))
    loss, right = logits.new_zeros(()), 0.0
    for row, own in zip(rows, logits.split([len(row.sequences) for row in rows]), strict=True):
        better = torch.cat([own[row.rated], own[row.chosen]])
        worse = torch.cat([own.new_zeros(len(row.rated)), own[row.rejected]])  # a thumb compares with a logit of zero
        labels, margins = own.new_tensor(row.share + row.label), own.new_tensor([0.0] * len(row.rated) + row.margin)
        weights = own.new_tensor([1.0] * len(row.rated) + row.weight)
        loss = loss + (pairwise_loss(better, worse, labels, margins) * weights).sum() / weights.sum()
        agrees = torch.where(labels == 0.5, 0.5, ((better > worse) == (labels > 0.5)).float())
        right += (agrees * weights).sum().item() / weights.sum().item()
    return Losses(loss, right)

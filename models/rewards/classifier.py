"""The reward of classes: a logit each, learned from how many people put a text where; that of the wanted class scores.

With the shares p_c of a text's votes as soft labels and logits z_c, the loss is the cross-entropy `-sum_c p_c log softmax(z)_c`. The score
is the logit of the wanted class, not its probability, which hardly changes where the classifier is sure. A softmax is the same when all
logits of a text rise together; the head begins at zero and is learned by losses whose gradients sum to zero over the classes, so that logits
stay about as far above zero as below.

Sources: Peterson et al. 2019, "Human uncertainty makes classification more robust" (votes as soft labels); Hanu and Unitary team 2020,
"Detoxify" (such a classifier of toxic comments, whose logit of not toxic is often taken as a reward).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from models.class_votes import ClassVotes
from models.distributed.fsdp import whole
from models.errors import DataError
from models.network.architecture import context_length
from models.network.networks import Classifier, freeze
from models.network.packing import PackedBatch, read_in_parts
from models.network.precision import autocast, pick_device
from models.preferences.ratings import classes_of
from models.records import StepMetrics
from models.rewards.learning import Losses, Row, learn_rows, sequences_of
from models.rewards.pairwise import encode_for_score, fix_normalisation, scorer_of
from models.rewards.scorer import Classes, RewardTask, Scorer
from models.settings.compute import Compute
from models.settings.rewards import ClassifierReward
from models.shapes import Float


def train(task: RewardTask, config: ClassifierReward) -> Iterator[StepMetrics]:
    """Trains a classifier on the body of the base and writes it, an ordinary sequence-classification checkpoint; yields the steps."""
    tokenizer = AutoTokenizer.from_pretrained(task.base)
    names = classes_of(task.votes)
    classifier = Classifier.of_classes(task.base, task.seed, names, config.wanted, config.reads_prompt)
    rows = labelled_texts(tokenizer, task.votes, names, config.reads_prompt, context_length(classifier.model.config))
    yield from learn_rows(
        classifier,
        rows,
        lambda batch: labelled_loss(classifier, batch),
        config,
        task.compute,
        task.seed,
        task.checkpoints,
    )
    fix_normalisation(whole(classifier), sequences_of(rows), config, task.compute)
    classifier.save(task.folder, tokenizer)


def load(folder: Path, compute: Compute) -> Scorer:
    """What `train` wrote: the wanted class's logit as the score, and all classes' probabilities."""
    classifier, tokenizer = Classifier.load(folder)
    reads_prompt = classifier.model.config.reads_prompt
    freeze(classifier).to(pick_device(compute))
    scorer = scorer_of(classifier.of_wanted(), tokenizer, compute)

    def score(prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
        return scorer.score(prompts if reads_prompt else [""] * len(completions), completions)

    def reads(prompt: str, completion: str) -> bool:
        return scorer.reads(prompt if reads_prompt else "", completion)

    def probabilities(prompts: Sequence[str | None], completions: Sequence[str]) -> Tensor:
        asked = [prompt if reads_prompt and prompt else "" for prompt in prompts]
        sequences = [encode_for_score(tokenizer, *one) for one in zip(asked, completions, strict=True)]
        with autocast(compute):
            return class_probabilities(classifier, sequences)

    # of two classes the logits are opposite numbers, so that twice the wanted one is the log-odds of its class
    odds = 2 if len(classifier.names) == 2 else 1
    logits = {"logit_std": odds * scorer.logit_std, "logit_mean": odds * scorer.logit_mean}
    return replace(scorer, score=score, reads=reads, classes=Classes(classifier.names, probabilities), **logits)


@dataclass(frozen=True)
class Labelled(Row):
    """One text, and the share of its votes that each class has."""

    shares: list[float]


def labelled_texts(
    tokenizer: PreTrainedTokenizerBase,
    votes: Sequence[ClassVotes],
    names: Sequence[str],
    reads_prompt: bool,
    context_length: int,
) -> list[Labelled]:
    """A row for each text, behind its prompt or, where that is not read, behind an empty one. Raises DataError for one that is too long."""
    rows = []
    for one in votes:
        tokens = encode_for_score(tokenizer, one.prompt if reads_prompt and one.prompt else "", one.text)
        if len(tokens) > context_length:
            raise DataError(
                f"a text has {len(tokens)} tokens, the reward model reads {context_length}: {one.text[:80]!r}"
            )
        rows.append(Labelled([tokens], [one.shares.get(name, 0.0) for name in names]))
    return rows


def soft_cross_entropy(logits: Float[Tensor, "N C"], shares: Float[Tensor, "N C"]) -> Float[Tensor, " N"]:
    """`-sum_c p_c log softmax(z)_c` of each text, in nats."""
    return -(shares * F.log_softmax(logits, dim=-1)).sum(dim=-1)


def labelled_loss(classifier: Classifier, rows: Sequence[Labelled]) -> Losses:
    """Each text counts once, however many voted; right where the likeliest class is one that most voted for."""
    logits = classifier.class_logits(PackedBatch.of(sequences_of(rows), classifier.model.device))
    shares = logits.new_tensor([row.shares for row in rows])
    right = shares.gather(1, logits.argmax(dim=1, keepdim=True)).squeeze(1) == shares.amax(dim=1)
    return Losses(soft_cross_entropy(logits, shares).sum(), right.sum().item())


@torch.no_grad()
def class_probabilities(classifier: Classifier, sequences: Sequence[Sequence[int]]) -> Float[Tensor, "N C"]:
    """Of token sequences, in their order, on the CPU; as many at a time as fit."""

    def read(rows: slice) -> Tensor:
        return classifier.class_logits(PackedBatch.of(sequences[rows], classifier.model.device)).softmax(dim=-1).cpu()

    found = read_in_parts([len(sequence) for sequence in sequences], read)
    return torch.cat(found) if found else torch.zeros(0, len(classifier.names))

"""One reward for each person: what all share, and beside it what sets each person apart from that.

A completion with the last hidden state h has the shared logit `s = w . h` and R numbers `f = A h`; person p has the vector e_p. To p the
completion is worth `s + e_p . f = (w + A^T e_p) . h`: a head of p's own on the body that all share, of rank R around the shared head. Whoever nothing
is known of has e = 0, and so the shared score.

Each labeler's own pairs are learned from, not the consensus. With the leads of the chosen completion over the rejected, `d = s_c - s_r` and
`o = e_p . (f_c - f_r)`, and the pairwise loss l, a pair of person p costs

    (l(d) + l(d + o)) / 2 + shrinkage * o^2 / n_p

where n_p is the number of p's pairs: the shared score learns from everybody as a pairwise reward does, and what a person adds is held to zero with
the weight of a few judgements, so that many outweigh it and one does not. In logits that does not depend on how A and e_p share their length. All pairs of
a prompt weigh one together; each completion is read once, however many people judged it.

Sources: Evgeniou and Pontil 2004, "Regularized multi-task learning" (a common vector, and each task's own held close to it); Li et al. 2024,
"Personalized Language Modeling from Personalized Human Feedback" (a vector for each person, a loss with and one without it, and the shared model
for people who are not known); Bose et al. 2025, "LoRe: Personalizing LLMs via Low-Rank Reward Modeling" (that people's heads are of low rank). Taken are these
three ideas and none of their code. Not taken: telling an unknown person's vector from a few of their judgements (Poddar et al. 2024).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import this_rank
from models.distributed.fsdp import forward_pass, whole
from models.errors import DataError
from models.network.architecture import context_length
from models.network.networks import RewardModel, freeze
from models.network.packing import PackedBatch, hidden_states, read_in_parts
from models.network.precision import autocast, pick_device
from models.preferences.own_pair import OwnPair
from models.records import Split, StepMetrics
from models.rewards import pairwise
from models.rewards.learning import Losses, learn_rows, sequences_of
from models.rewards.pairwise import (
    Comparison,
    all_pairs,
    encode_for_score,
    fix_normalisation,
    group_pairs,
    scorer_of,
)
from models.rewards.pairwise_losses import centering_penalty, pairwise_loss
from models.rewards.scorer import People, RewardTask, Scorer
from models.settings.compute import Compute
from models.settings.rewards import PersonalReward
from models.shapes import Float, Int

VECTORS, NAMES = "people.safetensors", "people.json"


class PersonalRewardModel(RewardModel):
    """A reward model whose logits are the shared ones, with what sets people apart. People start alike, with vectors of zero."""

    def __init__(self, model: PreTrainedModel, num_people: int, rank: int) -> None:
        super().__init__(model)
        width = model.score.in_features
        self.features = nn.Linear(width, rank, bias=False)
        nn.init.normal_(self.features.weight, std=width**-0.5)
        self.people = nn.Embedding(num_people, rank)
        nn.init.zeros_(self.people.weight)

    @forward_pass
    def read(self, batch: PackedBatch) -> tuple[Float[Tensor, " B"], Float[Tensor, "B R"]]:
        """The shared logit of each sequence, and its features, read at its last token alone."""
        return self._read(batch)

    @forward_pass
    def leads(
        self, batch: PackedBatch, chosen: Sequence[int], rejected: Sequence[int], person: Int[Tensor, " N"]
    ) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"], Float[Tensor, " N"]]:
        """Of pairs of these sequences: the shared logits of chosen and rejected, and what the person adds to the lead of the first."""
        shared, features = self._read(batch)
        own = (self.people(person) * (features[chosen] - features[rejected])).sum(dim=-1)
        return shared[chosen], shared[rejected], own

    def _read(self, batch: PackedBatch) -> tuple[Tensor, Tensor]:
        hidden = hidden_states(self.model.base_model, batch, batch.last([1] * len(batch.places)))
        return self.model.score(hidden).float().sum(dim=-1), self.features(hidden).float()


@dataclass(frozen=True)
class OwnComparison(Comparison):
    """One prompt's completions and everybody's own pairs of them. `person`: the number of the one whose pair it is; `num_own`: of how many."""

    person: list[int]
    num_own: list[int]


def train(task: RewardTask, config: PersonalReward) -> Iterator[StepMetrics]:
    """Trains the reward of everybody; that of one person is taken out of it, without a step. Yields the steps.

    Written is an ordinary sequence-classification checkpoint, whose logit is the shared one or that person's; everybody's has the people beside it.
    """
    tokenizer = AutoTokenizer.from_pretrained(task.base)
    if config.person is not None:
        labelers = sorted({one.labeler for one in task.own_pairs})
        model = model_of_person(task.parts["everybody"] / "model", config.person, labelers)
        rows = own_comparisons(tokenizer, task, config, context_length(model.model.config))
        fix_normalisation(model.to(pick_device(task.compute)), sequences_of(rows), config, task.compute)
        model.save(task.folder, tokenizer)
        return
    people = number_people(task.own_pairs, config)
    everybody = PersonalRewardModel(RewardModel.start(task.base, task.seed).model, len(people), config.rank)
    rows = own_comparisons(tokenizer, task, config, context_length(everybody.model.config))

    def losses(batch: Sequence[OwnComparison]) -> Losses:
        return own_loss(everybody, batch, config.centering, config.shrinkage)

    yield from learn_rows(everybody, rows, losses, config, task.compute, task.seed, task.checkpoints)
    learned = whole(everybody)
    fix_normalisation(learned, sequences_of(rows), config, task.compute)
    learned.save(task.folder, tokenizer)
    if this_rank() == 0:
        numbers = {one.labeler: people[config.person_of(one.labeler)] for one in task.own_pairs}
        save_people(task.folder, learned, numbers | people)


def number_people(pairs: Sequence[OwnPair], config: PersonalReward) -> dict[str, int]:
    """Person -> number, by name: labelers, and groups for those who are in one."""
    return {name: number for number, name in enumerate(sorted({config.person_of(one.labeler) for one in pairs}))}


def own_comparisons(
    tokenizer: PreTrainedTokenizerBase, task: RewardTask, config: PersonalReward, context_length: int
) -> list[OwnComparison]:
    """One for each training prompt that somebody has pairs of. Raises DataError for a completion that is longer than the context."""
    people = number_people(task.own_pairs, config)
    by_prompt: dict[str, list[int]] = defaultdict(list)
    for one in task.own_pairs:
        by_prompt[one.prompt_id].append(people[config.person_of(one.labeler)])
    num_own = Counter(chain.from_iterable(by_prompt.values()))
    comparisons = group_pairs(
        tokenizer, task.prompts, task.completions, task.own_pairs, context_length, config.margin_coef
    )
    judged = [by_prompt[one.id] for one in task.prompts if one.id in by_prompt]
    return [
        OwnComparison(**vars(one), person=person, num_own=[num_own[number] for number in person])
        for one, person in zip(comparisons, judged, strict=True)
    ]


def own_loss(model: PersonalRewardModel, rows: Sequence[OwnComparison], centering: float, shrinkage: float) -> Losses:
    """As above, each prompt counting once; right where the person's own score orders the pair rightly, a tie one half."""
    pairs = all_pairs(rows)
    person, num_own = ([number for row in rows for number in getattr(row, name)] for name in ("person", "num_own"))
    device = model.model.device
    batch = PackedBatch.of(sequences_of(rows), device)
    better, worse, own = model.leads(batch, pairs.chosen, pairs.rejected, torch.tensor(person, device=device))
    label, margin, weight = (better.new_tensor(told) for told in (pairs.label, pairs.margin, pairs.weight))
    loss = (pairwise_loss(better, worse, label, margin) + pairwise_loss(better + own, worse, label, margin)) / 2
    loss = loss + centering * centering_penalty(better, worse) + shrinkage * own**2 / own.new_tensor(num_own)
    right = torch.where(label == 0.5, 0.5, (better + own > worse).float())
    return Losses((loss * weight).sum(), (right * weight).sum().item())


def require_own_pairs(config: PersonalReward, pairs: Sequence[OwnPair], sides: Mapping[str, Split]) -> None:
    """Raises DataError where one person alone has ranked training prompts, where `person` or a group has ranked none, where a labeler has the
    name of a group of others, and where no held-out pair tells how good the scores are."""
    learned = Counter(config.person_of(one.labeler) for one in pairs if sides[one.prompt_id] == "train")
    if not learned:
        raise DataError("reward.kind personal: there is no pair of a training prompt; hold fewer out, see split")
    if len(learned) == 1:
        raise DataError(
            f"reward.kind personal: all {learned.total()} pairs of training prompts are {next(iter(learned))}'s, who differs from nobody; take reward.kind "
            "pairwise"
        )
    if unheard := sorted(config.groups.keys() - learned.keys()):
        raise DataError(f"reward.groups: nobody in {unheard[0]} has ranked a training prompt; check the names in it")
    alone = {one.labeler for one in pairs if config.person_of(one.labeler) == one.labeler}
    if doubled := sorted(config.groups.keys() & alone):
        raise DataError(f"reward.groups: {doubled[0]} is also a labeler, who is not in that group; call it otherwise")
    if config.person is not None and config.person_of(config.person) not in learned:
        near = get_close_matches(config.person, learned, n=5, cutoff=0)
        raise DataError(f"reward.person: {config.person!r} has ranked no training prompt; near that name are {near}")
    held_out = {config.person_of(one.labeler) for one in pairs if one.label > 0.5 and sides[one.prompt_id] == "test"}
    whom = learned.keys() if config.person is None else {config.person_of(config.person)}
    if not whom & held_out:
        who = config.person or "nobody whom it learns from"
        raise DataError(
            f"reward.kind personal: {who} has preferences on no held-out prompt, so that nothing could tell how good it is; hold more out, see split"
        )


def save_people(folder: Path, model: PersonalRewardModel, numbers: Mapping[str, int]) -> None:
    """Writes the people beside the checkpoint; `numbers`: those of labelers and groups, several names having one."""
    tensors = {"features": model.features.weight, "people": model.people.weight}
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / VECTORS)
    (folder / NAMES).write_text(
        json.dumps(dict(sorted(numbers.items())), indent=1, ensure_ascii=False), encoding="utf-8"
    )


def load_people(folder: Path) -> tuple[PersonalRewardModel, PreTrainedTokenizerBase, dict[str, int]]:
    """The reward model of everybody, its tokenizer, and the numbers of people."""
    reward_model, tokenizer = RewardModel.load(folder)
    tensors = load_file(folder / VECTORS)
    model = PersonalRewardModel(reward_model.model, *tensors["people"].shape)
    model.features.weight = nn.Parameter(tensors["features"])
    model.people.weight = nn.Parameter(tensors["people"])
    return model.eval(), tokenizer, json.loads((folder / NAMES).read_text(encoding="utf-8"))


def model_of_person(folder: Path, person: str, labelers: Collection[str]) -> RewardModel:
    """A reward model whose one logit is what everybody's gives for this person: its head is `w + A^T e_p`. Its config names who of the labelers
    are this person."""
    everybody, _, numbers = load_people(folder)
    with torch.no_grad():
        everybody.model.score.weight += everybody.people.weight[numbers[person]] @ everybody.features.weight
    everybody.model.config.speaks_for = [name for name in labelers if numbers[name] == numbers[person]]
    return RewardModel(everybody.model)


def load(folder: Path, compute: Compute) -> Scorer:
    """What `train` wrote: the shared score, with what each person adds to it, or one person's."""
    if not (folder / NAMES).is_file():
        scorer = pairwise.load(folder, compute)
        return replace(scorer, speaks_for=tuple(scorer.network.model.config.speaks_for))
    everybody, tokenizer, numbers = load_people(folder)
    freeze(everybody).to(pick_device(compute))

    def read(prompts: Sequence[str], completions: Sequence[str]) -> tuple[Tensor, Tensor]:
        sequences = [encode_for_score(tokenizer, *one) for one in zip(prompts, completions, strict=True)]

        def read_rows(rows: slice) -> tuple[Tensor, Tensor]:
            return everybody.read(PackedBatch.of(sequences[rows], everybody.model.device))

        with autocast(compute), torch.no_grad():
            found = read_in_parts([len(sequence) for sequence in sequences], read_rows)
        return tuple(torch.cat(told).cpu() for told in zip(*found, strict=True))

    vectors = {name: everybody.people.weight[number].cpu() for name, number in numbers.items()}
    return replace(scorer_of(RewardModel(everybody.model), tokenizer, compute), people=People(vectors, read))

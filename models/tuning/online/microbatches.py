"""A minibatch of a rollout in parts that fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor
from transformers import PreTrainedModel

from models.distributed.collectives import share_of
from models.distributed.fsdp import in_step
from models.network.llama_forward import Below
from models.network.packing import PackedBatch, cut_by_tokens
from models.shapes import Bool, Int
from models.tuning.online.rollout import Rollout


@dataclass(frozen=True)
class Microbatch:
    """R rows of a rollout, to be read at once. `places` are those of their M completion tokens among the tokens of `batch`; `below` is what the
    policy's frozen layers made of these, where it is kept."""

    rows: list[int]
    is_completion: Bool[Tensor, "R T"]
    batch: PackedBatch
    places: Int[Tensor, " M"]
    below: Below | None
    counts: bool
    """False: the rows are only there so that all ranks pass through the policy equally often (`in_step`)."""


def microbatches(
    policy: PreTrainedModel, rollout: Rollout, rows: Sequence[int], microbatch_tokens: int
) -> Iterator[Microbatch]:
    """This rank's share of these rows, in their order."""
    share = share_of(rows)
    parts = list(cut_by_tokens([len(rollout.sequences[row]) for row in share], microbatch_tokens))
    for part, counts in in_step(policy, parts):
        own = list(share[part])
        is_completion = rollout.is_completion[own]
        batch = PackedBatch.of([rollout.sequences[row] for row in own], rollout.scores.device)
        places = batch.last(is_completion.sum(dim=1).tolist())
        below = rollout.below.of(batch, own) if rollout.below else None
        yield Microbatch(own, is_completion, batch, places, below, counts)

"""Ranks: the processes that train together, each with its share of every batch. One process alone: nothing here does anything.

All ranks run one and the same loop with the same random numbers, so each of them knows the whole batch. A rank computes its own rows;
what the others need of them is gathered, and gradients are summed. A loss is divided by what the whole batch holds, so that the sum of
all ranks' gradients is the gradient of the whole batch, however unequal the shares are.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor

Rows = TypeVar("Rows")
BUCKET = 2**20


def num_ranks() -> int:
    """How many processes train together; 1 when this one is alone."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def this_rank() -> int:
    """The number of this process among them, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def share_of(rows: Rows) -> Rows:
    """This rank's rows of anything that can be cut into slices: every `num_ranks()`-th one from number `this_rank()` on."""
    return rows[this_rank() :: num_ranks()]


def gather_rows(own: Rows) -> Rows:
    """The rows of all ranks, in the order that `share_of` took them out of: of a tensor along its first axis, or of a list."""
    if num_ranks() == 1:
        return own
    if isinstance(own, Tensor):
        parts = gather(own.cpu())
        whole = own.new_empty((sum(len(part) for part in parts), *own.shape[1:]))
    else:
        parts = gather(own)
        whole = [None] * sum(len(part) for part in parts)
    for rank, part in enumerate(parts):
        whole[rank :: num_ranks()] = part.to(whole.device) if isinstance(part, Tensor) else part
    return whole


def gather(own: Any) -> list[Any]:
    """What each rank hands in, by rank."""
    if num_ranks() == 1:
        return [own]
    parts: list[Any] = [None] * num_ranks()
    distributed.all_gather_object(parts, own)
    return parts


def sum_over_ranks(numbers: Mapping[str, float]) -> dict[str, float]:
    """Each number summed over the ranks, in float64."""
    if num_ranks() == 1:
        return dict(numbers)
    values = torch.tensor(list(numbers.values()), dtype=torch.float64)
    distributed.all_reduce(values)
    return dict(zip(numbers, values.tolist(), strict=True))


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Sums the gradients of replicas over the ranks; those of sharded weights have been summed by the backward pass."""
    if num_ranks() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None and not isinstance(p, DTensor)]
    sent = []
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        sent.append((bucket, flat, distributed.all_reduce(flat, async_op=True)))
    for bucket, flat, work in sent:
        work.wait()
        for gradient, part in zip(bucket, flat.split([gradient.numel() for gradient in bucket]), strict=True):
            gradient.copy_(part.view_as(gradient))


def _buckets(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one type together, in messages of `BUCKET` numbers or little more: each has a cost of its own."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or sum(map(Tensor.numel, bucket)) >= BUCKET):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket

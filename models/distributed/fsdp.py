"""Networks over several ranks: as replicas, or sharded by FSDP2 (`torch.distributed.fsdp.fully_shard`). One process: as they are.

Of a sharded network every rank keeps a piece of each weight, of its gradient and of the optimizer's state. The pieces of one
decoder layer at a time come together when the layer computes. So all ranks must pass through it equally often: `in_step`.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cache, wraps
from types import MethodType
from typing import Any, TypeVar

from torch import Tensor, distributed, nn, optim
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from models.distributed.collectives import gather, num_ranks
from models.settings.compute import Compute

Network = TypeVar("Network", bound=nn.Module)
Part = TypeVar("Part")
Result = TypeVar("Result")


def distribute(model: nn.Module, compute: Compute) -> None:
    """Gives every rank the weights of rank 0 or, with `compute.sharding` fsdp2, its piece of them. In place.

    The model must be on its device already, and copied before, since a sharded one cannot be.
    """
    if num_ranks() == 1:
        return
    for tensor in (*model.parameters(), *model.buffers()):
        distributed.broadcast(tensor.detach(), src=0)
    if compute.sharding == "none":
        return
    empty = {id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in model.parameters()}
    hollow = copy.deepcopy(model, empty | _configs(model))
    mesh = _mesh(next(model.parameters()).device.type)
    layers = {name for module in _pretrained(model) for name in module._no_split_modules or ()}
    for module in [m for m in model.modules() if type(m).__name__ in layers] + [model]:
        fully_shard(module, mesh=mesh)
        # the loops divide by what the whole batch holds; FSDP2 would take the mean over ranks. Gloo knows no other sum.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    model.pass_through = MethodType(lambda self, function, *inputs: function(self, *inputs), model)
    register_fsdp_forward_method(model, "pass_through")
    model.hollow = (hollow,)  # in a tuple: not a part of the network


def whole(model: Network) -> Network:
    """The network with all its weights: itself, or a copy to sample from or to save when it is sharded. All ranks together."""
    if not isinstance(model, FSDPModule):
        return model
    (hollow,) = model.hollow
    weights = {
        id(empty): nn.Parameter(tensor, requires_grad=False)
        for empty, tensor in zip(hollow.parameters(), whole_tensors(model), strict=True)
    }
    return copy.deepcopy(hollow, weights | _configs(hollow)).train(model.training)


def whole_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Each weight whole, one after the other. All ranks together."""
    if isinstance(model, FSDPModule):
        model.reshard()  # a forward pass leaves the outermost weights together, for the backward pass that may never come
    return (whole_tensor(weight.detach()) for weight in model.parameters())


def forward_pass(function: Callable[..., Result]) -> Callable[..., Result]:
    """Decorator: makes a function (or method) of a network and its inputs one of the network's forward passes.

    A sharded network then brings the weights outside of its layers together for it, as for a call of the network itself.
    """

    @wraps(function)
    def passed(model: nn.Module, *inputs: Any) -> Result:
        return model.pass_through(function, *inputs) if isinstance(model, FSDPModule) else function(model, *inputs)

    return passed


def in_step(model: nn.Module, parts: Sequence[Part]) -> Iterator[tuple[Part, bool]]:
    """Each of this rank's parts with True. Of a sharded model then the last part with False, until no rank has any more:
    it must pass through the network forward and backward like the others, and must count for nothing."""
    most = max(gather(len(parts))) if isinstance(model, FSDPModule) else len(parts)
    for number in range(most):
        yield parts[min(number, len(parts) - 1)], number < len(parts)


def whole_tensor(tensor: Tensor) -> Tensor:
    """The tensor itself, or all of a sharded one. All ranks together."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def load_state(part: Any, state: dict) -> None:
    """`part.load_state_dict(state)` with whole tensors for networks and optimizers that may be sharded."""
    if isinstance(part, nn.Module):
        own = part.state_dict()
        state = {name: piece_of(tensor, own.get(name)) for name, tensor in state.items()}
    part.load_state_dict(state)
    if isinstance(part, optim.Optimizer):
        for parameter, kept in part.state.items():
            kept |= {name: piece_of(value, parameter) for name, value in kept.items()}


def piece_of(value: Any, like: Tensor | None) -> Any:
    """This rank's piece of a whole tensor, when it is kept beside a sharded one of the same shape."""
    is_whole = isinstance(value, Tensor) and not isinstance(value, DTensor)
    if is_whole and isinstance(like, DTensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
    return value


def _pretrained(model: nn.Module) -> list[PreTrainedModel]:
    return [module for module in model.modules() if isinstance(module, PreTrainedModel)]


def _configs(model: nn.Module) -> dict[int, Any]:
    """What a copy is to share with its original: a reward model's normalisation stands in its config."""
    return {id(module.config): module.config for module in _pretrained(model)}


@cache
def _mesh(device_type: str) -> DeviceMesh:
    return init_device_mesh(device_type, (num_ranks(),))

"""What weights take of memory and disk in a run, from the shape of its base and the settings. Loads no torch.

With W weights in the base, H of them in an output layer of its own, B = W - H in a network that scores, and A in an adapter, in bytes:

    a network that learns   16 a weight: itself, its gradient and Adam's two moments in float32
    a frozen one            4 a weight; 2 in linear layers that compute in bfloat16, unless another network learns on them
    pretraining, sft, DPO   16 W; through LoRA 4 W + 16 A
    rejection sampling      the same, in its fine-tuning
    reward                  16 B; through LoRA 4 B + 16 A
    PPO                     16 W policy + 16 B value model, and frozen the reference and each reward model
    RLOO, GRPO              the same without the value model; so PPO with `value_model: shared`
    upper layers alone      with U weights in them 16 U + 4 (W - U) policy, and frozen 4 U reference, which shares the others
    PPO through LoRA        4 W policy, which is the reference too, + 4 B a reward model, on which the value model learns, + 16 A for each
                            adapter (without `value_model`: 16 B value model)
    what PPO, RLOO and GRPO sample from    in bfloat16 a copy of the policy: 2 a weight
    moving average, best policy so far    4 a weight of the policy that learns, each
    models on the disk      4 a weight; 2 of base and policy where the base is of 16-bit numbers
    a checkpoint            12 a weight that learns: itself and its moments; there are two at most

That is the least: activations come on top (`rein check` measures them), and Python with torch, about 0.7 GB.
"""

import json
import math
import re
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import ConfigError
from models.settings.pipeline import PipelineConfig
from models.settings.rewards import PairwiseTraining, RewardKind
from models.settings.training import LoRA, PretrainedBase, ScratchBase, Training
from models.settings.tuning import PolicyGradient, PPOConfig

FLOAT, ROUNDED = 4, 2
LEARNING, KEPT = 4 * FLOAT, 3 * FLOAT
"""Bytes of a weight that learns: in memory, and in a checkpoint."""
EMBEDDINGS = ("embed", "wte", "wpe", "lm_head")
HEADS = ("lm_head", "embed_out")


@dataclass(frozen=True)
class NetworkSize:
    """How many weights a network has, tied ones once, how many of them in an output layer of its own, its other matrices by name, and the weights
    of each layer, from the lowest up."""

    num_weights: int
    num_head: int
    matrices: Mapping[str, tuple[int, int]]
    layers: tuple[int, ...]
    stored: int = FLOAT
    """Bytes of a weight on the disk: those of a base of 16-bit numbers are kept so, and what is tuned from it too."""

    @classmethod
    def of_shapes(cls, shapes: Mapping[str, Sequence[int]], stored: int = FLOAT) -> "NetworkSize":
        """From the names and shapes of weights, tied ones once."""
        num_head = sum(math.prod(shape) for name, shape in shapes.items() if any(part in name for part in HEADS))
        matrices = {
            name: (shape[0], shape[1])
            for name, shape in shapes.items()
            if len(shape) == 2 and not any(part in name for part in EMBEDDINGS)
        }
        layers = Counter[int]()
        for name, shape in shapes.items():
            if number := re.search(r"(?<![^.])\d+(?=\.)", name):  # the first: experts of a layer are counted as well
                layers[int(number[0])] += math.prod(shape)
        in_order = tuple(layers[number] for number in sorted(layers))
        return cls(sum(map(math.prod, shapes.values())), num_head, matrices, in_order, stored)

    @classmethod
    def of_folder(cls, folder: Path) -> "NetworkSize":
        """From the heads of a folder's safetensors files, which say names, shapes and types."""
        shapes: dict[str, list[int]] = {}
        types: set[str] = set()
        for file in folder.glob("model*.safetensors"):
            with file.open("rb") as content:
                (length,) = struct.unpack("<Q", content.read(8))
                head = json.loads(content.read(length))
            head.pop("__metadata__", None)
            shapes |= {name: tensor["shape"] for name, tensor in head.items()}
            types |= {tensor["dtype"] for tensor in head.values()}
        return cls.of_shapes(shapes, ROUNDED if types in ({"BF16"}, {"F16"}) else FLOAT)

    @classmethod
    def of_scratch(cls, base: ScratchBase) -> "NetworkSize":
        """Of a small Llama (models/network/networks.py builds it)."""
        width, inner = base.hidden_size, 3 * base.hidden_size
        layer = {name: [width, width] for name in ("q_proj", "k_proj", "v_proj", "o_proj")}
        layer |= {name: [inner, width] for name in ("gate_proj", "up_proj")}
        layer |= {"down_proj": [width, inner], "input_layernorm": [width], "post_attention_layernorm": [width]}
        shapes = {f"{number}.{name}": shape for number in range(base.num_layers) for name, shape in layer.items()}
        return cls.of_shapes({"embed_tokens": [base.vocab_size, width], "norm": [width]} | shapes)

    @classmethod
    def of(cls, base: PretrainedBase | ScratchBase) -> "NetworkSize | None":
        """Of the base that settings name; None where its weights do not lie in a folder here."""
        if isinstance(base, ScratchBase):
            return cls.of_scratch(base)
        folder = Path(base.model)
        return cls.of_folder(folder) if any(folder.glob("model*.safetensors")) else None

    @property
    def num_body(self) -> int:
        """Weights without an output layer."""
        return self.num_weights - self.num_head

    @property
    def num_linear(self) -> int:
        """Weights in linear layers, the output layer aside."""
        return sum(rows * columns for rows, columns in self.matrices.values())

    def num_upper(self, num_layers: int) -> int:
        """Weights of so many upper layers. Raises ConfigError where there are not as many."""
        if num_layers > len(self.layers):
            raise ConfigError(f"tuning.trainable_layers is {num_layers}, and the base has {len(self.layers)} layers")
        return sum(self.layers[len(self.layers) - num_layers :])

    def num_adapter(self, lora: LoRA) -> int:
        """Weights of an adapter: of a matrix with M rows and N columns, rank (M + N)."""
        targets = lora.target_modules
        chosen = [
            shape
            for name, shape in self.matrices.items()
            if targets == "all-linear" or any(part in targets for part in name.split("."))
        ]
        return lora.rank * sum(rows + columns for rows, columns in chosen)


def memory_needed(config: PipelineConfig, size: NetworkSize) -> dict[str, int]:
    """Stage -> bytes of its weights, gradients and moments, in one process."""
    whole, body = size.num_weights, size.num_body
    judge = config.evaluation.held_out_reward
    stages = {
        "pretraining": (config.pretraining, whole),
        "sft": (config.sft, whole),
        "reward": (config.reward, body),
        **{f"reward.parts.{name}.reward": (part.reward, body) for name, part in config.reward.made_of.items()},
        "held-out-reward": (judge and judge.reward, body),
        # where it learns as fine-tuning does
        **{name: (getattr(tuning, "sft", tuning), whole) for name, tuning in config.tunings.items()},
    }
    needed = {}
    for name, (training, num_weights) in stages.items():
        if isinstance(training, Training):
            adapter = None if training.lora is None else size.num_adapter(training.lora)
            needed[name] = LEARNING * num_weights if adapter is None else FLOAT * num_weights + LEARNING * adapter
    online = {name: tuning for name, tuning in config.tunings.items() if isinstance(tuning, PolicyGradient)}
    return needed | {name: _of_tuning(config, tuning, size) for name, tuning in online.items()}


def disk_needed(config: PipelineConfig, size: NetworkSize) -> dict[str, int]:
    """What is kept -> bytes: the models, and the checkpoints of the tuning while it goes on."""
    num_bases = 1 + (config.pretraining is not None) + (config.sft is not None)
    rewards = [config.reward, *(part.reward for part in config.reward.made_of.values())]
    num_rewards = _num_networks(rewards) + (config.evaluation.held_out_reward is not None)
    models = size.stored * (num_bases + len(config.tunings)) * size.num_weights + FLOAT * num_rewards * size.num_body
    needed = {"models": models}
    if isinstance(tuning := config.tuning, PolicyGradient):
        num_kept = min(2, tuning.num_updates // tuning.checkpoint_every)
        policy, value = _num_learning(tuning, size)
        needed["checkpoints"] = num_kept * (KEPT * (policy + value) + FLOAT * policy * _num_copies(config, tuning))
    return needed


def _of_tuning(config: PipelineConfig, tuning: PolicyGradient, size: NetworkSize) -> int:
    policy, value = _num_learning(tuning, size)
    learning = LEARNING * (policy + value) + FLOAT * policy * _num_copies(config, tuning)
    is_network = isinstance(config.reward, PairwiseTraining)  # one that was taken out of its part is held alone
    rewards = [config.reward] if is_network else [part.reward for part in config.reward.made_of.values()]
    # the reference, which holds what is frozen of the policy, and the rewards
    frozen = [size.num_weights] + _num_networks(rewards) * [size.num_body]
    if config.chooser is not None and config.chooser is config.evaluation.held_out_reward:
        frozen.append(size.num_body)
    # learned on by another network, or brought together by FSDP2, which wants one precision
    num_whole = int(config.compute.sharding != "none") if tuning.lora is None else 1 + _critic_has_adapter(tuning)
    num_rounded = max(0, len(frozen) - num_whole) * size.num_linear
    if tuning.trainable_layers is not None:  # the policy's own weights are not rounded
        num_rounded -= size.num_linear - size.num_linear * policy // sum(size.layers)
    in_float32 = learning + FLOAT * sum(frozen)
    if config.compute.precision == "float32":
        return in_float32
    num_sampled = size.num_weights if tuning.lora is None else size.num_weights + policy
    return in_float32 - (FLOAT - ROUNDED) * num_rounded + ROUNDED * num_sampled


def _num_learning(tuning: PolicyGradient, size: NetworkSize) -> tuple[int, int]:
    """Weights that learn, of policy and value model."""
    adapter = None if tuning.lora is None else size.num_adapter(tuning.lora)
    layers = tuning.trainable_layers
    own = size.num_weights if layers is None else size.num_upper(layers)
    policy = own if adapter is None else adapter
    if not isinstance(tuning, PPOConfig) or tuning.value_model == "shared":
        return policy, 0
    return policy, adapter if adapter is not None and _critic_has_adapter(tuning) else size.num_body


def _critic_has_adapter(tuning: PolicyGradient) -> bool:
    """Whether a value model learns through an adapter, on the weights of another network."""
    has_own = isinstance(tuning, PPOConfig) and tuning.value_model == "own"
    return has_own and tuning.lora is not None and tuning.lora.value_model


def _num_copies(config: PipelineConfig, tuning: PolicyGradient) -> int:
    """How often what the policy learns is held besides: as its average, and as the best so far."""
    return (tuning.policy_ema is not None) + (config.chooser is not None)


def _num_networks(rewards: Sequence[RewardKind]) -> int:
    """Networks of these rewards; other kinds than Rein's own are not known to have some."""
    return sum(max(1, one.num_draws) for one in rewards if isinstance(one, PairwiseTraining))

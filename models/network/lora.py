"""LoRA: a network learns through small matrices beside its frozen ones (Hu et al. 2021, "LoRA: Low-Rank Adaptation").

The matrices are an adapter, made by peft. Only this file imports peft, and only when an adapter is asked for.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from models.errors import ConfigError
from models.network.model_folder import write_tokenizer
from models.settings.training import LoRA


def add_adapter(model: PreTrainedModel, config: LoRA, seed: int, name: str) -> None:
    """Freezes the network and gives its chosen layers, in place, what learns instead of them.

    A layer `W x` becomes `W x + alpha / rank * B A x`. A (`rank` rows) is drawn from the seed and B is zero, so that the
    network computes at first what it did before, bit for bit. Source: Hu et al. 2021, section 4.1.

    Raises ConfigError when `target_modules` names no linear layer of the network (called `name` in the message), or the one
    that gives the logits: learning reads its weights and not the layer, and they may be those of the embeddings.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise ConfigError(
            "learning through LoRA needs the package peft, which is not installed; pip install peft"
        ) from None
    if config.target_modules != "all-linear":
        _check_targets(model, config.target_modules, name)
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=config.target_modules if config.target_modules == "all-linear" else list(config.target_modules),
        lora_dropout=0.0,
        fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in model.modules()),
    )
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(seed)
        inject_adapter_in_model(settings, model)


@contextmanager
def learning_through_adapter(model: PreTrainedModel, config: LoRA | None, seed: int, name: str) -> Iterator[None]:
    """Within it an adapter learns instead of the network's weights, which have it merged into them afterwards; None: they learn themselves."""
    if config is None:
        yield
        return
    add_adapter(model, config, seed, name)
    yield
    merge_adapter(model)
    model.requires_grad_(True)


def save_adapter(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, base: Path) -> None:
    """Writes the adapter by itself, as a folder that `PeftModel.from_pretrained(base, folder)` loads.

    It names its base by the way that leads there from the folder, so that both can be moved together; from within the folder
    `AutoPeftModelForCausalLM.from_pretrained(".")` loads both.
    """
    from peft import TaskType, get_peft_model_state_dict

    settings = copy.copy(model.peft_config["default"])
    settings.task_type = TaskType.CAUSAL_LM
    settings.base_model_name_or_path = Path(os.path.relpath(base.resolve(), folder.resolve())).as_posix()
    settings.save_pretrained(folder)
    write_tokenizer(folder, tokenizer)
    weights = {f"base_model.model.{name}": weight for name, weight in get_peft_model_state_dict(model).items()}
    save_file(weights, folder / "adapter_model.safetensors")


def merge_adapter(model: PreTrainedModel) -> None:
    """Makes the network an ordinary one again, in place: `W <- W + alpha / rank * B A`.

    What shares its weights changes with it; a copy would need the memory of a second network.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge()
            model.set_submodule(name, layer.get_base_layer())
    del model.peft_config


def _check_targets(model: PreTrainedModel, targets: tuple[str, ...], name: str) -> None:
    head = model.get_output_embeddings()
    linear = [
        place for place, layer in model.named_modules() if isinstance(layer, nn.Linear | Conv1D) and layer is not head
    ]
    for target in targets:
        if not any(place == target or place.endswith(f".{target}") for place in linear):
            names = ", ".join(dict.fromkeys(place.rpartition(".")[2] for place in linear))
            raise ConfigError(
                f"lora.target_modules: the {name} has no linear layer {target!r} below its output; it has {names}"
            )

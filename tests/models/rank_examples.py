"""Small trainings in gloo processes that share them, and what each process had in the end."""

import json
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn

from models.distributed.collectives import this_rank
from models.distributed.fsdp import distribute, whole
from models.generation.sampler import Sampler
from models.network.networks import RewardModel, ValueModel, build_policy, save_policy, train_tokenizer
from models.records import Completion, Pair, Prompt
from models.rewards import ensemble
from models.rewards.pairwise import train_reward
from models.rewards.scorer import RewardTask
from models.settings.compute import Compute
from models.settings.rewards import EnsembleReward, PairwiseReward
from models.settings.scoring.shaping import AdaptiveKL
from models.settings.sources import Household
from models.settings.training import ScratchBase, Training
from models.settings.tuning import DPOConfig, PTXConfig, RejectionSamplingConfig
from models.training.causal_lm import encode_demonstrations, train_language
from models.training.checkpoints import Checkpoints
from models.tuning.dpo import PairedPrompt, train_dpo
from models.tuning.ppo.loop import train_ppo
from models.tuning.rejection_sampling import train_on_winners
from tests.models.conftest import CORPUS, enliven, with_random_head
from tests.models.ppo_examples import OF_THE_CLOCK, PROMPTS, SAMPLING, SCORER, config_of
from tests.models.rewards.test_pairwise import FOUR, THREE
from tests.models.training.test_causal_lm import DEMONSTRATIONS

TOKENIZER = train_tokenizer(PROMPTS, vocab_size=300)


@dataclass(frozen=True)
class Outcome:
    """What one process had in the end: the weights of all networks, and the numbers of all steps but those of the clock."""

    weights: dict[str, Tensor]
    numbers: list[dict[str, float]]


def tiny_policy() -> nn.Module:
    shape = ScratchBase(vocab_size=300, hidden_size=32, num_layers=2, num_heads=4, context_length=96)
    return enliven(build_policy(shape, TOKENIZER, seed=0)).eval()


def ppo(
    folder: Path,
    compute: Compute,
    stop_after: int | None = None,
    ptx_texts: Sequence[str] | None = None,
    **changes,
) -> None:
    """Three rows a minibatch, so that two processes have unequal shares, and unequally many microbatches of one row."""
    policy = tiny_policy()
    value_model = ValueModel.from_policy(policy)
    settings = {
        "num_updates": 3,
        "batch_size": 6,
        "microbatch_tokens": 1,
        "kl": AdaptiveKL(target_nats=1e-3, horizon=80.0),
    }
    config = config_of(**settings | changes)
    checkpoints = Checkpoints(folder / "checkpoints", every=1)
    steps = train_ppo(
        policy, value_model, TOKENIZER, SCORER, PROMPTS, config, SAMPLING, compute, 0, checkpoints, ptx_texts
    )
    leave(folder, steps, {"model": policy, "value": value_model}, stop_after)
    save_policy(folder / "saved", policy, TOKENIZER)


def ppo_with_options(folder: Path, compute: Compute, stop_after: int | None = None) -> None:
    """Text mixed in (three sequences a step), averaged weights, a value model that learns first, recomputed activations."""
    ptx = PTXConfig(source=Household(), coef=0.5, batch_size=3, sequence_length=8)
    options = {"ptx": ptx, "policy_ema": 0.5, "value_warmup_updates": 1, "kl_budget_nats": 1e3}
    recomputing = compute.model_copy(update={"activation_checkpointing": True})
    ppo(folder, recomputing, stop_after, ptx_texts=CORPUS, **options)


def ppo_in_the_upper_layer(folder: Path, compute: Compute) -> None:
    """One process keeps what the layer below makes of a rollout; several read it again."""
    ppo(folder, compute, trainable_layers=1)


def sampler(folder: Path, compute: Compute) -> None:
    """What is sampled from after the policy has moved, in bfloat16."""
    policy = tiny_policy()
    distribute(policy, compute)
    sampler = Sampler(policy, compute.model_copy(update={"precision": "bfloat16"}))
    with torch.no_grad():
        for weight in policy.parameters():
            weight.mul_(1.25)
    leave(folder, [], {"sampler": sampler.follow().network})


def reward(folder: Path, compute: Compute) -> None:
    """Three prompts a step, with six, three and three pairs."""
    save_policy(folder / "base", tiny_policy(), TOKENIZER)
    if distributed.is_initialized():
        distributed.barrier()
    model = with_random_head(RewardModel.start(folder / "base", seed=0))
    config = PairwiseReward(num_epochs=3, batch_size=3, microbatch_tokens=1, learning_rate=1e-3)
    other = replace(THREE, sequences=[sequence[::-1] for sequence in THREE.sequences])
    leave(folder, train_reward(model, [FOUR, THREE, other], config, compute, 0), {"reward": model})
    model.save(folder / "saved", TOKENIZER)


def ensemble_of_two(folder: Path, compute: Compute, stop_after: int | None = None) -> None:
    """Two members, of six and four pairs; with `stop_after` it ends while the second one is trained."""
    save_policy(folder / "base", tiny_policy(), TOKENIZER)
    if distributed.is_initialized():
        distributed.barrier()
    prompts = [Prompt.of(text, "train") for text in PROMPTS[:3]]
    completions = [Completion.of(prompt.id, text) for prompt in prompts for text in ("the fuse", "a sink", "no")]
    pairs = [
        Pair(prompt_id=one.prompt_id, chosen=one.id, rejected=other.id)
        for one, other in pairwise(completions)
        if one.prompt_id == other.prompt_id
    ]
    config = EnsembleReward(num_members=2, num_epochs=3, batch_size=3, microbatch_tokens=1, learning_rate=1e-3)
    checkpoints = Checkpoints(folder / "checkpoints", every=1)
    given = (folder / "base", prompts, completions, pairs, [pairs, pairs[:4]], [], compute, 0, checkpoints)
    leave(folder, ensemble.train(RewardTask(folder / "saved", *given), config), {}, stop_after)


def dpo(folder: Path, compute: Compute) -> None:
    """Three prompts a step, with six, two and two pairs, ties among them."""
    policy = tiny_policy()
    config = DPOConfig(num_epochs=3, batch_size=3, microbatch_tokens=1, learning_rate=1e-3)
    other = replace(THREE, sequences=[[*sequence[:2], *sequence[:1:-1]] for sequence in THREE.sequences])
    prompts = [PairedPrompt(comparison, num_prompt_tokens=2) for comparison in (FOUR, THREE, other)]
    leave(folder, train_dpo(policy, prompts, config, 0.8, compute, 0), {"model": policy})
    save_policy(folder / "saved", policy, TOKENIZER)


def rejection_sampling(folder: Path, compute: Compute) -> None:
    """Three prompts with two completions each, of which three sequences a step are learned; any of 150 tokens ends one."""
    policy = tiny_policy()
    policy.generation_config.eos_token_id = list(range(150))
    sft = Training(num_epochs=3, batch_size=3, microbatch_tokens=1, learning_rate=1e-3)
    config = RejectionSamplingConfig(num_iterations=2, num_samples=2, sft=sft)
    sampling = SAMPLING.model_copy(update={"max_new_tokens": 30})
    steps = train_on_winners(policy, TOKENIZER, SCORER, PROMPTS[:3], config, sampling, compute, 0)
    leave(folder, steps, {"model": policy})
    save_policy(folder / "saved", policy, TOKENIZER)


def language(folder: Path, compute: Compute, dropout: float = 0.0, stop_after: int | None = None) -> None:
    """Three sequences of unequal length a step. With dropout, every process has random numbers of its own."""
    torch.manual_seed(this_rank())
    model = tiny_policy()
    model.config.attention_dropout = dropout
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = dropout
    sequences = encode_demonstrations(TOKENIZER, DEMONSTRATIONS, context_length=96)
    config = Training(num_epochs=4, batch_size=3, microbatch_tokens=1, learning_rate=1e-3)
    steps = train_language(model, sequences, config, compute, 0, Checkpoints(folder / "checkpoints", every=1))
    leave(folder, steps, {"model": model}, stop_after)
    save_policy(folder / "saved", model, TOKENIZER)


def leave(folder: Path, steps, networks: dict[str, nn.Module], stop_after: int | None = None) -> None:
    """Takes the steps and leaves what `Outcome` holds in this process's own files."""
    taken = [next(steps) for _ in range(stop_after)] if stop_after else list(steps)
    named = {name: whole(network) for name, network in networks.items()}
    weights = {f"{of}/{name}": tensor.clone() for of, net in named.items() for name, tensor in net.state_dict().items()}
    save_file(weights, folder / f"weights-{this_rank()}.safetensors")
    (folder / f"numbers-{this_rank()}.json").write_text(json.dumps([step.values for step in taken]))


def run(
    training: Callable[..., None], folder: Path, num_processes: int, sharding: str = "none", **changes
) -> list[Outcome]:
    """Runs the training in so many processes (one: without a process group) and gives what each of them left."""
    folder.mkdir(exist_ok=True)
    compute = Compute(device="cpu", precision="float32", num_processes=num_processes, sharding=sharding)
    meeting = folder / f"meeting-{len(list(folder.iterdir()))}"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    processes = [
        context.Process(target=_rank, args=(training, folder, compute, meeting, rank, changes))
        for rank in range(num_processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=900)
        process.kill()
    assert [process.exitcode for process in processes] == [0] * num_processes
    return [_outcome(folder, rank) for rank in range(num_processes)]


def _rank(training, folder: Path, compute: Compute, meeting: Path, rank: int, changes: dict) -> None:
    torch.set_num_threads(1)
    if compute.num_processes > 1:
        distributed.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=compute.num_processes
        )
    training(folder, compute, **changes)
    if compute.num_processes > 1:
        distributed.barrier()
        distributed.destroy_process_group()


def _outcome(folder: Path, rank: int) -> Outcome:
    steps = json.loads((folder / f"numbers-{rank}.json").read_text())
    numbers = [{name: value for name, value in step.items() if name not in OF_THE_CLOCK} for step in steps]
    return Outcome(load_file(folder / f"weights-{rank}.safetensors"), numbers)

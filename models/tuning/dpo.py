"""DPO: the policy learns from pairs, without a reward model and without sampling.

What the policy has moved from the reference, its frozen start, is read as a reward (Rafailov et al. 2023, equation 5, without the term that
no pair can tell), and learned as a pairwise reward model is, all pairs of a prompt together, each completion encoded once:

    r(x, y) = beta (log pi(y | x) - log pi_ref(y | x))
    loss    = -p log sigmoid(r_chosen - r_rejected) - (1 - p) log sigmoid(r_rejected - r_chosen)

with the label p = 1 of a strict pair (equation 7), and 1/2 of a tie; a pair's margin is taken from the difference, where it has one (Amini et
al. 2024). A prompt counts once, as in the reward: the weighted mean over its pairs. The reference's log-probabilities are taken once, before anything is learned.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from models.distributed.collectives import gather_rows, num_ranks, share_of
from models.distributed.fsdp import distribute, in_step, whole
from models.errors import DataError
from models.generation.sampler import sampling_copy
from models.network.activation_checkpointing import recomputed_activations
from models.network.architecture import context_length
from models.network.dialogue import encode_prompt
from models.network.logprobs import token_logprobs
from models.network.lora import learning_through_adapter
from models.network.networks import load_policy, save_policy
from models.network.packing import PackedBatch, cut_by_tokens
from models.network.precision import autocast, pick_device
from models.records import StepMetrics
from models.rewards.pairwise import Comparison, all_pairs, group_pairs
from models.rewards.pairwise_losses import pairwise_loss
from models.settings.compute import Compute
from models.settings.training import Training
from models.settings.tuning import DPOConfig
from models.shapes import Float
from models.training.checkpoints import Checkpoints, Trained
from models.training.loop import descend
from models.tuning.progress import Progress
from models.tuning.tuner import ComparedCompletions, TuningTask


def tune(task: TuningTask, config: DPOConfig) -> Iterator[StepMetrics]:
    """Writes `model/`, progress.jsonl and, with a judge, kept.json; yields the steps. Raises DataError where there is no pair to learn from."""
    policy, tokenizer = load_policy(task.base)
    prompts = read_paired_prompts(tokenizer, task.compared, context_length(policy.config))
    progress = Progress(tokenizer, task.validation_prompts, task.sampling, config, task.seed, task.judge)
    given = (config, task.sampling.temperature, task.compute, task.seed, task.checkpoints)
    yield from train_dpo(policy, prompts, *given, progress=progress)
    progress.write(task.folder)
    save_policy(task.folder / "model", policy, tokenizer, learned_from=task.base, seed=task.seed)


@dataclass(frozen=True)
class PairedPrompt:
    """A prompt's completions and pairs; its tokens are the first `num_prompt_tokens` of each of their sequences."""

    comparison: Comparison
    num_prompt_tokens: int

    @property
    def num_learned(self) -> list[int]:
        """How many of the last tokens of each sequence are the completion's."""
        return [len(sequence) - self.num_prompt_tokens for sequence in self.comparison.sequences]


def read_paired_prompts(
    tokenizer: PreTrainedTokenizerBase, compared: ComparedCompletions | None, context_length: int
) -> list[PairedPrompt]:
    """The training prompts that have pairs, as the policy reads them. Raises DataError where none has."""
    paired = {pair.prompt_id for pair in compared.pairs} if compared else set()
    if compared is None or not (asked := [one for one in compared.prompts if one.id in paired]):
        raise DataError("no training prompt has a pair to learn from: dpo learns from nothing else")
    comparisons = group_pairs(tokenizer, asked, compared.completions, compared.pairs, context_length)
    return [
        PairedPrompt(comparison, len(encode_prompt(tokenizer, prompt.text)))
        for prompt, comparison in zip(asked, comparisons, strict=True)
    ]


def train_dpo(
    policy: PreTrainedModel,
    prompts: Sequence[PairedPrompt],
    config: DPOConfig,
    temperature: float,
    compute: Compute,
    seed: int,
    checkpoints: Checkpoints | None = None,
    progress: Progress | None = None,
) -> Iterator[StepMetrics]:
    """Tunes the policy in place, one step a batch of prompts; with `lora` through an adapter that is merged into it at the end.

    Yields each step's `loss` (nats a prompt) and, of its strict pairs, TRL's `rewards/chosen`, `rewards/rejected`, `rewards/margins`
    (nats, times beta) and `rewards/accuracies`. Dropout stays off: policy and reference must be one network at the start. `progress`
    looks at the policy before some steps and at the end, and may end training and choose the policy that is left. With `checkpoints`,
    training goes on from the newest one.
    """
    policy.to(pick_device(compute)).eval()

    def check(step: int) -> None:
        if progress:
            progress.check(step, sampling_copy(whole(policy), compute), Trained(policy))

    def accumulate(numbers: list[int], config: Training) -> dict[str, float]:
        started = time.perf_counter()
        num_strict = sum(label > 0.5 for number in numbers for label in prompts[number].comparison.label)
        values = dict.fromkeys(("loss", *(STRICT if num_strict else ())), 0.0)
        own = share_of(numbers)
        cuts = list(cut_by_tokens([lengths[number] for number in own], config.microbatch_tokens))
        for part, counts in in_step(policy, cuts):
            rows = [prompts[number] for number in own[part]]
            before = torch.cat([reference[number] for number in own[part]]).to(policy.device)
            with autocast(compute), recomputed_activations(compute, policy):
                after = completion_logprobs(policy, rows, temperature)
            loss, strict = dpo_loss(beta * (after - before), rows)
            (loss / len(numbers) * counts).backward()
            values["loss"] += loss.item() / len(numbers) * counts
            for name, value in strict.items() if num_strict else ():
                values[name] += value.sum().item() / num_strict * counts
        return values | {"update_seconds": (time.perf_counter() - started) / num_ranks()}  # summed over them

    beta, lengths = config.beta, [prompt.comparison.num_tokens for prompt in prompts]
    with learning_through_adapter(policy, config.lora, seed, "policy"):
        distribute(policy, compute)
        reference = reference_logprobs(policy, prompts, config.microbatch_tokens, temperature, compute)
        check(0)
        num_taken = 0
        kept = {"progress": progress} if progress else {}
        for step in descend(policy, lengths, accumulate, config, seed, checkpoints, **kept):
            yield step
            num_taken = step.step + 1
            if progress and progress.is_due(num_taken):
                check(num_taken)
                if progress.says_stop():
                    break
        check(num_taken)
        if progress:
            progress.hand_over(Trained(policy))


def completion_logprobs(
    policy: PreTrainedModel, prompts: Sequence[PairedPrompt], temperature: float
) -> Float[Tensor, " C"]:
    """`log pi(y | x)`, in nats, of each of the C completions of these prompts."""
    batch = PackedBatch.of([tokens for one in prompts for tokens in one.comparison.sequences], policy.device)
    counts = [count for one in prompts for count in one.num_learned]
    logprobs = token_logprobs(policy, batch, batch.last(counts), temperature)
    return torch.stack([of_completion.sum() for of_completion in logprobs.split(counts)])


@torch.no_grad()
def reference_logprobs(
    policy: PreTrainedModel,
    prompts: Sequence[PairedPrompt],
    microbatch_tokens: int,
    temperature: float,
    compute: Compute,
) -> list[Tensor]:
    """Those of each prompt's completions, a tensor a prompt, by the policy as it is: what it is to be compared with."""
    own, told = share_of(prompts), []
    cuts = list(cut_by_tokens([one.comparison.num_tokens for one in own], microbatch_tokens))
    for part, counts in in_step(policy, cuts):
        with autocast(compute):
            logprobs = completion_logprobs(policy, own[part], temperature).cpu()
        if counts:
            told += logprobs.split([len(one.comparison.sequences) for one in own[part]])
    return gather_rows(told)


STRICT = ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies")


def dpo_loss(
    rewards: Float[Tensor, " C"], prompts: Sequence[PairedPrompt]
) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, " N"]]]:
    """The loss summed over prompts, and `STRICT` of each strict pair: of a tie, which one stands first says nothing.

    `rewards`: `beta (log pi - log pi_ref)` of each completion of these prompts. See the module's text.
    """
    pairs = all_pairs([one.comparison for one in prompts])
    chosen, rejected = rewards[pairs.chosen], rewards[pairs.rejected]
    label, weight, margin = (rewards.new_tensor(one) for one in (pairs.label, pairs.weight, pairs.margin))
    loss = pairwise_loss(chosen, rejected, label, margin) * weight
    chosen, rejected = (side.detach()[label > 0.5] for side in (chosen, rejected))
    told = (chosen, rejected, chosen - rejected, (chosen > rejected).float())
    return loss.sum(), dict(zip(STRICT, told, strict=True))

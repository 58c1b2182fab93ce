"""DPO's loss and gradient against TRL 1.12.0 and numpy, each completion encoded once, and a run that is stopped anywhere.

`trl_oracle.safetensors` holds what TRL computed, `trl_oracle_script.py` made it: two prompts with three completions and three pairs each.
TRL reads both completions of each pair, twelve sequences; here it is six. TRL knows no ties: one is the mean of its losses both ways around.
"""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from transformers import LlamaConfig, LlamaForCausalLM

from models.errors import DataError
from models.records import Completion, Pair, Prompt
from models.rewards.pairwise import Comparison
from models.settings.compute import Compute
from models.settings.training import LoRA
from models.settings.tuning import DPOConfig
from models.training.checkpoints import Checkpoints
from models.tuning.dpo import (
    STRICT,
    PairedPrompt,
    completion_logprobs,
    dpo_loss,
    read_paired_prompts,
    reference_logprobs,
    train_dpo,
)
from models.tuning.progress import Progress
from models.tuning.tuner import ComparedCompletions
from tests.models.ppo_examples import SAMPLING, equal, state_of
from tests.models.rewards.test_pairwise import FOUR, THREE
from tests.models.tuning.ppo.test_resume import check_all_interruptions, numbers
from tests.models.tuning.test_progress import SECOND_IS_BEST, VALIDATION, Scripted
from tests.tolerances import close

PAIRED = [PairedPrompt(replace(one, margin=[0.0] * len(one.chosen)), 2) for one in (FOUR, THREE, FOUR)]
HALF = [0.5, 0.5, 0.5]
COMPUTE = Compute(device="cpu", precision="float32")


class Recording:
    """TRL's tensors by name."""

    def __init__(self) -> None:
        with safe_open(Path(__file__).with_name("trl_oracle.safetensors"), framework="pt") as file:
            self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            metadata = file.metadata()
        assert metadata["trl"] == "1.12.0"
        self.shape, self.beta = json.loads(metadata["shape"]), float(metadata["beta"])

    def model(self, owner: str) -> LlamaForCausalLM:
        model = LlamaForCausalLM(LlamaConfig(**self.shape))
        model.load_state_dict({name: self.tensors[f"{owner}.{name}"] for name in model.state_dict()})
        return model.eval()

    def prompts(self, label: list[float]) -> list[PairedPrompt]:
        """TRL's batch, chosen ones first and then the rejected ones, as prompts with three pairs each."""
        real, learned = self.tensors["batch.attention_mask"].bool(), self.tensors["batch.completion_mask"]
        rows = [row[mask].tolist() for row, mask in zip(self.tensors["batch.input_ids"], real, strict=True)]
        num_pairs = len(rows) // 2
        prompts = []
        for first in range(0, num_pairs, 3):
            own = [(rows[pair], rows[num_pairs + pair]) for pair in range(first, first + 3)]
            sequences = [list(one) for one in dict.fromkeys(tuple(one) for pair in own for one in pair)]
            chosen, rejected = ([sequences.index(pair[side]) for pair in own] for side in (0, 1))
            comparison = Comparison(sequences, chosen, rejected, label, weight=[1.0] * 3, margin=[0.0] * 3)
            prompts.append(PairedPrompt(comparison, len(rows[first]) - int(learned[first].sum())))
        return prompts


@pytest.fixture(scope="module")
def trl() -> Recording:
    return Recording()


def loss_of(trl: Recording, policy: LlamaForCausalLM, label: list[float]):
    prompts = trl.prompts(label)
    before = torch.cat(reference_logprobs(trl.model("reference"), prompts, 20, 1.0, COMPUTE))
    return dpo_loss(trl.beta * (completion_logprobs(policy, prompts, 1.0) - before), prompts)


def test_loss_rewards_and_gradient_are_those_of_trl(trl):
    policy = trl.model("policy")
    loss, strict = loss_of(trl, policy, [1.0] * 3)
    assert close(loss / 2, trl.tensors["loss"], tolerance=1e-5)  # two prompts of three pairs: the mean over six
    for name, values in strict.items():
        assert close(values.mean(), trl.tensors[f"logged.{name}"], tolerance=1e-5), name
    (loss / 2).backward()
    for name, parameter in policy.named_parameters():
        assert close(parameter.grad, trl.tensors[f"gradient.{name}"], tolerance=1e-5), name


def test_a_tie_is_the_mean_of_trls_losses_both_ways_around(trl):
    loss, strict = loss_of(trl, trl.model("policy"), HALF)
    both = (trl.tensors["loss"] + trl.tensors["loss_exchanged"]) / 2
    assert abs(trl.tensors["loss"] - trl.tensors["loss_exchanged"]) > 0.1
    assert close(loss / 2, both, tolerance=1e-5)
    assert all(values.numel() == 0 for values in strict.values()), "of a tie nobody is chosen"


def test_weights_labels_and_margins_as_numpy_has_them():
    rewards = np.linspace(-1.5, 2.0, 7) ** 3
    expected, strict = 0.0, []
    for row, own in ((FOUR, rewards[:4]), (THREE, rewards[4:])):
        columns = (row.chosen, row.rejected, row.label, row.weight, row.margin)
        for chosen, rejected, label, weight, margin in zip(*columns, strict=True):
            d = own[chosen] - own[rejected]
            p = 1 / (1 + np.exp(margin - d))
            expected -= weight / sum(row.weight) * (label * np.log(p) + (1 - label) * np.log(1 - p))
            strict += [d] if label == 1 else []
    loss, told = dpo_loss(torch.tensor(rewards), [PairedPrompt(FOUR, 2), PairedPrompt(THREE, 2)])
    assert close(loss, expected)
    assert close(told["rewards/margins"], strict)
    assert close(told["rewards/accuracies"], np.array(strict) > 0)


def test_every_completion_passes_through_the_network_once_and_so_does_their_prompt(policy):
    read = []
    policy.model.embed_tokens.register_forward_hook(lambda _, inputs, output: read.append(inputs[0].numel()))
    logprobs = completion_logprobs(policy, PAIRED[:2], 1.0)
    assert sum(read) == 12 + 8, "what both prompts begin with is there once, too"
    alone = torch.log_softmax(policy(torch.tensor([[1, 20, 30, 2]])).logits[0] / 0.7, dim=-1)
    at = completion_logprobs(policy, PAIRED[:1], 0.7)[0]
    assert close(at, alone[1, 30] + alone[2, 2], tolerance=1e-4), "of the completion's tokens alone, at the temperature"
    assert len(logprobs) == 7


def config_of(**changes) -> DPOConfig:
    settings = {"num_epochs": 4, "batch_size": 2, "microbatch_tokens": 1, "learning_rate": 3e-3, "sample_every": 2}
    return DPOConfig(**settings | changes)


def test_the_first_step_sees_the_reference_itself(policy, compute):
    first = next(train_dpo(policy, PAIRED, config_of(), 0.8, compute, seed=0)).values
    assert close(first["loss"], math.log(2), tolerance=1e-4)  # -log sigmoid(0), of ties too
    assert all(abs(first[name]) < 1e-3 for name in STRICT if name != "rewards/accuracies")


def test_it_learns_the_order(policy, compute):
    *_, last = train_dpo(policy, PAIRED, config_of(num_epochs=30, learning_rate=1e-2), 1.0, compute, seed=0)
    assert last.values["rewards/accuracies"] == 1.0 and last.values["rewards/margins"] > 0.5
    assert last.values["loss"] < 0.6


def test_how_a_batch_is_cut_changes_nothing(policy, compute, plain_descent):
    runs = []
    for microbatch_tokens in (1, 8192):
        own = copy.deepcopy(policy)
        steps = train_dpo(own, PAIRED, config_of(microbatch_tokens=microbatch_tokens), 1.0, compute, seed=0)
        runs.append((state_of(own), [step.values["loss"] for step in steps]))
    assert close(runs[0][1], runs[1][1], tolerance=1e-4)
    assert all(close(runs[0][0][name], weight, tolerance=1e-4) for name, weight in runs[1][0].items())


@pytest.mark.parametrize("lora", [None, LoRA(rank=2)])
def test_stopped_anywhere_it_ends_in_the_same_weights(policy, compute, tmp_path, lora):
    def run(checkpoints):
        own = copy.deepcopy(policy)
        return train_dpo(own, PAIRED, config_of(lora=lora), 0.8, compute, 0, checkpoints), [own]

    check_all_interruptions(run, tmp_path, num_steps=6)  # 4 epochs of 3 prompts, 2 a step


def progress_of(tokenizer, *checks, **changes) -> Progress:
    return Progress(tokenizer, VALIDATION, SAMPLING, config_of(**changes), seed=0, judge=Scripted(*checks))


def test_the_policy_that_the_judge_likes_best_is_kept(policy, tokenizer, compute, tmp_path):
    """Checks before steps 0, 2 and 4 and at the end; the second is the best, also in a run that was stopped behind it."""
    unbroken, stopped = copy.deepcopy(policy), copy.deepcopy(policy)
    progress = progress_of(tokenizer, *SECOND_IS_BEST)
    steps = list(train_dpo(unbroken, PAIRED, config_of(), 0.8, compute, 0, progress=progress))
    assert progress.updates == [0, 2, 4, 6] and len(steps) == 6

    def resumed(*checks, taken=None):
        own, progress = copy.deepcopy(policy), progress_of(tokenizer, *checks)
        steps = train_dpo(own, PAIRED, config_of(), 0.8, compute, 0, Checkpoints(tmp_path, 1), progress)
        return own, progress, [next(steps) for _ in range(taken)] if taken else list(steps)

    resumed(*SECOND_IS_BEST, taken=4)  # before the check that comes behind step 4
    stopped, again, told = resumed(SECOND_IS_BEST[0], *SECOND_IS_BEST[2:])
    assert again.updates == progress.updates and again.samples == progress.samples
    assert numbers(told) == numbers(steps) and equal(state_of(stopped), state_of(unbroken))
    two = copy.deepcopy(policy)
    first_two = train_dpo(two, PAIRED, config_of(), 0.8, compute, 0)
    assert next(first_two) and next(first_two) and equal(state_of(two), state_of(unbroken))


def test_it_stops_after_checks_without_gain(policy, tokenizer, compute):
    progress = progress_of(tokenizer, *SECOND_IS_BEST, stop_after=1)
    assert len(list(train_dpo(policy, PAIRED, config_of(stop_after=1), 0.8, compute, 0, progress=progress))) == 4


# from records to pairs


def compared(split: str = "train") -> ComparedCompletions:
    prompts = [Prompt.of("my sink", split), Prompt.of("the lamp", split)]
    completions = [Completion.of(prompt.id, text) for prompt in prompts for text in ("the nut", "the fuse")]
    lamp = completions[2:]
    return ComparedCompletions(
        [one for one in prompts if split == "train"],
        completions,
        [Pair(prompt_id=prompts[1].id, chosen=lamp[1].id, rejected=lamp[0].id)],
    )


def test_the_prompts_that_have_pairs_are_read(tokenizer):
    (row,) = read_paired_prompts(tokenizer, compared(), context_length=96)
    assert [tokenizer.decode(tokens) for tokens in row.comparison.sequences] == [
        f"<s>the lamp\n{text}</s>" for text in ("the fuse", "the nut")
    ]
    learned = [tokens[-count:] for tokens, count in zip(row.comparison.sequences, row.num_learned, strict=True)]
    assert [tokenizer.decode(tokens) for tokens in learned] == ["the fuse</s>", "the nut</s>"]


@pytest.mark.parametrize("without", [None, compared("test"), ComparedCompletions(compared().prompts, [], [])])
def test_without_a_pair_of_a_training_prompt_there_is_nothing_to_learn(tokenizer, without):
    with pytest.raises(DataError, match="no training prompt has a pair to learn from"):
        read_paired_prompts(tokenizer, without, context_length=96)

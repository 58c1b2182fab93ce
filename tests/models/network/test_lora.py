"""LoRA: only the adapter learns, the reference is the policy without it, and what is saved is an ordinary network."""

import copy
import sys

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from models.errors import ConfigError
from models.generation import decoding
from models.generation.sampling import sample_completions
from models.network.lora import add_adapter, merge_adapter, save_adapter
from models.network.networks import ValueModel, save_policy, weight_sharing_copy
from models.network.packing import PackedBatch
from models.settings.compute import Compute
from models.settings.scoring.shaping import FixedKL
from models.settings.tuning import TuningLoRA as LoRA
from models.training.checkpoints import Checkpoints, Trained
from models.tuning.online import loop as online
from models.tuning.ppo.loop import train_ppo
from tests.models.ppo_examples import PROMPTS, SAMPLING, SCORER, config_of, equal, state_of
from tests.models.tuning.ppo.test_resume import check_all_interruptions
from tests.tolerances import close

SMALL = LoRA(rank=4, alpha=8.0)
FAST = {"learning_rate": 1e-2, "value_learning_rate": 1e-2}
IDS = torch.tensor([[1, 20, 30, 40, 50, 2], [1, 60, 70, 80, 90, 2]])
# A block of the tiny Llama has four matrices of 32 x 32 and three of 32 x 96 or 96 x 32; rank 4, two blocks.
ADAPTER_SIZE = 2 * 4 * (4 * (32 + 32) + 3 * (32 + 96))


def run(policy, tokenizer, compute, value_model=None, seed=0, prompts=PROMPTS, checkpoints=None, lora=SMALL, **changes):
    value_model = value_model or ValueModel.from_policy(policy, share_body=lora.value_model)
    config = config_of(lora=lora, **FAST | changes)
    return train_ppo(policy, value_model, tokenizer, SCORER, prompts, config, SAMPLING, compute, seed, checkpoints)


@pytest.fixture
def tuned(any_policy, tokenizer, compute):
    """A policy whose adapter has learned something."""
    list(run(any_policy, tokenizer, compute))
    return any_policy


def base_weights(model) -> dict[str, torch.Tensor]:
    """What the network had before its adapter, under the names it had then."""
    return {name.replace(".base_layer", ""): w for name, w in state_of(model).items() if "lora_" not in name}


def references(monkeypatch) -> list:
    """Will hold the reference that the loop makes."""
    made, original = [], online.freeze
    monkeypatch.setattr(online, "freeze", lambda model: made.append(original(model)) or made[-1])
    return made


# what learns and what does not


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_before_the_first_step_policy_and_reference_are_equal(any_policy, tokenizer, precision):
    compute = Compute(device="cpu", precision=precision)
    first, second = run(any_policy, tokenizer, compute, num_epochs=1, num_minibatches=1)
    assert first.values["objective/kl"] == 0.0 and first.values["objective/kl_k3"] == 0.0
    assert close(first.values["val/ratio"], 1.0, tolerance=1e-3 if precision == "bfloat16" else 1e-6)
    assert first.values["policy/clipfrac_avg"] == 0.0
    assert second.values["objective/kl_k3"] > 0
    assert {weight.dtype for weight in any_policy.parameters()} == {torch.float32}


def test_only_adapters_and_the_value_head_learn(any_policy, tokenizer, compute):
    value_model = ValueModel.from_policy(any_policy, share_body=True)
    before = state_of(any_policy)
    list(run(any_policy, tokenizer, compute, value_model))
    assert equal(base_weights(any_policy), before)
    prefix = any_policy.base_model_prefix
    for name, weight in base_weights(value_model.body).items():
        assert torch.equal(weight, before[f"{prefix}.{name}"]), name
    for network in (any_policy, value_model.body):
        learned = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        assert learned and all("lora_" in name for name in learned)
        assert all(weight.abs().max() > 0 for weight in learned.values()), "B began as zero"
    assert value_model.head.weight.abs().max() > 0


def test_as_many_numbers_learn_as_arithmetic_says(policy, tokenizer, compute):
    value_model = ValueModel.from_policy(policy, share_body=True)
    list(run(policy, tokenizer, compute, value_model, num_updates=1))
    assert sum(weight.numel() for weight in Trained(policy).weights()) == ADAPTER_SIZE
    assert sum(weight.numel() for weight in Trained(value_model).weights()) == ADAPTER_SIZE + 32


def test_only_the_named_layers_get_an_adapter(policy):
    add_adapter(policy, LoRA(rank=3, target_modules=("q_proj", "mlp.up_proj")), seed=0, name="policy")
    weights = Trained(policy).weights()
    assert sum(weight.numel() for weight in weights) == 2 * 3 * ((32 + 32) + (32 + 96))


def test_the_reference_shares_the_weights_and_does_not_move(policy, tokenizer, compute, monkeypatch):
    made = references(monkeypatch)
    own = [weight.data_ptr() for weight in policy.parameters()]
    before = policy(IDS).logits
    list(run(policy, tokenizer, compute))
    (reference,) = made
    assert [weight.data_ptr() for weight in reference.parameters()] == own
    assert torch.equal(reference(IDS).logits, before)
    assert not close(policy(IDS).logits, before, tolerance=1e-3)


def test_the_value_model_works_on_the_reward_models_weights(policy, reward_model, tokenizer, compute):
    value_model = ValueModel.from_reward(reward_model, share_body=True)
    body = {weight.data_ptr() for weight in reward_model.model.base_model.parameters()}
    assert {weight.data_ptr() for weight in value_model.body.parameters()} == body
    before = state_of(reward_model)
    batch = PackedBatch.of(IDS.tolist())
    places = batch.last([3, 3])
    values = value_model(batch, places)
    list(run(policy, tokenizer, compute, value_model))
    assert not close(value_model(batch, places), values, tolerance=1e-3)
    assert equal(state_of(reward_model), before)


def test_the_value_model_can_learn_with_all_its_weights(policy, tokenizer, compute):
    value_model = ValueModel.from_policy(policy)
    before = state_of(value_model)
    list(run(policy, tokenizer, compute, value_model, lora=LoRA(rank=4, value_model=False), num_updates=1))
    after = state_of(value_model)
    assert after.keys() == before.keys()
    assert not any(torch.equal(after[name], before[name]) for name in ("head.weight", "body.embed_tokens.weight"))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in (1, 2))])
def test_ppo_with_an_adapter_learns_what_the_score_rewards(policy, tokenizer, compute, seed):
    settings = {"num_updates": 14, "batch_size": 32, "num_epochs": 3, "kl": FixedKL(coef=0.0)}
    settings |= {"lora": LoRA(rank=8, alpha=64.0), "learning_rate": 3e-2, "value_learning_rate": 1e-3}
    steps = run(policy, tokenizer, compute, seed=seed, prompts=PROMPTS * 4, **settings)
    scores = [step.values["objective/scores"] for step in steps]
    assert sum(scores[-3:]) / 3 > sum(scores[:3]) / 3 + 0.25


def test_the_seed_decides_the_adapter_and_the_global_generator_nothing(policy, tokenizer, compute):
    made = []
    for seed, elsewhere in ((0, 1), (0, 2), (5, 1)):
        own = copy.deepcopy(policy)
        torch.manual_seed(elsewhere)
        before = torch.get_rng_state()
        add_adapter(own, SMALL, seed, "policy")
        assert torch.equal(torch.get_rng_state(), before)
        made.append(state_of(own))
    assert equal(made[0], made[1]) and not equal(made[0], made[2])


# sampling


@pytest.mark.parametrize("fixed", [False, True])
def test_the_adapter_counts_in_sampling(tuned, tokenizer, monkeypatch, fixed):
    monkeypatch.setattr(decoding, "_launches_bound", lambda device: fixed)
    settings = {"max_new_tokens": 8, "temperature": 0.7, "batch_size": 3, "seed": 4}
    plain = copy.deepcopy(tuned)
    merge_adapter(plain)
    with_adapter = sample_completions(tuned, tokenizer, PROMPTS, **settings)
    assert with_adapter == sample_completions(plain, tokenizer, PROMPTS, **settings)


# what is saved


def test_the_merged_policy_is_an_ordinary_one_that_computes_the_same(tuned, tokenizer, tmp_path):
    with torch.no_grad():
        adapted = tuned(IDS).logits
        merge_adapter(tuned)
        save_policy(tmp_path, tuned, tokenizer)
        plain = AutoModelForCausalLM.from_pretrained(tmp_path)
        assert close(plain(IDS).logits, adapted, tolerance=1e-5)
    saved = load_file(tmp_path / "model.safetensors")
    assert not any("lora" in name or "base_layer" in name for name in saved)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")  # peft asks transformers for it
def test_peft_puts_the_saved_adapter_on_the_base(any_policy, tokenizer, compute, tmp_path, monkeypatch):
    from peft import AutoPeftModelForCausalLM, PeftModel

    base = copy.deepcopy(any_policy)
    save_policy(tmp_path / "base/model", base, tokenizer)
    list(run(any_policy, tokenizer, compute))
    save_adapter(tmp_path / "policy/adapter", any_policy, tokenizer, tmp_path / "base/model")
    (tmp_path / "policy").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path / "moved/adapter")
    with torch.no_grad():
        unlike = base(IDS).logits
        by_itself = AutoPeftModelForCausalLM.from_pretrained(".").eval()
        loaded = PeftModel.from_pretrained(base, ".").eval()
        assert torch.equal(loaded(IDS).logits, any_policy(IDS).logits)
        assert torch.equal(by_itself(IDS).logits, any_policy(IDS).logits)
        assert not close(loaded(IDS).logits, unlike, tolerance=1e-3)


# killed and resumed


def resumable(policy, tokenizer, compute, **settings):
    def start(checkpoints):
        own = copy.deepcopy(policy)
        value_model = ValueModel.from_policy(own, share_body=True)
        return run(own, tokenizer, compute, value_model, checkpoints=checkpoints, **settings), [own, value_model]

    return start


def test_a_resumed_run_ends_in_the_same_adapter(policy, tokenizer, compute, tmp_path):
    settings = {"num_updates": 4, "batch_size": 6}  # batches reach over the end of an epoch
    check_all_interruptions(resumable(policy, tokenizer, compute, **settings), tmp_path, num_steps=4)


def test_a_checkpoint_holds_what_learns_and_no_more(policy, tokenizer, compute, tmp_path):
    list(run(policy, tokenizer, compute, checkpoints=Checkpoints(tmp_path, 2), kl_budget_nats=1e6))
    kept = load_file(tmp_path / "step-00000002" / "tensors.safetensors")
    for part in ("policy", "value_model", "kl_budget"):
        names = [name for name in kept if name.startswith(f"/{part}/")]
        assert names and all("lora_" in name or name == "/value_model/head.weight" for name in names)
    # policy and value model, what the KL budget keeps, and two moments of what learns; also counts of steps, and generators
    floats = sum(tensor.numel() for name, tensor in kept.items() if tensor.ndim >= 2)
    assert floats == 3 * (2 * ADAPTER_SIZE + 32) + ADAPTER_SIZE


def test_the_kl_budget_ends_training_with_the_last_adapter_within_it(policy, tokenizer, compute):
    settings = {"num_updates": 8, "kl": FixedKL(coef=0.0)}
    free = [step.values["objective/kl"] for step in run(copy.deepcopy(policy), tokenizer, compute, **settings)]
    exceeded = next(update for update in range(2, 8) if free[update] > max(free[:update]))
    kl_budget = (max(free[:exceeded]) + free[exceeded]) / 2
    before_update = [None]  # the weights that each update samples from
    for _ in run(policy, tokenizer, compute, kl_budget_nats=kl_budget, **settings):
        before_update.append(state_of(policy))
    assert len(before_update) == exceeded + 1
    assert equal(state_of(policy), before_update[exceeded - 1])
    assert not equal(before_update[exceeded - 1], before_update[exceeded])


# what it refuses


@pytest.mark.parametrize(
    ("targets", "wrong"),
    [
        (("q_prj",), "q_prj"),
        (("q_proj", "nope"), "nope"),
        (("proj",), "proj"),  # the end of a name is no name
        (("embed_tokens",), "embed_tokens"),
        (("lm_head",), "lm_head"),  # its weights are the embeddings, and learning reads them by itself
    ],
)
def test_a_wrong_layer_name_is_an_error_that_says_which_there_are(policy, tokenizer, compute, targets, wrong):
    with pytest.raises(ConfigError, match=rf"lora\.target_modules: the policy .*'{wrong}'.*it has q_proj, k_proj"):
        next(run(policy, tokenizer, compute, lora=LoRA(target_modules=targets)))


def test_a_layer_that_the_value_model_lacks_is_an_error(policy, gpt2, tokenizer, compute):
    value_model = ValueModel.from_policy(gpt2)
    with pytest.raises(ConfigError, match=r"lora\.target_modules: the value model has no .*'q_proj'.*c_attn"):
        next(run(policy, tokenizer, compute, value_model, lora=LoRA(target_modules=("q_proj",))))


def test_without_peft_it_says_what_to_install(policy, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ConfigError, match=r"LoRA needs the package peft.*pip install peft"):
        add_adapter(policy, SMALL, seed=0, name="policy")


def test_layers_added_to_a_copy_that_shares_weights_are_not_in_the_other(policy):
    other = weight_sharing_copy(policy)
    names = [name for name, _ in other.named_parameters()]
    add_adapter(policy, SMALL, seed=0, name="policy")
    assert [name for name, _ in other.named_parameters()] == names

"""A reward model with a tokenizer, a vocabulary and a template of its own: what PPO learns from is its score of the text."""

from functools import partial

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from models.network.networks import RewardModel, ValueModel, build_policy, freeze, save_policy
from models.rewards.pairwise import score_texts
from models.rewards.scorer import Scorer
from models.settings.training import ScratchBase
from models.tuning.online import loop as online
from models.tuning.ppo.loop import train_ppo
from tests.models.conftest import enliven, with_random_head
from tests.models.ppo_examples import PROMPTS, SAMPLING, config_of, state_of
from tests.tolerances import close

TEMPLATE = (
    "Q: {% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] + '\\nA: ' }}"
    "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)
BYTES = {character: number for number, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
END, FILLER = 256, 257


@pytest.fixture(scope="module")
def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, ids in no order that the policy's tokenizer knows, special tokens of other names at the end."""
    tokenizer = Tokenizer(models.BPE(vocab=BYTES, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|filler|>", chat_template=TEMPLATE
    )


@pytest.fixture
def byte_reward_model(byte_tokenizer, tmp_path) -> RewardModel:
    shape = ScratchBase(vocab_size=300, hidden_size=16, num_layers=1, num_heads=2, context_length=256)
    save_policy(tmp_path, enliven(build_policy(shape, byte_tokenizer, seed=3)), byte_tokenizer)
    reward_model = with_random_head(RewardModel.start(tmp_path, seed=0))
    reward_model.set_normalisation(mean=0.25, std=2.0)
    return freeze(reward_model)


def score_by_hand(reward_model: RewardModel, prompt: str, completion: str) -> float:
    """Template, bytes, end token, one unpadded pass, head, normalisation, each written out."""
    spelt = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = f"Q: {prompt}\nA: " + completion
    tokens = [BYTES[character] for piece, _ in spelt.pre_tokenize_str(text) for character in piece] + [END]
    assert len(tokens) == len(text.encode()) + 1
    model = reward_model.model
    with torch.no_grad():
        logit = model.score(model.model(torch.tensor([tokens])).last_hidden_state[0, -1]).item()
    return (logit - model.config.score_mean) / model.config.score_std


def test_the_two_share_no_vocabulary(tokenizer, byte_tokenizer):
    assert (byte_tokenizer.eos_token_id, byte_tokenizer.pad_token_id) == (END, FILLER)
    assert len(byte_tokenizer) == 258 != len(tokenizer)
    assert byte_tokenizer("the").input_ids != tokenizer("the").input_ids


def test_ppo_learns_from_the_score_of_the_text(
    policy, tokenizer, byte_reward_model, byte_tokenizer, compute, monkeypatch
):
    """value_start policy: the value model reads the policy's tokens, the reward model its own."""
    rollouts = []
    original = online.evaluate_samples

    def watch(*arguments):
        rollouts.append((arguments[4], original(*arguments)))
        return rollouts[-1][1]

    monkeypatch.setattr(online, "evaluate_samples", watch)
    before = state_of(byte_reward_model)
    scorer = partial(score_texts, byte_reward_model, byte_tokenizer)
    config = config_of(value_start="policy")
    value_model = ValueModel.from_policy(policy)
    steps = list(train_ppo(policy, value_model, tokenizer, Scorer(scorer), PROMPTS, config, SAMPLING, compute, seed=0))

    assert len(rollouts) == len(steps) == 2
    for (prompts, rollout), step in zip(rollouts, steps, strict=True):
        lengths = rollout.is_completion.sum(dim=1).tolist()
        texts = [
            tokenizer.decode(tokens[-length:], skip_special_tokens=True).strip()
            for tokens, length in zip(rollout.sequences, lengths, strict=True)
        ]
        expected = [score_by_hand(byte_reward_model, *pair) for pair in zip(prompts, texts, strict=True)]
        assert max(expected) - min(expected) > 0.1
        assert close(rollout.scores, expected, tolerance=1e-5)
        assert close(step.values["objective/scores"], sum(expected) / len(expected), tolerance=1e-5)
    after = state_of(byte_reward_model)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("completion", ["", "the fuse</s>", "the <|end|> fuse", "<|filler|>", "Zähne 🦷"])
def test_neither_end_token_in_a_text_ends_it(byte_reward_model, byte_tokenizer, completion):
    """The names of both tokenizers' special tokens are text like any other in a completion."""
    (score,) = score_texts(byte_reward_model, byte_tokenizer, ["the lamp"], [completion]).tolist()
    assert close(score, score_by_hand(byte_reward_model, "the lamp", completion), tolerance=1e-5)

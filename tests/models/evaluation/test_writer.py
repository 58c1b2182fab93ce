"""The best of n, drawn whenever somebody asks: by its score, by the bound of its KL, and out of a folder that is no model by itself."""

import math

import pytest
import torch
from transformers import AutoModelForCausalLM

from models.errors import ArtifactError
from models.evaluation.matches import play_matches
from models.evaluation.writer import Writer, load_writer, network_folder, write_best_of_n
from models.generation.sampling import sample_completions
from models.records import Completion, Pair, Prompt
from models.rewards.kind_file import write_kind
from models.rewards.pairwise import train
from models.rewards.scorer import RewardTask, Scorer, load_scorer
from models.settings.generation import SamplingConfig
from models.settings.rewards import PairwiseReward
from models.settings.tuning import BestOfNConfig
from models.training.checkpoints import Checkpoints
from models.tuning.best_of_n import tune
from models.tuning.tuner import TuningTask
from tests.models.ppo_examples import PROMPTS, share_of_letters
from tests.tolerances import close

SAMPLING = SamplingConfig(max_new_tokens=5, temperature=0.8)
LENGTHS = Scorer(lambda prompts, completions: torch.tensor([float(len(text)) for text in completions]))


@pytest.fixture
def policy(policy):
    """A policy that ends at any of 100 of its 300 tokens: some completions are cut off, some are not."""
    policy.generation_config.eos_token_id = list(range(100))
    return policy


def test_it_writes_the_one_with_the_highest_score(policy, tokenizer):
    prompts = PROMPTS[:4]
    written = Writer(policy, tokenizer, best_of=6, chooser=LENGTHS).complete(prompts, SAMPLING, seed=3)
    drawn = sample_completions(
        policy,
        tokenizer,
        [prompt for prompt in prompts for _ in range(6)],
        max_new_tokens=5,
        temperature=0.8,
        batch_size=24,
        seed=3,
    )
    for place, sample in enumerate(written):
        own = drawn[6 * place : 6 * place + 6]
        ended = [one for one in own if one.ended] or own
        assert sample in own and sample.ended == any(one.ended for one in own), (
            "a whole one before one that was cut off"
        )
        assert len(sample.text) == max(len(one.text) for one in ended)


def test_what_it_writes_depends_on_the_prompts_number_alone(policy, tokenizer):
    writer = Writer(policy, tokenizer, best_of=3, chooser=LENGTHS)
    together = writer.complete(PROMPTS[:3], SAMPLING, seed=3)
    assert writer.complete([PROMPTS[2]], SAMPLING, seed=3, numbers=[2]) == together[2:]


def test_its_kl_is_the_bound(policy, tokenizer):
    base, best = Writer(policy, tokenizer), Writer(policy, tokenizer, best_of=4, chooser=LENGTHS)
    matches = play_matches(base, best, share_of_letters, PROMPTS[:2], num_samples=2, sampling=SAMPLING, seed=0)
    assert close([match.kl_nats for match in matches], [math.log(4) - 3 / 4] * 4)
    assert [one.text for one in best.complete([PROMPTS[0]] * 2 + [PROMPTS[1]] * 2, SAMPLING, 0)] == [
        match.policy_completion for match in matches
    ]


@pytest.fixture
def reward(base_folder_once, compute, tmp_path):
    """A folder with a reward, learned from a pair."""
    prompt = Prompt.of("my sink", "train")
    completions = [Completion.of(prompt.id, text) for text in ("the nut", "the fuse")]
    pairs = [Pair(prompt_id=prompt.id, chosen=completions[0].id, rejected=completions[1].id)]
    config, folder = PairwiseReward(num_epochs=1, batch_size=1), tmp_path / "reward"
    write_kind(folder, config)
    given = (
        folder,
        base_folder_once,
        [prompt],
        completions,
        pairs,
        [],
        [],
        compute,
        0,
        Checkpoints(tmp_path / "kept", 50),
    )
    list(train(RewardTask(*given), config))
    return folder


def test_a_folder_holds_all_that_it_takes_and_is_no_model_by_itself(base_folder_once, reward, compute, tmp_path):
    given = (
        base_folder_once,
        reward,
        ["my sink"],
        [],
        None,
        None,
        SAMPLING,
        compute,
        0,
        Checkpoints(tmp_path / "k", 1),
    )
    assert list(tune(TuningTask(tmp_path, *given), BestOfNConfig(n=4))) == []
    writer = load_writer(tmp_path / "model", compute)
    scorer = load_scorer(reward, compute)
    assert writer.best_of == 4 and writer.chooser is not None
    assert close(writer.chooser.score(["my sink"], ["the nut"]), scorer.score(["my sink"], ["the nut"]))
    own = Writer(load_writer(base_folder_once, compute).network, writer.tokenizer, 4, scorer)
    assert writer.complete(PROMPTS, SAMPLING, seed=1) == own.complete(PROMPTS, SAMPLING, seed=1)
    with pytest.raises((OSError, ValueError), match=r"config\.json"):
        AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert "4 completions of a prompt" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ArtifactError, match="a best-of-n policy, which nothing can be made on top of"):
        write_best_of_n(tmp_path / "again", tmp_path / "model", reward, 4)


def test_a_network_by_itself_writes_as_it_samples(base_folder_once, compute):
    writer = load_writer(base_folder_once, compute)
    assert (writer.best_of, writer.chooser, network_folder(base_folder_once)) == (1, None, base_folder_once)
    assert not any(weight.requires_grad for weight in writer.network.parameters())

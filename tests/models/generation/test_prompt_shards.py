"""A shard of prompts is completed as it is among all prompts."""

import pytest
import torch

from models.generation.prompt_shards import Shard, complete_shard, cut_into_shards
from models.generation.sampling import sample_distinct
from models.settings.generation import GenerationConfig
from tests.models.generation.test_sampling import MANY, ending_sometimes

PROMPTS = MANY[:10]
CONFIG = GenerationConfig(num_completions=4, temperature=0.4, batch_size=8, num_attempts=3)


@pytest.fixture(autouse=True)
def threads():
    """How many threads there were before."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_prompts_keep_their_order_and_their_places():
    shards = cut_into_shards(["a", "b", "c", "d", "e"], 2, 3)
    assert shards == [Shard(0, ["a", "b"], 3), Shard(2, ["c", "d"], 3), Shard(4, ["e"], 3)]
    assert cut_into_shards(["a", "b"], 2, 3) == [Shard(0, ["a", "b"], 3)] and cut_into_shards([], 2, 3) == []


@pytest.mark.parametrize("size", [1, 3, 9])
def test_the_size_of_the_shards_changes_no_completion(policy, tokenizer, compute, size):
    """Also where a prompt is asked again for what was empty or a repetition."""
    model = ending_sometimes(policy)
    whole = sample_distinct(model, tokenizer, PROMPTS, CONFIG, 3, seed=0)
    at_once = sample_distinct(model, tokenizer, PROMPTS, CONFIG.model_copy(update={"num_attempts": 1}), 3, seed=0)
    num_first = [len(samples) for samples in at_once]
    assert len(set(num_first)) > 1, "prompts are asked again for different numbers of completions"
    assert sum(map(len, whole)) > sum(num_first), "asking again gives something"
    shards = cut_into_shards(PROMPTS, size, 3)
    parts = [complete_shard(model, tokenizer, shard, CONFIG, compute, seed=0, num_threads=1) for shard in shards]
    assert [samples for part in parts for samples in part] == whole


def test_prompts_of_one_text_in_different_shards_draw_differently(policy, tokenizer, compute):
    shards = cut_into_shards(["the lamp"] * 2, 1, 3)
    one, other = (complete_shard(policy, tokenizer, shard, CONFIG, compute, 0, 1) for shard in shards)
    assert one != other


def test_a_shard_is_computed_with_the_threads_asked_for(policy, tokenizer, compute, threads):
    complete_shard(policy, tokenizer, Shard(0, ["the lamp"], 3), CONFIG, compute, 0, num_threads=threads + 1)
    assert torch.get_num_threads() == threads + 1

"""What a model's generation config says of how it writes, and where it stops."""

import torch

from models.generation.sampling import Sample, sample_completions, sample_distinct
from models.settings.generation import GenerationConfig

PROMPTS = ["my sink is leaking, what can I do?", "the lamp", "what is wrong with the fuse?"]
END = 2


def sample(policy, tokenizer) -> list[Sample]:
    settings = {"max_new_tokens": 12, "temperature": 1.0, "batch_size": 16, "seed": 0}
    return sample_completions(policy, tokenizer, PROMPTS * 20, **settings)


def test_what_the_makers_say_of_sampling_holds_where_the_config_says_nothing(policy, tokenizer):
    def drawn(**config) -> list[list[str]]:
        settings = GenerationConfig(num_completions=2, num_attempts=1, **config)
        return [
            [sample.text for sample in own]
            for own in sample_distinct(policy, tokenizer, PROMPTS, settings, max_new_tokens=8, seed=3)
        ]

    plain = drawn()
    assert plain == drawn(temperature=1.0, top_p=1.0), "a generation config that says nothing"
    policy.generation_config.update(do_sample=True, temperature=0.3, top_p=0.7)
    assert drawn() == drawn(temperature=0.3, top_p=0.7) != plain
    assert drawn(temperature=1.0, top_p=1.0) == plain


@torch.no_grad()
def test_any_of_the_end_tokens_ends_a_completion_and_is_no_part_of_its_text(policy, tokenizer):
    samples = sample(policy, tokenizer)
    other = next(token for one in samples for token in one.tokens[1:-1] if token > END)
    policy.generation_config.eos_token_id = [END, other]
    again = sample(policy, tokenizer)
    assert {one.tokens[-1] for one in again if one.ended} == {END, other}
    for one, before in zip(again, samples, strict=True):
        stops = [place for place, token in enumerate(before.tokens) if token in (END, other)]
        expected = before.tokens[: stops[0] + 1] if stops else before.tokens
        assert one.tokens == expected and one.ended == bool(stops)
        said = expected[:-1] if stops else expected
        assert one.text == tokenizer.decode(said, skip_special_tokens=True).strip()

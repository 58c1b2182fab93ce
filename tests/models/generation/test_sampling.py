"""The decode loop: repeatable, limited in length, blind to a prompt's neighbours, and drawn from the right probabilities."""

import pytest
import torch

from models.errors import DataError
from models.generation import decoding, sampling
from models.generation.sampling import Sample, sample_completions, sample_distinct, sample_tokens
from models.network.dialogue import encode_prompt
from models.network.logprobs import token_logprobs
from models.network.packing import PackedBatch
from models.settings.generation import GenerationConfig
from tests.tolerances import close

PROMPTS = ["my sink is leaking, what can I do?", "the lamp", "what is wrong with the fuse?"]
END = 2


def sample(policy, tokenizer, prompts=PROMPTS, **changes) -> list[Sample]:
    settings = {"max_new_tokens": 8, "temperature": 1.0, "batch_size": 16, "seed": 0}
    return sample_completions(policy, tokenizer, prompts, **settings | changes)


def script(monkeypatch, steps: list[list[int]]) -> dict[tuple[int, int], torch.Tensor]:
    """Fixes which token each prompt's row draws at each step; returns what will hold the logits by (step, row)."""
    seen = {}

    def draw(logits, top_p, uniforms):
        drawing = [divmod(round(number), 1000) for number in uniforms.tolist()]
        seen.update(zip(drawing, logits, strict=True))
        return torch.tensor([steps[step][row] for step, row in drawing])

    monkeypatch.setattr(sampling, "_draw", draw)
    monkeypatch.setattr(sampling, "_uniforms", lambda seed, row, num: [1000.0 * step + row for step in range(num)])
    return seen


def test_the_seed_decides_the_samples(policy, tokenizer):
    assert sample(policy, tokenizer, seed=3) == sample(policy, tokenizer, seed=3)
    assert sample(policy, tokenizer, seed=3) != sample(policy, tokenizer, seed=4)


def test_repeated_prompts_get_completions_of_their_own(policy, tokenizer):
    texts = [one.text for one in sample(policy, tokenizer, ["the lamp"] * 6)]
    assert len(set(texts)) > 3


def test_each_row_stops_after_its_end_token_or_at_the_limit(policy, tokenizer, monkeypatch):
    # the third row ends at once, the first at the second step, the fourth with the last token it may have
    script(monkeypatch, [[20, 30, END, 60], [END, 40, 99, 70], [98, 50, END, END]])
    rows = sample(policy, tokenizer, [*PROMPTS, "the nut"], max_new_tokens=3)
    assert [row.tokens for row in rows] == [[20, END], [30, 40, 50], [END], [60, 70, END]]
    assert [row.ended for row in rows] == [True, False, True, True]
    texts = [tokenizer.decode(tokens).strip() for tokens in ([20], [30, 40, 50], [], [60, 70])]
    assert [row.text for row in rows] == texts


def test_sampling_stops_early_when_all_rows_have_ended(policy, tokenizer, monkeypatch):
    seen = script(monkeypatch, [[20, 30, END], [END, END, 77]])
    sample(policy, tokenizer, max_new_tokens=50)
    assert sorted(seen) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)], "the third row has ended, and is not computed"


def test_max_new_tokens_is_respected(policy, tokenizer):
    for limit in (1, 5):
        rows = sample(policy, tokenizer, PROMPTS * 10, max_new_tokens=limit)
        assert max(len(row.tokens) for row in rows) == limit
        assert all(row.ended == (row.tokens[-1] == END) for row in rows)
        assert all(END not in row.tokens[:-1] for row in rows)


def test_one_more_prompt_token_than_the_context_leaves_is_an_error(policy, tokenizer):
    lengths = [len(encode_prompt(tokenizer, prompt)) for prompt in PROMPTS]
    assert max(lengths) == lengths[2]
    room = 96 - lengths[2]
    assert all(len(row.tokens) <= room for row in sample(policy, tokenizer, max_new_tokens=room))
    with pytest.raises(DataError, match=rf"1 prompts are longer .* max_new_tokens={room + 1}.*what is wrong"):
        sample(policy, tokenizer, max_new_tokens=room + 1)


@pytest.mark.parametrize(
    ("top_p", "support"),
    [(1.0, {0, 1, 2, 3}), (0.95, {0, 1, 2, 3}), (0.85, {1, 2, 3}), (0.75, {1, 3}), (0.4, {3}), (0.01, {3})],
)
def test_top_p_keeps_the_smallest_set_that_holds_the_probability(top_p, support):
    # 0.5 (token 3), + 0.3 (token 1) = 0.8, + 0.125 (token 2) = 0.925, + 0.075 (token 0) = 1
    logits = torch.tensor([0.075, 0.3, 0.125, 0.5]).log().expand(4000, 4)
    drawn = sampling._draw(logits, top_p, torch.linspace(0, 1 - 1e-9, 4000, dtype=torch.float64))
    assert set(drawn.tolist()) == support


def test_top_p_works_on_each_row_by_itself():
    probabilities = torch.tensor([[0.9, 0.05, 0.05], [0.05, 0.05, 0.9]])
    drawn = [sampling._draw(probabilities.log(), 0.5, torch.tensor([u, u]).double()) for u in (0.0, 0.5, 0.999)]
    assert {tuple(row.tolist()) for row in drawn} == {(0, 2)}


@pytest.mark.parametrize(("top_p", "expected"), [(1.0, [0.5, 0.3, 0.2]), (0.7, [0.625, 0.375, 0.0])])
def test_tokens_are_drawn_by_their_probability(top_p, expected):
    # top_p 0.7 keeps the first two: 0.5 / 0.8 and 0.3 / 0.8
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(40000, 3)
    uniforms = torch.tensor([number for row in range(400) for number in sampling._uniforms(0, row, 100)])
    drawn = sampling._draw(logits, top_p, uniforms.double())
    shares = torch.bincount(drawn, minlength=3) / 40000
    assert close(shares, expected, tolerance=0.01)  # four standard deviations: 4 sqrt(0.25 / 40000) = 0.01


def test_a_low_temperature_takes_the_likeliest_token(policy, tokenizer):
    tokens = sample(policy, tokenizer, PROMPTS[:1], temperature=1e-4, max_new_tokens=1)[0].tokens
    with torch.no_grad():
        logits = policy(torch.tensor([encode_prompt(tokenizer, PROMPTS[0])])).logits[0, -1]
    assert tokens == [int(logits.argmax())]


def test_neighbours_change_no_greedy_completion(any_policy, tokenizer):
    alone = [sample(any_policy, tokenizer, [prompt], temperature=1e-4)[0] for prompt in PROMPTS]
    assert sample(any_policy, tokenizer, PROMPTS, temperature=1e-4) == alone
    assert sample(any_policy, tokenizer, PROMPTS[::-1], temperature=1e-4) == alone[::-1]
    assert sample(any_policy, tokenizer, PROMPTS, temperature=1e-4, batch_size=2) == alone


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_every_step_draws_from_the_probabilities_that_learning_computes(
    any_policy, tokenizer, monkeypatch, temperature
):
    """Decoding with a cache in a batch, and one forward pass over the finished completions, see the same distribution."""
    completions = [[20, 30, 40, END], [50, END], [60, 70, 80, 90]]
    steps = [[20, 50, 60], [30, END, 70], [40, 11, 80], [END, 12, 90]]
    seen = script(monkeypatch, steps)
    rows = sample(any_policy, tokenizer, max_new_tokens=4, temperature=temperature)
    assert [row.tokens for row in rows] == completions
    batch = PackedBatch.of([encode_prompt(tokenizer, p) + c for p, c in zip(PROMPTS, completions, strict=True)])
    with torch.no_grad():
        expected = token_logprobs(any_policy, batch, batch.last([len(c) for c in completions]), temperature)
    assert close([logprob for row in rows for logprob in row.logprobs], expected, tolerance=1e-5)
    expected = iter(expected.tolist())
    for row, completion in enumerate(completions):
        for step, token in enumerate(completion):
            drawn_from = torch.log_softmax(seen[step, row], dim=-1)
            assert close(drawn_from[token], next(expected), tolerance=1e-5)


def test_a_bfloat16_network_draws_from_nearly_the_same_probabilities(any_policy, tokenizer, monkeypatch):
    steps = [[20, 50, 60], [30, END, 70], [40, 11, 80], [END, 12, 90]]
    seen = script(monkeypatch, steps)
    sample(any_policy, tokenizer, max_new_tokens=4)
    exact = dict(seen)
    seen.clear()
    sample(any_policy.bfloat16(), tokenizer, max_new_tokens=4)
    assert seen.keys() == exact.keys()
    for place, logits in exact.items():
        error = (torch.log_softmax(seen[place], dim=-1) - torch.log_softmax(logits, dim=-1)).abs().max()
        assert 1e-4 < error < 0.5, "of log-probabilities down to -40"


def test_sampling_keeps_no_gradient_and_leaves_the_weights(policy, tokenizer):
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    sample(policy, tokenizer)
    assert all(torch.equal(tensor, before[name]) for name, tensor in policy.state_dict().items())
    assert all(parameter.grad is None for parameter in policy.parameters())


# the batch changes nothing

MANY = [
    f"{start} {PROMPTS[number % 3]}"[: 4 + number]
    for number, start in enumerate(["what", "my", "the", "turn", "sink"] * 5)
]


@pytest.fixture(params=["in use", "fixed"])
def each_step(request, monkeypatch) -> str:
    """Every test that asks for it runs twice: with steps over the rows in use, and over the whole block as on a GPU."""
    monkeypatch.setattr(decoding, "_launches_bound", lambda device: request.param == "fixed")
    return request.param


def ending_sometimes(model):
    """The model with flatter logits, so that a completion ends with a probability of about .08 at each step."""
    head = model.get_output_embeddings()
    flatter = torch.nn.Linear(head.in_features, head.out_features)
    with torch.no_grad():
        flatter.weight.copy_(head.weight / 4)
        flatter.bias.zero_()
        flatter.bias[END] = 3.3  # e^3.3 / (e^3.3 + 299) = .083
    model.set_output_embeddings(flatter)
    return model


@pytest.mark.parametrize("batch_size", [1, 2, 7, 24])
def test_the_batch_size_changes_no_completion(any_policy, tokenizer, each_step, batch_size):
    model = ending_sometimes(any_policy)
    whole = sample(model, tokenizer, MANY, max_new_tokens=20, batch_size=len(MANY))
    lengths = [len(one.tokens) for one in whole]
    assert min(lengths) < 5 and max(lengths) == 20 and len(set(lengths)) > 8, "rows leave at many steps"
    assert sample(model, tokenizer, MANY, max_new_tokens=20, batch_size=batch_size) == whole


def test_other_prompts_change_no_completion(any_policy, tokenizer, each_step):
    model = ending_sometimes(any_policy)
    whole = sample(model, tokenizer, MANY, max_new_tokens=20, batch_size=4)
    longer = "what is wrong with the fuse? turn the water off"
    for number in (0, 11, 24):
        others = [longer] * number + [MANY[number]]
        assert sample(model, tokenizer, others, max_new_tokens=20, batch_size=4)[number] == whole[number]


def test_a_lower_limit_cuts_a_completion_and_changes_it_nowhere_else(policy, tokenizer):
    whole = sample(ending_sometimes(policy), tokenizer, MANY, max_new_tokens=20, batch_size=4)
    short = sample(policy, tokenizer, MANY, max_new_tokens=6, batch_size=4)
    assert [one.tokens for one in short] == [one.tokens[:6] for one in whole]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_every_step_of_a_changing_batch_sees_what_the_prompt_alone_gives(
    any_policy, tokenizer, monkeypatch, each_step, batch_size
):
    """Rows leave and join at other steps than their neighbours; prompts of 2 to 20 tokens."""
    lengths = [(7 * number) % 12 + 1 for number in range(len(MANY))]
    steps = [[END if step + 1 == length else 20 + step for length in lengths] for step in range(12)]
    seen = script(monkeypatch, steps)
    rows = sample(any_policy, tokenizer, MANY, max_new_tokens=11, batch_size=batch_size)
    assert [len(row.tokens) for row in rows] == [min(length, 11) for length in lengths]
    assert len(seen) == sum(len(row.tokens) for row in rows), "each token is computed once"
    for number, row in enumerate(rows):
        start = encode_prompt(tokenizer, MANY[number])
        with torch.no_grad():
            logits = any_policy(torch.tensor([start + row.tokens])).logits[0, len(start) - 1 : -1]
        for step, expected in enumerate(logits):
            assert close(seen[step, number], expected, tolerance=2e-5), (number, step)


def test_rows_of_one_prompt_are_distributed_as_the_model_says(policy, tokenizer):
    """The oracle is the model's own softmax, of the first token and of the second given the first."""
    prompt, model, num = encode_prompt(tokenizer, PROMPTS[0]), policy, 4000
    settings = {"max_new_tokens": 2, "temperature": 0.5, "top_p": 1.0, "batch_size": 500, "seed": 1}
    rows = sample_tokens(model, [prompt] * num, **settings)
    first = torch.tensor([row.tokens[0] for row in rows])
    start = next(token for token in first.bincount().argsort(descending=True).tolist() if token != END)
    second = torch.tensor([row.tokens[1] for row in rows if row.tokens[0] == start])
    assert len(second) > 100
    for drawn, context in ((first, prompt), (second, [*prompt, start])):
        with torch.no_grad():
            expected = torch.softmax(model(torch.tensor([context])).logits[0, -1].double() / 0.5, dim=-1)
        shares = drawn.bincount(minlength=len(expected)).double() / len(drawn)
        # five standard deviations of a share, and one draw: a likely event must come, an impossible one must not
        allowed = 5 * (expected * (1 - expected) / len(drawn)).sqrt() + 1 / len(drawn)
        assert ((shares - expected).abs() <= allowed).all()


def test_no_prompts_give_no_completions(policy, tokenizer):
    assert sample(policy, tokenizer, []) == []


def test_each_row_and_each_seed_has_numbers_of_its_own():
    rows = {(seed, row): tuple(sampling._uniforms(seed, row, 5)) for seed in (-1, 0, 1, 2) for row in range(50)}
    assert len(set(rows.values())) == len(rows)
    assert sampling._uniforms(1, 2, 9)[:5] == sampling._uniforms(1, 2, 5)


# several different completions of a prompt


def distinct(policy, tokenizer, prompts=PROMPTS, **changes) -> list[list[Sample]]:
    settings = {"num_completions": 4, "batch_size": 16}
    return sample_distinct(policy, tokenizer, prompts, GenerationConfig(**settings | changes), 6, seed=0)


def test_distinct_completions_are_as_many_as_asked_for(policy, tokenizer):
    groups = distinct(policy, tokenizer)
    assert [len(group) for group in groups] == [4, 4, 4]
    for group in groups:
        texts = [one.text for one in group]
        assert len(set(texts)) == len(texts) and all(texts)


def test_repetitions_make_a_prompt_go_on_with_fewer(policy, tokenizer, monkeypatch):
    asked, seeds = [], set()
    original = sampling.sample_completions

    def count(model, tokenizer, prompts, **settings):
        asked.append(len(prompts))
        seeds.add(settings["seed"])
        return original(model, tokenizer, prompts, **settings)

    monkeypatch.setattr(sampling, "sample_completions", count)
    groups = distinct(policy, tokenizer, temperature=1e-4, num_attempts=3)  # greedy: always the same text
    assert [len(group) for group in groups] == [1, 1, 1]
    assert asked == [12, 9, 9]  # 3 prompts of 4 completions, then the 3 missing ones of each, twice
    assert len(seeds) == 3, "the same draws again would be the same repetitions"


def test_empty_completions_are_drawn_anew_and_never_kept(policy, tokenizer, monkeypatch):
    texts = iter(["", "a", "a", "b", "c", "c"])  # first attempt for K = 3, then two missing, then one

    def drawn(model, tokenizer, prompts, **settings):
        return [Sample([5], [-1.0], next(texts), ended=True) for _ in prompts]

    monkeypatch.setattr(sampling, "sample_completions", drawn)
    (group,) = distinct(policy, tokenizer, PROMPTS[:1], num_completions=3, num_attempts=2)
    assert [one.text for one in group] == ["a", "b", "c"]


def test_a_prompt_with_nothing_but_empty_completions_keeps_none(policy, tokenizer, monkeypatch):
    monkeypatch.setattr(
        sampling,
        "sample_completions",
        lambda model, tokenizer, prompts, **rest: [Sample([END], [-1.0], "", True)] * len(prompts),
    )
    assert distinct(policy, tokenizer, PROMPTS[:2]) == [[], []]

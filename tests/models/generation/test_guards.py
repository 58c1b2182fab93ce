"""Is a network read as its makers' code reads it? Log-probabilities, sampling and scores against transformers, a text by itself."""

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from benchmarks.architectures.checkpoints import CONTEXT, tiny_config, tiny_network
from models.errors import ConfigError
from models.generation import decoding
from models.generation.guards import require_faithful
from models.generation.sampling import sample_tokens
from models.network.architecture import context_length, require_decoder, text_alone
from models.network.attention import is_padded, use_attention
from models.network.logprobs import token_logprobs
from models.network.networks import RewardModel, load_policy, save_policy
from models.network.packing import PackedBatch, hidden_states
from tests.tolerances import close

SEQUENCES = [[1, 20, 30, 40, 7, 9, 100, 2], [1, 40, 5], [9, 8, 7, 6, 5, 4, 3, 11, 12, 13, 14, 15]]
BATCH = PackedBatch.of(SEQUENCES)
PLACES = BATCH.last([len(tokens) - 1 for tokens in SEQUENCES])


def alone(network) -> torch.Tensor:
    """Log-probabilities by transformers' eager attention; of what cannot be told to use it, by its own."""
    if network._can_set_attn_implementation():
        network.set_attn_implementation("eager")
    found = []
    for tokens in SEQUENCES:
        log_p = torch.log_softmax(network(torch.tensor([tokens]), use_cache=False).logits[0], dim=-1)
        found += [log_p[place, token] for place, token in enumerate(tokens[1:])]
    return torch.stack(found)


@pytest.mark.parametrize(
    ("name", "padded"),
    [
        ("Qwen3", False),
        ("Cohere 2", False),
        ("DeepSeek-V3", False),
        ("OLMoE", False),
        ("Gemma 2", True),
        ("gpt-oss", True),
        ("BLOOM", True),
        ("Phi-3 with LongRoPE", False),
    ],
)
def test_what_is_learned_from_is_what_transformers_gives_and_so_is_its_gradient(name, padded, tokenizer, tmp_path):
    network = tiny_network(name)
    expected = alone(network)
    weight = torch.linspace(-1, 2, len(expected))
    (expected * weight).sum().backward()
    gradients = {own: given.grad for own, given in network.named_parameters() if given.grad is not None}
    network.zero_grad()
    require_faithful(network, tokenizer)
    assert is_padded(network) == padded
    save_policy(tmp_path, network, tokenizer)
    network, _ = load_policy(tmp_path)
    logprobs = token_logprobs(network, BATCH, PLACES)
    assert close(logprobs, expected, tolerance=1e-4)
    (logprobs * weight).sum().backward()
    for own, given in network.named_parameters():
        if own in gradients:
            assert close(given.grad, gradients[own], tolerance=1e-4 * max(1, gradients[own].abs().max().item())), own


@pytest.mark.parametrize("name", ["Granite", "Gemma 2", "DeepSeek-V3"])
def test_what_is_drawn_is_drawn_from_what_transformers_gives(name, tokenizer):
    """Greedily: with next to no temperature the likeliest token comes, here as transformers finds it token by token."""
    network, prompts = tiny_network(name), [[1, 20, 30], [1, 40, 50, 60, 70], [1]]
    expected = []
    for prompt in prompts:
        tokens = torch.tensor([prompt])
        for _ in range(6):
            tokens = torch.cat([tokens, network(tokens, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
        expected.append(tokens[0, len(prompt) :].tolist())
    require_faithful(network, tokenizer)
    network.generation_config.eos_token_id = None
    drawn = sample_tokens(network, prompts, max_new_tokens=6, temperature=1e-6, top_p=1.0, batch_size=2, seed=0)
    assert [row.tokens for row in drawn] == expected


@pytest.mark.parametrize("name", ["DeepSeek-V3", "gpt-oss", "Cohere"])
def test_what_a_bfloat16_network_draws_with_is_near_what_is_learned_from(name, tokenizer):
    """Whatever its attention does with what it has cached. Eight binary digits of logits up to some ten."""
    network = tiny_network(name)
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(0.5 if weight.ndim > 1 else 1.0)
    require_faithful(network, tokenizer)
    prompts = SEQUENCES[:2]
    rows = sample_tokens(
        network.bfloat16(), prompts, max_new_tokens=5, temperature=1.0, top_p=1.0, batch_size=2, seed=0
    )
    batch = PackedBatch.of([prompt + row.tokens for prompt, row in zip(prompts, rows, strict=True)])
    learned = token_logprobs(network.float(), batch, batch.last([len(row.tokens) for row in rows]))
    drawn = torch.tensor([logprob for row in rows for logprob in row.logprobs])
    assert 1e-5 < (learned - drawn).abs().max() < 0.2


@pytest.mark.parametrize("name", ["Mixtral", "OLMoE", "gpt-oss", "Cohere"])
def test_a_reward_model_is_a_checkpoint_of_transformers_also_where_that_has_no_class_for_it(name, tokenizer, tmp_path):
    network = tiny_network(name)
    require_faithful(network, tokenizer)
    save_policy(tmp_path / "base", network, tokenizer)
    reward_model = RewardModel.start(tmp_path / "base", seed=0, zero_head=False).eval()
    reward_model.save(tmp_path / "reward", tokenizer)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "reward", attn_implementation="eager").eval()
    assert type(plain).__name__.endswith("ForSequenceClassification")
    expected = [plain(torch.tensor([tokens]), use_cache=False).logits.item() for tokens in SEQUENCES]
    assert len({round(score, 2) for score in expected}) == 3
    assert close(reward_model.logits(BATCH), expected, tolerance=1e-4)
    assert close(RewardModel.load(tmp_path / "reward")[0].logits(BATCH), expected, tolerance=1e-4)


@pytest.mark.parametrize(("name", "argument"), [("gpt-oss", "s_aux"), ("Gemma 2", "softcap")])
def test_attention_refuses_by_name_what_it_does_not_do(name, argument):
    network = tiny_network(name)
    with pytest.raises(ConfigError, match=f"asks its attention for {argument}, which is not done"):
        hidden_states(network.base_model, BATCH, PLACES)
    use_attention(network)
    with pytest.raises(ConfigError, match=argument):
        network(torch.tensor([SEQUENCES[0]]))


def test_a_network_that_does_more_to_its_logits_is_refused(policy, tokenizer):
    require_faithful(policy, tokenizer)

    class Squared(type(policy)):
        def forward(self, *args, **kwargs):
            output = super().forward(*args, **kwargs)
            output.logits = output.logits**2
            return output

    policy.__class__ = Squared
    with pytest.raises(
        ConfigError, match=r"base\.model: Squared is not read as transformers .* log-probabilities differ"
    ):
        require_faithful(policy, tokenizer)


def test_a_network_that_samples_otherwise_is_refused(any_policy, tokenizer, monkeypatch):
    """Whose positions are counted from the padding on, as many samplers did."""
    monkeypatch.setattr(decoding, "positions", lambda is_token: torch.arange(is_token.shape[1]).expand(is_token.shape))
    if type(any_policy).__name__ == "LlamaForCausalLM":  # turning all by as much changes nothing
        monkeypatch.setattr(decoding, "positions", lambda is_token: torch.zeros(is_token.shape, dtype=torch.long))
    with pytest.raises(ConfigError, match="log-probabilities while sampling differ"):
        require_faithful(any_policy, tokenizer)


def test_a_network_that_is_scored_otherwise_is_refused(policy, tokenizer, monkeypatch):
    """Here at the token before the last one."""
    last = PackedBatch.last
    monkeypatch.setattr(PackedBatch, "last", lambda self, counts: last(self, counts) - int(set(counts) == {1}))
    with pytest.raises(ConfigError, match="scores of a reward model differ"):
        require_faithful(policy, tokenizer)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("T5", "t5 has an encoder"),
        ("BART", "bart has an encoder"),
        ("Mamba", "mamba has layers that keep a state"),
        ("LFM2", "lfm2 has layers that keep a state"),
        ("Qwen3-Next", "qwen3_next has layers that keep a state"),
    ],
)
def test_what_is_no_decoder_by_attention_is_refused_by_its_config(name, complaint):
    with pytest.raises(ConfigError, match=rf"base\.model 'mine': {complaint}"):
        require_decoder(tiny_config(name), "mine")


@pytest.mark.parametrize("name", ["Llama", "Mistral", "Gemma 3 with pictures", "Falcon with ALiBi", "GPT-2"])
def test_what_is_a_decoder_is_not(name):
    config = tiny_config(name)
    require_decoder(config, "mine")
    if name != "Falcon with ALiBi":
        assert context_length(config) == CONTEXT


def test_a_model_that_looks_both_ways_is_refused(tokenizer):
    with pytest.raises(ConfigError, match="BertForSequenceClassification"):
        require_faithful(tiny_network("BERT"), tokenizer)


def test_of_a_model_that_reads_pictures_the_text_part_is_taken():
    network = tiny_network("Gemma 3 with pictures")
    expected = alone(network)
    own = text_alone(network)
    assert type(own).__name__ == "Gemma3ForCausalLM" and not hasattr(own.config, "vision_config")
    assert close(token_logprobs(own, BATCH, PLACES), expected, tolerance=1e-4)


def test_a_longrope_model_reads_as_much_as_it_was_first_trained_on():
    """16 tokens here: within them a text is read as by itself, whatever stands beside it."""
    assert context_length(tiny_config("Phi-3 with LongRoPE")) == 16


def test_a_config_that_says_no_length_is_refused():
    config = tiny_config("BLOOM")
    del config.seq_length
    with pytest.raises(ConfigError, match=r"bloom: its config\.json does not say .* add max_position_embeddings"):
        context_length(config)

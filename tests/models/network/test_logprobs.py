"""Log-probabilities from hidden states: against numpy, against autograd over all logits, chunk by chunk."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.network import logprobs as logprobs_module
from models.network.logprobs import _Logprobs, token_logprobs, token_logprobs_and_entropy
from models.network.packing import PackedBatch
from tests.tolerances import close

PROMPTS = [[1, 20, 30, 40], [1, 9], [1, 7, 8]]
COMPLETIONS = [[20, 30, 2], [40], [50, 60, 70, 80, 2]]
SEQUENCES = [prompt + completion for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True)]
BATCH = PackedBatch.of(SEQUENCES)
PLACES = BATCH.last([3, 1, 5])


def numpy_log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


@pytest.fixture(params=[1, 4, 256])
def chunk(request, monkeypatch) -> int:
    """Tokens whose logits exist at a time; there are nine."""
    monkeypatch.setattr(logprobs_module, "MIN_CHUNK_TOKENS", request.param)
    monkeypatch.setattr(logprobs_module, "CHUNK_LOGITS", 1)
    return request.param


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0])
def test_log_probabilities_and_entropy_equal_an_independent_computation(any_policy, temperature, chunk):
    expected, expected_entropy = [], []
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        with torch.no_grad():  # one sequence by itself, all logits
            logits = any_policy(torch.tensor([prompt + completion])).logits[0].double().numpy()
        log_p = numpy_log_softmax(logits / temperature)
        for place, token in enumerate(completion):
            before = log_p[len(prompt) + place - 1]
            expected.append(before[token])
            expected_entropy.append(-(np.exp(before) * before).sum())
    logprobs, entropy = token_logprobs_and_entropy(any_policy, BATCH, PLACES, temperature)
    assert close(logprobs, expected, tolerance=1e-5) and close(entropy, expected_entropy, tolerance=1e-5)
    assert close(token_logprobs(any_policy, BATCH, PLACES, temperature), expected, tolerance=1e-5)
    assert not logprobs.requires_grad and not entropy.requires_grad


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("limit", [0, 9 * 300], ids=["computed again", "kept"])
def test_gradients_equal_those_of_a_softmax_over_all_logits(
    any_policy, temperature, with_bias, limit, chunk, monkeypatch
):
    """With tied embeddings, whose gradient has two sources, and with a bias, which few heads have."""
    monkeypatch.setattr(logprobs_module, "KEPT_LOGITS", limit)
    if with_bias:
        any_policy.lm_head.bias = nn.Parameter(torch.linspace(-1, 1, 300))
    other = copy.deepcopy(any_policy)
    weight = torch.linspace(-1, 2, 9)
    (token_logprobs(any_policy, BATCH, PLACES, temperature) * weight).sum().backward()
    losses = []
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        logits = other(torch.tensor([prompt + completion])).logits[0] / temperature
        ends = logits[len(prompt) - 1 : -1]
        losses.append(-F.cross_entropy(ends, torch.tensor(completion), reduction="none"))
    (torch.cat(losses) * weight).sum().backward()
    for (name, one), two in zip(any_policy.named_parameters(), other.parameters(), strict=True):
        assert close(one.grad, two.grad, tolerance=1e-5 * max(1, two.grad.abs().max().item())), name
    assert any_policy.lm_head.weight.grad.abs().max() > 0.01


def test_a_frozen_head_gets_no_gradient_and_the_body_does(any_policy):
    head = copy.deepcopy(any_policy.lm_head)
    any_policy.lm_head = head.requires_grad_(False)
    token_logprobs(any_policy, BATCH, PLACES).sum().backward()
    assert head.weight.grad is None
    assert any(parameter.grad.abs().max() > 0.01 for parameter in any_policy.base_model.parameters())


def test_of_a_uniform_model_both_are_the_logarithm_of_the_vocabulary(policy):
    with torch.no_grad():
        policy.lm_head.weight.zero_()
    logprobs, entropy = token_logprobs_and_entropy(policy, BATCH, PLACES)
    assert close(logprobs, np.full(9, -math.log(300)), tolerance=1e-5)
    assert close(entropy, np.full(9, math.log(300)), tolerance=1e-5)


def test_in_bfloat16_the_numbers_stay_near(any_policy):
    """bfloat16 keeps eight bits of each logit: a per cent of the larger ones."""
    expected = token_logprobs(any_policy, BATCH, PLACES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = token_logprobs(any_policy, BATCH, PLACES)
    assert rounded.dtype == torch.float32
    error = (rounded - expected).abs().max()
    assert 1e-5 < error < 0.05 * expected.abs().max()
    expected.sum().backward()
    exact = [parameter.grad.clone() for parameter in any_policy.parameters()]
    any_policy.zero_grad()
    rounded.sum().backward()
    for one, other in zip(exact, any_policy.parameters(), strict=True):
        assert F.cosine_similarity(one.flatten(), other.grad.flatten(), dim=0) > 0.98


@pytest.mark.parametrize("limit", [720 * 300, 720 * 300 - 1])
def test_logits_of_the_whole_batch_are_kept_where_they_are_few(policy, monkeypatch, limit):
    """Beyond the limit, what autograd saves for the backward pass holds nothing as large as tokens times vocabulary."""
    monkeypatch.setattr(logprobs_module, "KEPT_LOGITS", limit)
    saved = []

    def note(tensor):
        saved.append(tensor.numel() if tensor.data_ptr() != policy.lm_head.weight.data_ptr() else 0)
        return tensor

    many = PackedBatch.of([[1] + [5] * 15] * 48)  # 720 tokens to learn, 300 words
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        token_logprobs(policy, many, many.last([15] * 48))
    assert saved and (max(saved) >= 720 * 300) == (limit >= 720 * 300)


@pytest.mark.parametrize("limit", [0, 9 * 300], ids=["computed again", "kept"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_capped_and_scaled_logits_have_the_gradient_of_autograd(policy, temperature, limit, monkeypatch):
    """As Gemma 2 caps them, and as Cohere and Granite scale them: `3 tanh(0.2 W h / (0.5 * 3))`."""
    monkeypatch.setattr(logprobs_module, "KEPT_LOGITS", limit)
    policy.config.final_logit_softcapping, policy.config.logits_scaling, policy.logit_scale = 3.0, 0.5, 0.2
    other, weight = copy.deepcopy(policy), torch.linspace(-1, 2, 9)
    logprobs = token_logprobs(policy, BATCH, PLACES, temperature)
    (logprobs * weight).sum().backward()
    expected = []
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        logits = 3 * torch.tanh(other(torch.tensor([prompt + completion])).logits[0] * 0.2 / (0.5 * 3)) / temperature
        ends = logits[len(prompt) - 1 : -1]
        expected.append(-F.cross_entropy(ends, torch.tensor(completion), reduction="none"))
    (torch.cat(expected) * weight).sum().backward()
    assert close(logprobs, torch.cat(expected), tolerance=1e-5)
    for (name, one), two in zip(policy.named_parameters(), other.parameters(), strict=True):
        assert close(one.grad, two.grad, tolerance=1e-5 * max(1, two.grad.abs().max().item())), name


@pytest.mark.parametrize("missing", [0.5, 0.1, 0.03, 0.01, 1e-3, 1e-4])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_in_bfloat16_the_gradient_of_a_confident_token_is_as_right_as_any(missing, temperature):
    """With the identity as head the gradient is [j = token] - p_j itself, here from float64; a bfloat16 keeps 8 binary digits of it."""
    others = torch.tensor([0.0, -1.0, 0.5, -2.0, 1.0])
    first = torch.logsumexp(others / temperature, dim=0) + math.log((1 - missing) / missing)
    hidden = torch.cat([first[None] * temperature, others]).bfloat16().unsqueeze(0).requires_grad_()
    logprobs = _Logprobs.apply(hidden, torch.eye(6).bfloat16(), None, None, torch.tensor([0]), temperature)
    logprobs.sum().backward()
    p = torch.softmax(hidden.detach().double() / temperature, dim=-1)
    expected = (torch.tensor([1.0, 0, 0, 0, 0, 0], dtype=torch.float64) - p) / temperature
    expected[0, 0] = p[0, 1:].sum() / temperature  # 1 - p, without a difference
    relative = ((hidden.grad.double() - expected) / expected).abs()
    assert relative.max() < 2**-7

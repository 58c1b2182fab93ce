"""What would fail on a GPU alone, seen without one: on the device `meta` nothing can be read back, and no operation takes a tensor of
the CPU beside one of it."""

import copy

import pytest
import torch
from transformers import masking_utils

from models.generation import decoding
from models.generation.decoding import Decoder, Row
from models.generation.sampling import _draw
from models.network.logprobs import token_logprobs, token_logprobs_and_entropy
from models.network.networks import ValueModel
from models.network.packing import PackedBatch

META = torch.device("meta")


@pytest.fixture
def meta_policy(any_policy):
    return copy.deepcopy(any_policy).to(META)


@torch.no_grad()
def test_steps_that_a_cuda_graph_records_read_nothing_back(meta_policy, monkeypatch):
    """transformers is told what it sees by itself while a graph is recorded: that it may not look at the mask."""
    monkeypatch.setattr(masking_utils, "is_tracing", lambda tensor=None: True)
    monkeypatch.setattr(decoding, "_launches_bound", lambda device: True)
    decoder = Decoder(meta_policy, num_rows=3, longest_prompt=4, num_columns=8)
    rows = [Row(0, [5, 6, 7]), Row(1, [5, 6, 7, 8])]
    vocab_size = meta_policy.config.vocab_size
    assert decoder.join(rows).shape == (2, vocab_size)
    for token in range(9, 14):  # past the last column, so that the block moves
        for row in decoder.rows:
            row.tokens.append(token)
        logits = decoder.step()
        assert (logits.device, logits.shape) == (META, (len(decoder.rows), vocab_size))
        if token == 10:
            decoder.leave([1])  # the longer one, so that there is room to move
    uniforms = torch.rand(1, dtype=torch.float64, device=META)
    for top_p in (0.9, 1.0):
        assert _draw(logits, top_p, uniforms).device == META


def test_learning_makes_its_tensors_where_the_network_is(meta_policy, monkeypatch):
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device_type: False)  # `meta` knows none
    value_model = ValueModel.from_policy(meta_policy).to(META)
    batch = PackedBatch.of([[5, 6, 7], [5, 6, 7, 8, 9]], META)
    places = batch.last([1, 3])
    logprobs, values = token_logprobs(meta_policy, batch, places, 0.7), value_model(batch, places)
    (logprobs.sum() + values.sum()).backward()
    assert logprobs.device == values.device == META and logprobs.shape == values.shape == (4,)
    for network in (meta_policy, value_model):
        assert {weight.grad.device for weight in network.parameters()} == {META}
    assert {tensor.device for tensor in token_logprobs_and_entropy(meta_policy, batch, places)} == {META}

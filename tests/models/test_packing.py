"""Packed sequences: places and positions by hand, and every network sees each sequence as if it were alone."""

import copy

import pytest
import torch
from transformers import LlamaConfig, LlamaModel, MambaConfig, MambaModel, MistralConfig, MistralModel

from models import attention
from models.errors import ConfigError
from models.packing import PackedBatch, cut_by_tokens, hidden_states, require_packable
from tests.models.conftest import enliven
from tests.tolerances import close

SEQUENCES = [[1, 20, 30, 40, 2], [1, 40], [1, 50, 60], [9, 8, 7, 6, 5, 4, 3]]


def test_tokens_places_positions_and_the_rectangle_by_hand():
    batch = PackedBatch.of([[7, 8, 9], [5], [3, 4]])
    assert batch.input_ids.tolist() == [7, 8, 9, 5, 3, 4] and batch.lengths == (3, 1, 2)
    assert batch.positions.tolist() == [0, 1, 2, 0, 0, 1]
    assert batch.last([2, 1, 0]).tolist() == [1, 2, 3]
    assert batch.last([3, 1, 2]).tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.rectangle.shape == (3, 3)
    assert batch.rectangle.slot_of_place.tolist() == [0, 1, 2, 3, 6, 7]
    assert batch.rectangle.place_of_slot.tolist() == [0, 1, 2, 3, 3, 3, 4, 5, 5]
    tokens = torch.arange(12.0).view(1, 2, 6, 1)  # two heads, six tokens
    rows = batch.rectangle.lay_out(tokens)
    assert rows[0, 0, :, 0].tolist() == [0, 1, 2] and rows[1, 1, 0, 0] == 9 and rows[2, 1, :2, 0].tolist() == [10, 11]
    assert torch.equal(batch.rectangle.pick_up(rows), tokens.transpose(1, 2))


@pytest.mark.parametrize(
    ("lengths", "limit", "expected"),
    [
        ([3, 3, 3, 3], 6, [slice(0, 2), slice(2, 4)]),
        ([3, 3, 1, 3], 7, [slice(0, 3), slice(3, 4)]),
        ([9, 1, 1, 9, 1], 2, [slice(0, 1), slice(1, 3), slice(3, 4), slice(4, 5)]),
        ([2, 2], 1, [slice(0, 1), slice(1, 2)]),
        ([5], 100, [slice(0, 1)]),
        ([], 5, []),
    ],
)
def test_rows_are_cut_by_their_tokens_and_none_is_lost(lengths, limit, expected):
    assert list(cut_by_tokens(lengths, limit)) == expected


def alone(body, sequences) -> torch.Tensor:
    return torch.cat([body(input_ids=torch.tensor([one]), use_cache=False).last_hidden_state[0] for one in sequences])


def other_bodies() -> dict:
    """Fewer heads for keys than for queries; and a window narrower than the longest sequence."""
    shape = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    grouped = LlamaConfig(**shape, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=96)
    window = MistralConfig(**shape, num_attention_heads=4, num_key_value_heads=2, sliding_window=3, head_dim=8)
    torch.manual_seed(0)
    return {"grouped": LlamaModel(grouped), "window": MistralModel(window)}


@pytest.fixture(params=["llama", "gpt2", "grouped", "window"])
def body(request, llama_once, gpt2_once):
    if request.param in ("llama", "gpt2"):
        return copy.deepcopy({"llama": llama_once, "gpt2": gpt2_once}[request.param].base_model)
    return enliven(other_bodies()[request.param]).eval()


@pytest.mark.parametrize("kernel", ["products", "fused"])
def test_every_sequence_is_seen_as_if_it_were_alone(body, kernel, monkeypatch):
    monkeypatch.setattr(attention, "LONGEST_PRODUCT", 512 if kernel == "products" else 0)
    expected, fresh = alone(body, SEQUENCES), copy.deepcopy(body)
    weight = torch.linspace(-1, 1, expected.numel()).view_as(expected)
    (expected * weight).sum().backward()
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        own = copy.deepcopy(fresh)
        packed = hidden_states(own, PackedBatch.of([SEQUENCES[row] for row in order]))
        parts = packed.split([len(SEQUENCES[row]) for row in order])
        together = torch.cat([parts[order.index(row)] for row in range(4)])
        assert close(together, expected, tolerance=1e-5)
        (together * weight).sum().backward()
        for (name, one), other in zip(own.named_parameters(), body.parameters(), strict=True):
            if other.grad is not None:
                assert close(one.grad, other.grad, tolerance=2e-5 * max(1, other.grad.abs().max().item())), name


def test_a_packed_network_still_reads_padded_rows_and_caches(body):
    """The same network samples afterwards, through the ordinary forward pass."""
    before = body(torch.tensor([[1, 20, 30]]), attention_mask=torch.tensor([[0, 1, 1]])).last_hidden_state
    hidden_states(body, PackedBatch.of(SEQUENCES))
    after = body(torch.tensor([[1, 20, 30]]), attention_mask=torch.tensor([[0, 1, 1]])).last_hidden_state
    assert torch.equal(after, before)


def test_dropout_of_attention_weights_is_done_where_it_is_trained_with(gpt2):
    batch = PackedBatch.of(SEQUENCES)
    body = gpt2.base_model.train()
    for module in body.modules():
        if isinstance(module, torch.nn.Dropout) and module is not body.h[0].attn.attn_dropout:
            module.p = 0.0
    assert not torch.equal(hidden_states(body, batch), hidden_states(body, batch))
    assert torch.equal(hidden_states(body.eval(), batch), hidden_states(body, batch))


def test_a_network_that_mixes_neighbours_is_refused(body):
    require_packable(body, SEQUENCES)
    mamba = MambaModel(MambaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1, state_size=4))
    with pytest.raises(ConfigError, match="MambaModel"):
        require_packable(enliven(mamba).eval(), SEQUENCES)

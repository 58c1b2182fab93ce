"""Packed sequences: places and positions by hand, and every network sees each sequence as if it were alone."""

import copy

import pytest
import torch
from torch import nn
from transformers import (
    LlamaConfig,
    LlamaModel,
    MistralConfig,
    MistralModel,
    Qwen2Config,
    Qwen2Model,
)

from models.network import attention, packing
from models.network.attention import Rectangles
from models.network.logprobs import token_logprobs
from models.network.packing import (
    PackedBatch,
    cut_by_tokens,
    hidden_states,
    read_in_parts,
    reading_at_once,
    rounded_up,
)
from tests.models.conftest import enliven
from tests.tolerances import close

SEQUENCES = [[1, 20, 30, 40, 2], [1, 40], [1, 50, 60], [9, 8, 7, 6, 5, 4, 3], [9, 8, 7, 40, 2], [9, 8, 7, 40, 2, 6]]


def test_tokens_places_positions_and_rectangles_by_hand():
    batch = PackedBatch.of([[7, 8, 9], [5], [3, 4]])
    assert batch.input_ids.tolist() == [7, 8, 9, 5, 3, 4] and batch.places == ([0, 1, 2], [3], [4, 5])
    assert batch.positions.tolist() == [0, 1, 2, 0, 0, 1]
    assert batch.last([2, 1, 0]).tolist() == [1, 2, 3]
    assert batch.last([3, 1, 2]).tolist() == [0, 1, 2, 3, 4, 5]
    rectangles = batch.rectangles  # sequences 0 and 2 together, the shorter one with one slot of padding; 1 by itself
    assert rectangles.shapes == ((2, 3), (1, 1))
    assert rectangles.place_of_slot.tolist() == [0, 1, 2, 4, 5, 5, 3]
    assert rectangles.slot_of_place.tolist() == [0, 1, 2, 6, 3, 4]
    tokens = torch.arange(12.0).view(2, 6, 1).transpose(0, 1)  # two heads, six tokens
    large, small = rectangles.lay_out(tokens)
    assert (
        large[0, 0, :, 0].tolist() == [0, 1, 2] and large[1, 1, :2, 0].tolist() == [10, 11] and small[0, 1, 0, 0] == 9
    )
    assert torch.equal(rectangles.pick_up([large, small], None), tokens)
    assert torch.equal(rectangles.pick_up([large, small], torch.tensor([3, 5])), tokens[[3, 5]])


def test_what_a_sequence_begins_with_as_the_one_before_it_is_there_once():
    batch = PackedBatch.of([[7, 8, 9], [7, 8, 4, 5], [7, 8, 4, 5], [7, 8], [6, 8], [7, 8]])
    assert batch.input_ids.tolist() == [7, 8, 9, 4, 5, 6, 8, 7, 8]
    assert batch.places == ([0, 1, 2], [0, 1, 3, 4], [0, 1, 3, 4], [0, 1], [5, 6], [7, 8])
    assert batch.positions.tolist() == [0, 1, 2, 2, 3, 0, 1, 0, 1]
    assert batch.before.tolist() == [0, 0, 1, 1, 3, 0, 5, 0, 7]
    assert batch.last([1, 1, 2, 1, 1, 0]).tolist() == [2, 4, 3, 4, 1, 6]


def test_what_is_known_of_each_sequence_is_laid_out_as_its_tokens_are():
    """Two that begin alike, one that is the whole beginning of the one before it, and filler behind them."""
    sequences = [[7, 8, 9], [7, 8, 5, 6], [7, 8], [7], [3, *range(40, 99)]]
    batch = PackedBatch.of(sequences)
    known = [torch.tensor(sequence).unsqueeze(1) * torch.tensor([1.0, 10.0]) for sequence in sequences]
    found = batch.laid_out(known)
    assert len(found) > found[:, 0].count_nonzero() == 65, "some of it is filler"
    assert torch.equal(found, batch.input_ids.unsqueeze(1) * torch.tensor([1.0, 10.0]))


@pytest.mark.parametrize(
    ("lengths", "shapes"),
    [([5, 5, 5], ((3, 5),)), ([10, 6, 5], ((2, 10), (1, 5))), ([1, 2, 4], ((1, 4), (1, 2), (1, 1))), ([7], ((1, 7),))],
)
def test_rows_of_about_one_length_stand_together(lengths, shapes):
    """No row is shorter than 3/5 of the longest one of its rectangle."""
    places = [list(range(length)) for length in lengths]
    assert Rectangles.of(places, sum(lengths), torch.device("cpu")).shapes == shapes


@pytest.mark.parametrize(
    ("number", "expected"), [(0, 0), (1, 1), (63, 63), (64, 64), (65, 66), (127, 128), (129, 132), (1000, 1008)]
)
def test_numbers_are_rounded_up_to_six_binary_digits(number, expected):
    assert rounded_up(number) == expected


def test_filler_stands_behind_the_tokens_and_changes_nothing(any_policy, monkeypatch):
    sequences = [[length, *range(20, 20 + length), 2] for length in (30, 9, 24)]
    results = []
    for own_rounding in (rounded_up, lambda number: number):
        monkeypatch.setattr(packing, "rounded_up", own_rounding)
        own, batch = copy.deepcopy(any_policy), PackedBatch.of(sequences)
        logprobs = token_logprobs(own, batch, batch.last([31, 10, 24]))
        logprobs.sum().backward()
        results.append((batch, logprobs, [weight.grad for weight in own.parameters()]))
    (with_filler, logprobs, gradients), (without, expected, expected_gradients) = results
    assert with_filler.input_ids.tolist() == [*without.input_ids.tolist(), 0] and len(without.input_ids) == 69
    assert with_filler.positions.tolist() == [*without.positions.tolist(), 0]
    assert close(logprobs, expected, tolerance=1e-5) and len(logprobs) == 65
    for one, other in zip(gradients, expected_gradients, strict=True):
        assert close(one, other, tolerance=1e-5 * max(1, other.abs().max().item()))


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
    biased = Qwen2Config(**shape, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=96)
    sliding = Qwen2Config(
        **shape,
        num_attention_heads=4,
        num_key_value_heads=2,
        use_sliding_window=True,
        sliding_window=3,
        max_window_layers=1,
    )
    return {
        "grouped": LlamaModel(grouped),
        "window": MistralModel(window),
        "biased": Qwen2Model(biased),
        "sliding": Qwen2Model(sliding),
    }


@pytest.fixture(params=["llama", "gpt2", "grouped", "window", "biased", "sliding"])
def body(request, llama_once, gpt2_once):
    if request.param in ("llama", "gpt2"):
        return copy.deepcopy({"llama": llama_once, "gpt2": gpt2_once}[request.param].base_model)
    body = enliven(other_bodies()[request.param]).eval()
    for name, weight in body.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(weight)
        elif "norm" in name:
            nn.init.uniform_(weight, 0.5, 2.0)
    return body


def everywhere(batch: PackedBatch) -> torch.Tensor:
    """The places of all sequences, one after another: what they share is read as often."""
    return batch.last([len(own) for own in batch.places])


@pytest.mark.parametrize("kernel", ["products", "fused"])
def test_every_sequence_is_seen_as_if_it_were_alone(body, kernel, monkeypatch):
    monkeypatch.setattr(attention, "LONGEST_PRODUCT", 512 if kernel == "products" else 0)
    expected, fresh = alone(body, SEQUENCES), copy.deepcopy(body)
    weight = torch.linspace(-1, 1, expected.numel()).view_as(expected)
    (expected * weight).sum().backward()
    for order in ([0, 1, 2, 3, 4, 5], [3, 1, 0, 2, 5, 4]):
        own = copy.deepcopy(fresh)
        batch = PackedBatch.of([SEQUENCES[row] for row in order])
        packed = hidden_states(own, batch, everywhere(batch))
        parts = packed.split([len(SEQUENCES[row]) for row in order])
        together = torch.cat([parts[order.index(row)] for row in range(6)])
        assert close(together, expected, tolerance=1e-5)
        (together * weight).sum().backward()
        for (name, one), other in zip(own.named_parameters(), body.parameters(), strict=True):
            if other.grad is not None:
                assert close(one.grad, other.grad, tolerance=2e-5 * max(1, other.grad.abs().max().item())), name


def test_what_is_asked_for_at_some_places_is_what_stands_there(body):
    """And what is learned from it."""
    batch, other = PackedBatch.of(SEQUENCES), copy.deepcopy(body)
    places = torch.tensor([4, 6, 1, 16])
    of_all = hidden_states(other, batch, torch.arange(len(batch.input_ids)))[places]
    some = hidden_states(body, batch, places)
    assert close(some, of_all, tolerance=1e-6)
    weight = torch.linspace(-1, 1, some.numel()).view_as(some)
    (some * weight).sum().backward()
    (of_all * weight).sum().backward()
    for (name, one), two in zip(body.named_parameters(), other.parameters(), strict=True):
        if two.grad is not None:
            assert close(one.grad, two.grad, tolerance=1e-5 * max(1, two.grad.abs().max().item())), name


@pytest.mark.parametrize("body", ["llama", "biased"], indirect=True)
def test_a_llama_in_bfloat16_rounds_no_worse_than_transformers_does(body, monkeypatch):
    batch = PackedBatch.of(SEQUENCES)
    places = batch.last([1, 2, 1, 3, 2, 3])

    def numbers(bfloat16: bool) -> list[torch.Tensor]:
        own = copy.deepcopy(body)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            hidden = hidden_states(own, batch, places)
        (hidden * torch.linspace(-1, 1, hidden.numel()).view_as(hidden)).sum().backward()
        return [hidden.float(), *(weight.grad for weight in own.parameters() if weight.grad is not None)]

    exact, rounded = numbers(False), numbers(True)
    monkeypatch.setattr(packing, "has_own_pass", lambda body: False)
    of_transformers = numbers(True)
    errors = [
        [((one - two).norm() / two.norm()).item() for one, two in zip(found, exact, strict=True)]
        for found in (rounded, of_transformers)
    ]
    own, theirs = map(sum, errors)
    assert theirs > 0.01 * len(exact), "it was in bfloat16"
    assert own < 1.2 * theirs


def test_a_packed_network_still_reads_padded_rows_and_caches(body):
    """The same network samples afterwards, through the ordinary forward pass."""
    before = body(torch.tensor([[1, 20, 30]]), attention_mask=torch.tensor([[0, 1, 1]])).last_hidden_state
    hidden_states(body, PackedBatch.of(SEQUENCES), torch.tensor([3]))
    after = body(torch.tensor([[1, 20, 30]]), attention_mask=torch.tensor([[0, 1, 1]])).last_hidden_state
    assert torch.equal(after, before)


def test_dropout_of_attention_weights_is_done_where_it_is_trained_with(gpt2):
    batch = PackedBatch.of(SEQUENCES)
    last = batch.last([1] * len(SEQUENCES))
    body = gpt2.base_model.train()
    for module in body.modules():
        if isinstance(module, torch.nn.Dropout) and module is not body.h[0].attn.attn_dropout:
            module.p = 0.0
    assert not torch.equal(hidden_states(body, batch, last), hidden_states(body, batch, last))
    assert torch.equal(hidden_states(body.eval(), batch, last), hidden_states(body, batch, last))


# out of memory, without gradients


LENGTHS = [4, 4, 4, 4, 3, 9, 1]


def reader(num_tokens: int, read: list[slice]):
    """Reads rows of no more than so many tokens; of others it really asks for an exbibyte."""

    def read_rows(rows: slice) -> list[int]:
        if sum(LENGTHS[rows]) > num_tokens:
            torch.empty(2**60, dtype=torch.uint8)
        read.append(rows)
        return list(range(*rows.indices(len(LENGTHS))))

    return read_rows


def test_what_does_not_fit_is_read_in_halves_and_nothing_twice(caplog):
    read: list[slice] = []
    with reading_at_once(16):
        parts = read_in_parts(LENGTHS, reader(9, read))
        assert [number for part in parts for number in part] == list(range(len(LENGTHS)))
        assert read[0] == slice(0, 2), "16 did not fit, 8 do"
        (record,) = caplog.records
        assert "out of memory reading 16 tokens at once" in record.message and "going on with 8" in record.message
        assert read_in_parts(LENGTHS, reader(9, [])) == parts and len(caplog.records) == 1, "it is not tried again"
    read.clear()
    read_in_parts(LENGTHS, reader(99, read))
    assert read == [slice(0, 7)], "afterwards as before"


def test_a_row_that_does_not_fit_alone_and_other_errors_are_raised():
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        read_in_parts(LENGTHS, reader(8, []))  # one row has 9

    def broken(rows: slice):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        read_in_parts(LENGTHS, broken)
    assert read_in_parts([], broken) == []

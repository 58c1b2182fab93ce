"""Rows over one block of keys and values: what a row sees does not depend on who sat there before, or when the block moved."""

import pytest
import torch

from models.generation import decoding
from models.generation.decoding import Decoder, Row
from tests.tolerances import close


@pytest.mark.parametrize("fixed", [False, True])
def test_a_long_prompt_joins_a_short_row_after_the_block_has_moved(any_policy, monkeypatch, fixed):
    """The row in use is 8 tokens wide when 24 columns are full: moved to the far left it would leave no room for 20 tokens."""
    monkeypatch.setattr(decoding, "_launches_bound", lambda device: fixed)
    decoder = Decoder(any_policy, num_rows=2, longest_prompt=20, num_columns=24)
    short, long = Row(0, [5, 6, 7]), Row(1, list(range(10, 30)))
    with torch.no_grad():
        decoder.join([short])
        for token in range(40, 45):
            short.tokens.append(token)
            decoder.step()
        first = decoder.join([long])
        assert close(first[0], any_policy(torch.tensor([long.prompt])).logits[0, -1], tolerance=2e-5)
        short.tokens.append(50)
        long.tokens.append(51)
        logits = decoder.step()
        for row, seen in zip((short, long), logits, strict=True):
            alone = any_policy(torch.tensor([[*row.prompt, *row.tokens]])).logits[0, -1]
            assert close(seen, alone, tolerance=2e-5)


def test_the_head_reads_a_contiguous_block_at_every_step(any_policy):
    """Of slices of longer rows torch would copy the head's weights once for each row."""
    seen = []
    any_policy.lm_head.register_forward_pre_hook(lambda head, inputs: seen.append(inputs[0]))
    decoder = Decoder(any_policy, num_rows=2, longest_prompt=4, num_columns=8)
    rows = [Row(0, [5, 6, 7, 8]), Row(1, [9, 10])]
    with torch.no_grad():
        decoder.join(rows)
        for row in rows:
            row.tokens.append(11)
        decoder.step()
    assert [hidden.shape[:2] for hidden in seen] == [(2, 1), (2, 1)]
    assert all(hidden.is_contiguous() for hidden in seen)


def test_only_a_gpu_decodes_in_fixed_shapes():
    assert decoding._launches_bound(torch.device("cuda")) and not decoding._launches_bound(torch.device("cpu"))


def test_steps_of_fixed_sizes_compute_a_half_or_a_quarter_where_that_is_enough(policy, monkeypatch):
    """Eight rows of 16 columns: 3 + 4 new tokens of eight rows, then of four, then of one."""
    monkeypatch.setattr(decoding, "_launches_bound", lambda device: True)
    sizes, compute = [], decoding.FixedStep._compute
    monkeypatch.setattr(
        decoding.FixedStep, "_compute", lambda step, *size: (sizes.append(size), compute(step, *size))[1]
    )
    decoder = Decoder(policy, num_rows=8, longest_prompt=3, num_columns=16)
    with torch.no_grad():
        decoder.join([Row(number, [5, 6, 7 + number]) for number in range(8)])
        for num_left in (8, 8, 4, 1):
            decoder.leave(range(num_left, len(decoder.rows)))
            for row in decoder.rows:
                row.tokens.append(20)
            assert len(decoder.step()) == num_left
    assert sizes == [(8, 4), (8, 8), (4, 8), (2, 8)]


def test_a_size_is_the_least_of_three():
    assert [decoding.step_size(needed, 10) for needed in (1, 3, 4, 5, 6, 10)] == [3, 3, 5, 5, 10, 10]
    assert [decoding.step_size(1, most) for most in (1, 2, 3)] == [1, 1, 1]

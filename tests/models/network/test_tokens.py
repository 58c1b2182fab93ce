"""Rows for sampling, and positions."""

import pytest
import torch

from models.errors import DataError
from models.network.tokens import check_lengths, pad_left, positions


def test_rows_end_in_the_same_column():
    batch = pad_left([[5, 6, 7], [8], [0, 5]])
    assert batch.input_ids.tolist() == [[5, 6, 7], [0, 0, 8], [0, 0, 5]]
    assert batch.is_token.tolist() == [[True, True, True], [False, False, True], [False, True, True]]


def test_positions_count_real_tokens():
    is_token = torch.tensor([[False, False, True, True, True], [True, True, True, False, False]])
    assert positions(is_token).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 2, 2]]


def test_prompts_that_leave_no_room_are_named():
    check_lengths([[1] * 4, [1] * 3], ["long one", "short"], room=4, setting="max_new_tokens=8")
    with pytest.raises(
        DataError, match=r"2 prompts are longer than the 4 tokens .* max_new_tokens=8.* 6 tokens: 'long'"
    ):
        check_lengths([[1] * 5, [1] * 6, [1] * 4], ["other", "long", "short"], room=4, setting="max_new_tokens=8")

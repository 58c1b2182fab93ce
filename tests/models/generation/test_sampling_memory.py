"""Out of memory while sampling: half as many at a time draw the same."""

import pytest
import torch

from models.generation import decoding, sampling
from tests.models.generation.test_sampling import PROMPTS, sample


def test_what_does_not_fit_into_memory_is_drawn_in_halves(policy, tokenizer, monkeypatch, caplog):
    expected, sizes = sample(policy, tokenizer, PROMPTS * 4), []

    class Small(decoding.Decoder):
        def __init__(self, model, batch_size, *rest):
            sizes.append(batch_size)
            if batch_size > 3:
                torch.empty(2**60, dtype=torch.uint8)  # really asks for it
            super().__init__(model, batch_size, *rest)

    monkeypatch.setattr(sampling, "Decoder", Small)
    assert sample(policy, tokenizer, PROMPTS * 4) == expected and sizes == [12, 6, 3]
    assert [record.message.rpartition("; ")[2] for record in caplog.records] == [
        "going on with 6 at a time",
        "going on with 3 at a time",
    ]
    monkeypatch.setattr(sampling, "num_ranks", lambda: 2)
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        sample(policy, tokenizer, PROMPTS * 4)

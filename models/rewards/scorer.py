"""What gives a completion its score."""

from collections.abc import Callable, Sequence

from torch import Tensor

Scorer = Callable[[Sequence[str], Sequence[str]], Tensor]
"""Prompts and completions as texts -> one normalised score each (a reward model with its own tokenizer)."""

"""How much better one of two completions is, in people's words, and the margin that it makes of a score. Loads no torch."""

from typing import Literal, get_args

Degree = Literal["significantly_better", "better", "slightly_better", "negligibly_better"]

DEGREES: tuple[Degree, ...] = get_args(Degree)

MARGINS: dict[Degree, float] = {
    "significantly_better": 1.0,
    "better": 2 / 3,
    "slightly_better": 1 / 3,
    "negligibly_better": 0.0,
}
"""Touvron et al. 2023, "Llama 2", table 27: the small margin; the large one is three times as much."""

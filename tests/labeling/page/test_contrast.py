"""The colours can be told apart: WCAG 2.2 AA, in light and dark."""

import re
from itertools import product
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[3] / "labeling/page/static"
CSS = (STATIC / "page.css").read_text(encoding="utf-8")
SCHEMES = {
    "light": CSS[: CSS.index("@media (prefers-color-scheme: dark)")],
    "dark": CSS[CSS.index("@media (prefers-color-scheme: dark)") :],
}
TEXT = [
    *product(("ink", "muted", "accent"), ("ground", "surface", "accent-soft")),
    *product(("good", "warn", "bad"), ("ground", "surface")),
    ("on-accent", "accent"),
    ("warn", "warn-soft"),
    ("bad", "bad-soft"),
]
EDGES = [*product(("edge", "focus", "accent"), ("ground", "surface"))]


def luminance(colour: str) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def colours(scheme: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", SCHEMES[scheme]))


def test_the_measure_is_right():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the well-known grey that just fails


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_and_edges_can_be_seen(scheme: str):
    named = colours(scheme)
    assert set(named) == set(colours("light")), "both schemes name all colours"
    for one, other in TEXT:
        assert contrast(named[one], named[other]) >= 4.5, (scheme, one, other)
    for one, other in EDGES:
        assert contrast(named[one], named[other]) >= 3, (scheme, one, other)


def test_colours_are_named_in_one_place():
    for file in STATIC.glob("*.css"):
        rules = file.read_text(encoding="utf-8")
        if file.name == "page.css":
            rules = re.sub(r"(?m)^\s*--.*$", "", rules)
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?=[;, )])", rules), file.name


def test_nothing_moves_by_itself():
    """So that there is nothing to switch off for those who ask for reduced motion."""
    for file in STATIC.glob("*.css"):
        assert not re.search(r"animation|transition|scroll-behavior", file.read_text(encoding="utf-8")), file.name

"""Plots as SVG inside a page: in its colours, light or dark, and as wide as it lets them be."""

import re
from io import StringIO
from typing import TYPE_CHECKING

from markupsafe import Markup

from tasks.reporting.plots import FAINT, INK, OPTIMISTIC

if TYPE_CHECKING:
    from matplotlib.figure import Figure  # loads much

# what plots draw with -> the page's own colours (templates/page.css)
PAGE_COLOURS = {
    "#000000": "var(--ink)",
    "#ffffff": "var(--card)",
    "#696969": "var(--dim)",
    OPTIMISTIC: "var(--dim)",
    FAINT: "var(--line)",
    INK: "var(--accent)",
}
_OUTER = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_SIZE = re.compile(
    r'(<svg[^>]*?) width="[^"]*"([^>]*?) height="[^"]*"|(<svg[^>]*?) height="[^"]*"([^>]*?) width="[^"]*"'
)
_GROUP_ID = re.compile(r'<g id="[^"]*"')


def inline_svg(figure: "Figure", title: str) -> Markup:
    """The figure as an `<svg>` element; `title` is what is read to those who do not see it. Text stays text.

    It is drawn on nothing: the card below shows through.
    """
    from matplotlib import rc_context

    figure.set_facecolor("none")
    for axes in figure.axes:
        axes.set_facecolor("none")
    text = StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = _METADATA.sub("", _OUTER.sub("", text.getvalue()))
    drawn = _SIZE.sub(lambda found: "".join(part or "" for part in found.groups()), drawn, count=1)
    drawn = _GROUP_ID.sub("<g", drawn)  # several plots stand in one page, and matplotlib numbers each anew
    for colour, own in PAGE_COLOURS.items():
        drawn = drawn.replace(colour, own)
    named = Markup('<svg role="img" aria-label="{}"').format(title)
    return Markup(drawn.replace("<svg", named, 1))

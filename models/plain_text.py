"""Text that others wrote (labelers' names, settings), made harmless to show."""

import re

_MARKUP = re.compile(r"[\\`*\[\]|~@]|(?<=:)/(?=/)|(?<=www)\.")


def printable(text: str) -> str:
    """The text on one line, without control characters: a terminal would obey them."""
    return "".join(sign if sign.isprintable() else "�" for sign in " ".join(text.split()))


def plain(text: str) -> str:
    """One line of Markdown that shows the text as it is: no HTML, no links (not by a bare address either), no emphasis.

    Prefect's page shows numeric entities as they are written, so that all signs but those of HTML are escaped by a backslash.
    """
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, entity)
    return _MARKUP.sub(r"\\\g<0>", printable(text))

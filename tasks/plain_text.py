"""Text that others wrote (labelers' names, prompts, model output), made harmless to show."""


def printable(text: str) -> str:
    """The text on one line, without control characters: a terminal would obey them."""
    return "".join(sign if sign.isprintable() else "�" for sign in " ".join(text.split()))


def plain(text: str) -> str:
    """The text as Markdown that shows it as it is: no HTML, no links, no table cells of its own."""
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "&#124;"), ("[", "&#91;"), ("`", "&#96;")):
        text = text.replace(sign, entity)
    return text

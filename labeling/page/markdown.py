"""Markdown as HTML: the instructions, and what people and models wrote as a reader would see it."""

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup

LONGEST = (
    50_000  # characters; what is longer is shown as it is written: nobody is kept waiting for a text made to be slow
)
LOWEST_HEADING = 6


def instructions_html(text: str) -> Markup:
    """Markdown (CommonMark and tables) as HTML that is safe to show.

    HTML in it is shown as text, links that could run code (javascript:, data:) stay text, and there are no images. Links open
    in a tab of their own, so that nobody leaves a task half done.
    """
    tokens = _INSTRUCTIONS.parse(text)
    _align_by_class(tokens)
    return Markup(_INSTRUCTIONS.renderer.render(tokens, _INSTRUCTIONS.options, {}))


def text_html(text: str) -> Markup:
    """What a person or a model wrote, read as Markdown, as HTML that runs nothing, loads nothing and leads nowhere.

    HTML in it is shown as text. A link is its text and, beside it, its address; an image is its description and its address. Line
    breaks stay, and so does what would only define a link: nothing that was written is hidden. Each block runs in the direction of its first letter that has one, code from left to right. Headings begin two steps
    lower, since they stand below those of the page.
    """
    if len(text) > LONGEST:
        return Markup('<p class="as-written" dir="auto">{}</p>').format(text)
    environment: dict[str, Any] = {"addresses": []}
    tokens = _TEXTS.parse(text, environment)
    _align_by_class(tokens)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, LOWEST_HEADING)}"
        if token.level == 0 and token.nesting == 1:
            token.attrSet("dir", "auto")
    return Markup(_TEXTS.renderer.render(tokens, _TEXTS.options, environment).rstrip("\n"))


def _align_by_class(tokens: Sequence[Token]) -> None:
    """The page's policy forbids `style`, by which the parser aligns the columns of a table."""
    for token in tokens:
        if token.type in ("th_open", "td_open") and (style := token.attrs.pop("style", None)):
            token.attrSet("class", str(style).replace("text-align:", "to-"))


def _opened_elsewhere(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer")
    tokens[index].attrSet("target", "_blank")
    return renderer.renderToken(tokens, index, options, env)


def _link_open(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    one = tokens[index]
    env["addresses"].append("" if one.info == "auto" else _address(one.attrGet("href")))
    return '<span class="link">'


def _link_close(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f"</span>{env['addresses'].pop()}"


def _image(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    one = tokens[index]
    return f'<span class="picture">Picture: {escapeHtml(one.content)}</span>{_address(one.attrGet("src"))}'


def _address(of: Any) -> str:
    return f' <bdi class="address" dir="ltr">({escapeHtml(str(of))})</bdi>'


def _block_of_code(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<pre dir="ltr"><code>{escapeHtml(tokens[index].content)}</code></pre>\n'


def _code(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<code dir="ltr">{escapeHtml(tokens[index].content)}</code>'


def _table_open(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return f'<div class="table-scroll">{renderer.renderToken(tokens, index, options, env)}'


def _table_close(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    return "</table></div>\n"


_INSTRUCTIONS = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
_INSTRUCTIONS.add_render_rule("link_open", _opened_elsewhere)

_TEXTS = (
    MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"]).disable("reference")
)
for _name, _rule in {
    "link_open": _link_open,
    "link_close": _link_close,
    "image": _image,
    "fence": _block_of_code,
    "code_block": _block_of_code,
    "code_inline": _code,
    "table_open": _table_open,
    "table_close": _table_close,
}.items():
    _TEXTS.add_render_rule(_name, _rule)

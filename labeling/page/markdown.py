"""Instructions as HTML."""

from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup


def instructions_html(text: str) -> Markup:
    """Markdown (CommonMark and tables) as HTML that is safe to show.

    HTML in it is shown as text, links that could run code (javascript:, data:) stay text, and there are no images. Links open
    in a tab of their own, so that nobody leaves a task half done.
    """
    return Markup(_MARKDOWN.render(text))


def _link_open(renderer: RendererHTML, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer")
    tokens[index].attrSet("target", "_blank")
    return renderer.renderToken(tokens, index, options, env)


_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
_MARKDOWN.add_render_rule("link_open", _link_open)

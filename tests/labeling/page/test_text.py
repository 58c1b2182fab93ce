"""Text from models and people runs nothing, loads nothing and leads nowhere, formatted or plain."""

import re

import pytest

from labeling.page.markdown import LONGEST, instructions_html, text_html
from tests.labeling.page.site import Site, next_of, read

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(2)&gt;&#34;&#39;&amp;"


def test_names_titles_and_instructions_are_escaped(site: Site):
    batch = site.publish({ATTACK: [ATTACK, "Fine."]}, title=ATTACK, instructions=ATTACK)
    client = site.sign_in(ATTACK)
    pages = [client.get("/batches").text, client.get(f"/batches/{batch}").text]
    read(client, batch, 1)
    pages.append(client.get(f"/batches/{batch}").text)
    for page in pages:
        assert "<script>" not in page and "<img" not in page
        assert page.count(ESCAPED) >= 2, "the name and the title"
    answer = client.post(f"/api/batches/{batch}/next")
    assert answer.headers["content-type"] == "application/json"
    (turn,) = next_of(client, batch)["task"]["turns"]
    assert turn["text"] == ATTACK and "<script" not in turn["html"] and "<img" not in turn["html"]


def test_what_an_error_repeats_is_escaped(site: Site):
    answer = site.sign_in("Ada").get("/batches/<script>alert(1)</script>")
    assert answer.status_code == 404 and "<script>alert" not in answer.text


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a <b onclick=alert(1)>b</b>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x)",
        "<javascript:alert(1)>",
        '[x](https://a.example "\\" onmouseover=alert(1) x=\\"")',
        "![x](https://a.example/spy.png)",
    ],
)
def test_markdown_makes_nothing_that_runs_or_loads(text: str):
    html = instructions_html(text)
    tags = html.split("<")[1:]
    assert all(tag.startswith(("p>", "/p>", 'a href="https://a.example', "/a>")) for tag in tags), html
    assert "onmouseover" not in html or "&quot; onmouseover" in html


def test_markdown_links_open_elsewhere_and_tell_nothing():
    assert instructions_html("[a](https://a.example)") == (
        '<p><a href="https://a.example" rel="noopener noreferrer" target="_blank">a</a></p>\n'
    )


def test_markdown_has_headings_lists_and_tables():
    html = instructions_html("# How\n\n- **one**\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    assert "<h1>How</h1>" in html and "<li><strong>one</strong></li>" in html and "<td>1</td>" in html


def test_the_columns_of_a_table_are_aligned_without_style():
    table = "| a | b |\n|--:|:-:|\n| 1 | 2 |\n"
    for html in (instructions_html(table), text_html(table)):
        assert "style" not in html and '<td class="to-right">1</td>' in html and '<td class="to-center">2</td>' in html


HOSTILE = [
    "[x](https://a.example/)",
    "<https://a.example/>",
    "[x](javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](https://a.example/spy.png)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "![x](data:image/png;base64,AA)",
    "[![x](//a.example/y)](//a.example/z)",
    "<svg onload=alert(1)><a href=//a.example>x</a></svg>",
    "<iframe srcdoc='x'></iframe><img src=x onerror=alert(1)><style>*{}</style><base href=//a.example>",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    '``` x" onclick=alert(1) y="\nz\n```',
    "`</code><script>alert(1)</script>`",
    "| <b>a</b> |\n|---|\n| <script>x</script> |",
    '[x][y]\n\n[y]: https://a.example/ "hidden"',
    '[x](https://a.example/ "onmouseover=alert(1)")',
    '![a"><script>alert(1)</script>](https://a.example/)',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_model_wrote_makes_only_known_tags_and_no_address_that_is_followed(text: str):
    html = text_html(text)
    tags = re.findall(r"<([^>]*)>", html)
    plain = "p|br /|pre|code|span|bdi|strong|em|s|div|table|thead|tbody|tr|th|td"
    safe = rf'(/?({plain})|(p|table|bdi|pre|code)( class="address")? dir="(auto|ltr)"|span class="(link|picture)"|div class="table-scroll")'
    assert [one for one in tags if not re.fullmatch(safe, one)] == [], html
    assert html.count("<") == len(tags)


def test_a_text_looks_as_a_reader_would_see_it():
    html = text_html("# One\n\n###### Six\n\n1. **a**\nb\n\n> ~~c~~\n\n`d<`")
    assert html == (
        '<h3 dir="auto">One</h3>\n<h6 dir="auto">Six</h6>\n<ol dir="auto">\n<li><strong>a</strong><br />\nb</li>\n</ol>\n'
        '<blockquote dir="auto">\n<p><s>c</s></p>\n</blockquote>\n<p dir="auto"><code dir="ltr">d&lt;</code></p>'
    )
    link = '<span class="link">a</span> <bdi class="address" dir="ltr">(https://b.example/?c&amp;d)</bdi>'
    assert text_html("[a](https://b.example/?c&d)") == f'<p dir="auto">{link}</p>'
    picture = '<span class="picture">Picture: a &lt;b</span> <bdi class="address" dir="ltr">(c.png)</bdi>'
    assert text_html("![a <b](c.png)") == f'<p dir="auto">{picture}</p>'


def test_nothing_that_was_written_is_hidden():
    """A definition of a link is nothing to a reader of Markdown: a model could hide words in it."""
    assert "secret" in text_html("Fine.\n\n[secret]: https://a.example/")
    assert "secret" in text_html("Fine. <!-- secret -->")


def test_a_very_long_text_is_shown_as_it_is_written():
    text = "**" + "<" * LONGEST
    assert text_html(text) == f'<p class="as-written" dir="auto">**{"&lt;" * LONGEST}</p>'
    assert text_html(text[:LONGEST]).startswith('<p dir="auto">')

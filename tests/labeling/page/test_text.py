"""Text from models and people is shown as text."""

import pytest

from labeling.page.markdown import instructions_html
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
    assert next_of(client, batch)["task"]["turns"] == [{"speaker": "Human", "text": ATTACK}]


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

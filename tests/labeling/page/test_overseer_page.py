"""The overseer's page over HTTP: who may see it, what it shows, and that nobody's words become markup."""

import csv
import io
import re
from xml.etree import ElementTree

import pytest

from labeling.page import charts
from labeling.store.accounts import withdraw
from models.settings.batch import ThumbsTask
from tests.labeling.page.site import NOW, Site, names_of, next_of

EVIL = "<script>alert('x')</script>"
TEXTS = {f"{EVIL} prompt {n}": [f"{EVIL} good {n}", f"fair {n}", f"bad {n}"] for n in range(12)}
FILES = ("judgements", "labelers", "agreement", "consensus")


@pytest.fixture
def batch_id(site: Site) -> str:
    """A batch that three people judged; `Ada` and one with an evil name contradict each other, one notes something evil."""
    batch_id = site.publish(TEXTS, title=f"{EVIL} batch")
    for name, ways in {"Ada": 1, EVIL: -1, "Cleo": 1}.items():
        client = site.labeler(name, batch_id)
        task = next_of(client, batch_id)["task"]
        for n in range(12):
            by_text = {one["text"].removeprefix(EVIL).split()[0]: one["id"] for one in task["completions"]}
            levels = [[by_text["good"]], [by_text["fair"]], [by_text["bad"]]][::ways]
            answer = {"submission": f"{ways}{len(name)}-{n}", "levels": levels, "unusable": {}, "note": f"={EVIL}"}
            saved = client.post(f"/api/assignments/{task['assignment']}/judgement", json=answer)
            task = saved.json()["next"]["task"]
    return batch_id


def overseer(site: Site):
    site.add("Olga", is_overseer=True)
    return site.sign_in("Olga")


def views(batch_id: str) -> list[str]:
    of_batch = f"/overseer/batches/{batch_id}"
    files = [f"{of_batch}/{name}.csv" for name in FILES]
    return ["/overseer", "/overseer/judgements.csv", of_batch, f"{of_batch}/disagreements", *files]


def test_only_overseers_see_it(site: Site, batch_id: str):
    labeler, stranger, owner = site.sign_in("Ada"), site.client(), overseer(site)
    for view in views(batch_id):
        assert labeler.get(view).status_code == 403, view
        assert stranger.get(view).status_code == 303, view
        assert owner.get(view).status_code == 200, view
    assert 'href="/overseer"' in owner.get("/batches").text
    assert 'href="/overseer"' not in labeler.get("/batches").text


def test_what_people_wrote_is_shown_as_text(site: Site, batch_id: str):
    client = overseer(site)
    pages = [client.get(view).text for view in views(batch_id) if not view.endswith(".csv")]
    for page in pages:
        assert "<script" not in page
        assert "style=" not in page and not re.search(r"\son\w+=", page), "the policy forbids both"
    listed, batch, disagreements = pages
    escaped = EVIL.replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#39;")
    assert f"{escaped} batch</a>" in listed
    for said in (f"{escaped} batch</h1>", f"{escaped} good", f"{escaped} prompt", f"={escaped}</span>", f"{escaped}\n"):
        assert said in batch, said
    assert f"{escaped} prompt" in disagreements


def test_a_batch_shows_its_figures(site: Site, batch_id: str):
    page = overseer(site).get(f"/overseer/batches/{batch_id}").text
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert "Judgements 36 of 36" in text and "Prompts done 12 of 12" in text
    assert "ranks against the others" in text, "the reversed labeler"
    # of every three tau-b, one is 1 and two are -1
    assert "Mean Kendall tau-b −0.33" in text
    # of every three pairs of people, one is alike; each of these two has one of the others beside it and one against, the third two against
    assert "Percent agreement 33 %" in text and "Leave-one-out agreement 33 %" in text
    assert "order 3 of 3 pairs the other way round" in text
    assert "All 12 disagreements" in text
    assert "Ada is very fast: 0." in text and "0 s for a judgement" not in text
    assert "Where two of them contradict each other most comes first" in text or "There are no two of them yet" in text


def test_charts_are_svg_with_a_text_and_tables_with_captions(site: Site, batch_id: str):
    page = overseer(site).get(f"/overseer/batches/{batch_id}").text
    found = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(found) == 3
    for one in found:
        svg = ElementTree.fromstring(one)
        assert svg.get("role") == "img"
        ids = {child.get("id") for child in svg}
        assert set(svg.get("aria-labelledby").split()) <= ids
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)
    assert len(tables) == 6
    assert all("<caption" in one and 'scope="col"' in one and 'scope="row"' in one for one in tables)
    assert not re.search(r"<th(?![^>]*scope)[ >]", page)


def test_disagreements_come_in_pages_of_ten(site: Site, batch_id: str):
    client, of_batch = overseer(site), f"/overseer/batches/{batch_id}/disagreements"
    first, second = client.get(of_batch).text, client.get(f"{of_batch}?page=2").text
    assert (first.count("<article"), second.count("<article")) == (10, 2)
    assert 'href="?page=2"' in first and 'href="?page=1"' in second
    assert "There is no disagreement" in client.get(f"{of_batch}?page=3").text
    assert client.get(f"{of_batch}?page=0").status_code == 422


def test_csv_files_come_as_downloads_that_run_nothing(site: Site, batch_id: str):
    client = overseer(site)
    for name in FILES:
        answer = client.get(f"/overseer/batches/{batch_id}/{name}.csv")
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"] == f'attachment; filename="{batch_id}_{name}.csv"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        rows = list(csv.reader(io.StringIO(answer.text, newline="")))
        assert len({len(row) for row in rows}) == 1
        assert len(rows) == {"judgements": 37, "labelers": 4, "agreement": 11, "consensus": 37}[name]
    every = client.get("/overseer/judgements.csv")
    assert next(csv.DictReader(io.StringIO(every.text, newline="")))["note"] == f"'={EVIL}"


def test_a_withdrawal_shows_at_once(site: Site, batch_id: str):
    client, view = overseer(site), f"/overseer/batches/{batch_id}"
    assert "withdrawn</span>" not in client.get(view).text
    with site.store.write() as session:
        withdraw(session, EVIL, "asked to", NOW)
    page = client.get(view).text
    assert "withdrawn</span>" in page and "Disagreements worth reading" not in page


def test_batches_that_nobody_judged_or_that_there_are_not(site: Site):
    client = overseer(site)
    assert "No batch has been published" in client.get("/overseer").text
    batch_id = site.publish({"What?": ["this", "that"]}, ThumbsTask())
    for view in views(batch_id):
        assert client.get(view).status_code == 200, view
    assert "Nobody has judged yet" in client.get(f"/overseer/batches/{batch_id}").text
    for view in [*views("b_none")[2:], "/overseer/batches/%00"]:
        assert client.get(view).status_code == 404, view


def test_ratings_show_their_answers(site: Site):
    batch_id = site.publish({"What?": ["this"]}, ThumbsTask())
    for name, answer in {"Ada": "up", "Bob": "down"}.items():
        client = site.labeler(name, batch_id)
        task = next_of(client, batch_id)["task"]
        assert len(names_of(task)) == 1
        posted = {"submission": name, "answer": answer}
        assert client.post(f"/api/assignments/{task['assignment']}/judgement", json=posted).status_code == 200
    page = overseer(site).get(f"/overseer/batches/{batch_id}").text
    assert "Ada says “up”, Bob “down”" in page
    assert "Kendall" not in page


def test_a_line_chart_breaks_where_a_value_is_not_known():
    drawn = charts.line_chart(["a", "b", "c", "d"], [1.0, 0.0, None, 0.5])
    # four slots of 77.5 from 40 on; 1 lies at y 12, 0 at 152
    assert drawn.dots == [(78.8, 12), (156.2, 152), (311.2, 82)]
    assert drawn.lines == ["78.8,12.0 156.2,152.0"]
    assert [tick.label for tick in drawn.y_ticks] == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    assert drawn.x_labels == ["a", "d"]
    assert [tick.label for tick in charts.line_chart(["a"], [-0.2]).y_ticks] == [
        "-1.00",
        "-0.50",
        "0.00",
        "0.50",
        "1.00",
    ]


def test_a_bar_chart_stands_on_its_axis():
    drawn = charts.bar_chart(["a", "b"], [20, 5])
    # two slots of 155, bars at most 40 wide; 5 of 20 is a quarter of 140
    assert drawn.bars == [(97.5, 12, 40, 140), (252.5, 117, 40, 35)]
    assert [tick.label for tick in drawn.y_ticks] == ["0", "10", "20"]
    assert [charts.bar_chart(["a"], [n]).y_ticks[-1].label for n in (1, 3, 41, 1001)] == ["2", "4", "100", "2,000"]


def test_an_overseer_asks_one_more_labeler_and_leaves_one_out(site: Site, batch_id: str):
    client, labeler = overseer(site), site.sign_in("Ada")
    page = client.get(f"/overseer/batches/{batch_id}").text
    prompt_id = re.search(r'name="prompt_id" value="([^"]+)"', page)[1]
    asks = f"/overseer/batches/{batch_id}/ask-more", {"prompt_id": prompt_id, "num_extra": 1, "back": 2}
    leaves = f"/overseer/batches/{batch_id}/labeler", {"labeler": EVIL, "counts": "no"}
    for path, body in (asks, leaves):
        assert labeler.post(path, data=body).status_code == 403
        token = client.headers.pop("X-Form-Token")
        assert client.post(path, data=body).status_code == 403
        client.headers["X-Form-Token"] = token
    done = client.post(asks[0], data=asks[1])
    assert (done.status_code, done.headers["location"]) == (303, f"/overseer/batches/{batch_id}/disagreements?page=2")
    page = client.get(f"/overseer/batches/{batch_id}").text
    assert "36</small>" not in page and "of 37" in page and "4 are asked, 1 more than elsewhere" in page
    assert client.post(leaves[0], data=leaves[1]).headers["location"] == f"/overseer/batches/{batch_id}"
    page = client.get(f"/overseer/batches/{batch_id}").text
    assert "left out</span>" in page and "Disagreements worth reading" not in page
    client.post(leaves[0], data={**leaves[1], "counts": "yes"})
    assert "left out</span>" not in client.get(f"/overseer/batches/{batch_id}").text
    wrong = [(asks[0], {**asks[1], "prompt_id": "p_none"}), (leaves[0], {**leaves[1], "labeler": "Nobody"})]
    assert [client.post(path, data=body).status_code for path, body in wrong] == [422, 422]

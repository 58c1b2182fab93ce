"""People judge a tuned policy: a run asks them, they vote in their browsers, and the next run's report has their votes."""

import html
import json
import re
import shutil
from collections.abc import Callable, Iterator
from math import comb
from pathlib import Path

import pytest
from sqlalchemy import select

from labeling.store.schema import Assignment, Batch
from models.evaluation.judges.people import ShownPair
from tests.conftest import chromium
from tests.flows.conftest import SMOKE, Workplace
from tests.labeling.page.site import STORE, Site, next_of
from tests.templates import empty_store
from tests.tolerances import close

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect

PEOPLE = "evaluation.judges=[{kind: people, votes_per_prompt: 2}, {kind: household_rule}, {kind: own_reward}]"


class Labelers(Workplace):
    """The workplace of all tests, with a feedback store of its own, so that what was trained is found in the cache."""

    store = ""

    @property
    def store_url(self) -> str:
        return self.store


@pytest.fixture
def site(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    shutil.copy(empty_store(tmp_path_factory), tmp_path / STORE)
    running = Site(tmp_path)
    yield running
    running.close()


@pytest.fixture
def asking(workplace: Workplace, first_report: dict, site: Site) -> Labelers:
    asking = Labelers(workplace.folder, workplace.prefect_url)
    object.__setattr__(asking, "store", site.store.url)
    return asking


def wrote(report: dict) -> dict[str, ShownPair]:
    """Prompt -> what policy and base wrote first, where that differs."""
    lines = Path(report["artifacts"]["matches"], "samples.jsonl").read_text(encoding="utf-8").splitlines()
    firsts = {
        one["prompt"]: one for one in map(json.loads, reversed(lines))
    }  # of a prompt's two the first is read last
    pairs = {name: ShownPair.of(name, one["policy_completion"], one["base_completion"]) for name, one in firsts.items()}
    return {name: pair for name, pair in pairs.items() if not pair.is_equal}


def prompt_of(task: dict) -> str:
    (only,) = task["turns"]
    return only["text"]


def vote(page: sync_api.Page, pairs: dict[str, ShownPair], wanted: Callable[[int], str]) -> list[list[str]]:
    """Votes on every pair, for the text of the policy, of the base, or for neither; gives the ids in the order shown."""
    page.get_by_role("button", name="I have read this").click()
    shown = []
    for number in range(len(pairs)):
        expect(page.locator(".card")).to_have_count(2)
        prompt = page.locator("#prompt").text_content()
        ids = [card.get_attribute("data-id") for card in page.locator(".card").all()]
        shown.append(ids)
        pair = pairs[prompt]
        told = page.content()
        for text in (prompt, pair.first.text, pair.second.text):
            told = told.replace(html.escape(text, quote=False), "")
        assert not re.search(r"\b(policy|base|challenger|champion|tuned)\b", told, re.IGNORECASE)
        better = {"policy": pair.first.id, "base": pair.second.id}.get(wanted(number))
        name = "A tie" if better is None else f"{'AB'[ids.index(better)]} is better"
        with page.expect_response(lambda answer: "/judgement" in answer.url):
            page.get_by_role("button", name=name).click()
        if number + 1 < len(pairs):
            expect(page.locator("#prompt")).not_to_have_text(prompt)
    expect(page.get_by_role("heading", name="Nothing left to judge for you")).to_be_visible()
    return shown


def visit(browser: sync_api.Browser, site: Site, name: str, batch: str) -> sync_api.Page:
    page = browser.new_context(base_url=site.url).new_page()
    page.goto(f"/sign-in?next=/batches/{batch}")
    page.get_by_label("Your personal token").fill(site.add(name))
    page.keyboard.press("Enter")
    return page


def test_two_browsers_vote_and_the_report_takes_their_votes(asking: Labelers, site: Site):
    done = asking.rein("rlhf", SMOKE, PEOPLE)
    waiting = asking.report_of(done)
    pairs = wrote(waiting)
    assert waiting["stages_run"] == ["evaluation"] and waiting["judge"] == "people"
    assert (
        "win_rate" not in waiting and "people/win_rate" not in waiting and 0 <= waiting["household_rule/win_rate"] <= 1
    )
    assert waiting["people/num_waiting"] == len(pairs) > 2 and waiting["seconds_to_better"] is None
    assert f"waiting for votes; prompts without any: {len(pairs)} (batch {waiting['head_to_head']})" in " ".join(
        done.stdout.split()
    )
    assert "there is none before they have voted" in " ".join(done.stdout.split())
    assert re.search(
        r"let people vote: \S*rein labelers add ann --store \S+ && \S*rein label --store \S+\n", done.stdout
    )
    assert asking.report("rlhf", SMOKE, PEOPLE)["stages_run"] == []
    with site.store.read() as session:
        [batch] = session.scalars(select(Batch))
    assert batch.id == waiting["head_to_head"] and batch.labelers_per_prompt == 2

    with chromium() as browser:
        ada, ben = (visit(browser, site, name, batch.id) for name in ("Ada", "Ben"))
        shown = vote(ada, pairs, lambda number: "policy")
        shown += vote(ben, pairs, lambda number: ("neither", "base")[number] if number < 2 else "policy")

    report = asking.report("rlhf", SMOKE, PEOPLE)
    assert report["stages_run"] == ["evaluation"] and report["head_to_head"] == batch.id
    num_equal = report["held_out_prompts"] - len(pairs)
    # Ada: all for the policy. Ben: a tie and one for the base, the others for the policy. So .75, .5, and 1 of the rest; equal texts .5
    outcomes = 0.75 + 0.5 + (len(pairs) - 2) + 0.5 * num_equal
    assert close(report["win_rate"], outcomes / report["held_out_prompts"], tolerance=1e-9)
    assert report["win_rate_low"] < report["win_rate"] < report["win_rate_high"]
    told = report["judges"]["people"]
    assert (told["num_people"], told["num_votes"], told["num_waiting"]) == (2, 2 * len(pairs), 0)
    assert close(told["percent_agreement"], (len(pairs) - 2) / len(pairs), tolerance=1e-9)
    firsts = {pair.first.id for pair in pairs.values()}
    assert len({ids[0] in firsts for ids in shown}) == 2, "the policy's stands now on the left, now on the right"

    refused = asking.rein("learn", SMOKE, "labels={kind: store}")
    assert refused.returncode != 0 and "holds no judgement by 'helpfulness'" in refused.stderr


def test_what_the_page_is_told_of_a_pair_says_nothing_of_who_wrote_it(asking: Labelers, site: Site):
    report = asking.report("rlhf", SMOKE, PEOPLE)
    client = site.labeler("Ada", report["head_to_head"])
    given = next_of(client, report["head_to_head"])
    assert given.keys() == {"task", "progress", "trial", "is_unqualified", "code", "last"}
    assert given["task"].keys() == {"assignment", "turns", "completions", "former", "judged_by"}
    assert [one.keys() for one in given["task"]["completions"]] == [{"id", "text", "html"}] * 2
    pair = wrote(report)[prompt_of(given["task"])]
    assert {one["id"] for one in given["task"]["completions"]} == {pair.first.id, pair.second.id}
    with site.store.read() as session:
        assert len(session.scalars(select(Assignment)).all()) == 1


def test_people_compare_two_versions_of_the_policy(asking: Labelers, site: Site):
    name = "rein-policy"
    first, second = (
        asking.report("rlhf", SMOKE, PEOPLE, *more)["registered_versions"][name]
        for more in ((), ("tuning.num_updates=1",))
    )
    asked = ("evaluate", SMOKE, PEOPLE, "--policy", str(first), "--opponent", str(second))
    done = asking.rein(*asked)
    waiting = asking.report_of(done)
    assert waiting["challenge_judge"] == "people" and "challenge_win_rate" not in waiting
    batch, num = waiting["challenge_head_to_head"], waiting["challenge_num_waiting"]
    assert num > 0 and f"people on challenger and champion: waiting for votes; prompts without any: {num}" in " ".join(
        done.stdout.split()
    )
    games = Path(waiting["artifacts"]["games"], "games.jsonl").read_text(encoding="utf-8").splitlines()
    mine = {(one["prompt"], one["challenger_completion"]) for one in map(json.loads, games)}
    client = site.labeler("Ada", batch)
    task = next_of(client, batch)["task"]
    while task:
        ids = sorted(task["completions"], key=lambda one: (prompt_of(task), one["text"]) not in mine)
        answer = {"submission": f"s{task['assignment']}", "levels": [[one["id"]] for one in ids]}
        task = client.post(f"/api/assignments/{task['assignment']}/judgement", json=answer).json()["next"]["task"]
    report = asking.report(*asked)
    assert report["stages_run"] == ["challenge"] and report["challenge_num_votes"] == num
    num_prompts = report["held_out_prompts"]
    assert close(report["challenge_win_rate"], (num + 0.5 * (num_prompts - num)) / num_prompts, tolerance=1e-9)
    # of num wins and two that count as lost, as many signs of each: the share of all with at most two lost
    assert close(
        report["challenge_p_value"], sum(comb(num + 2, lost) for lost in range(3)) / 2 ** (num + 2), tolerance=1e-9
    )


def test_instructions_that_are_missing_are_named_before_anything_is_trained(asking: Labelers):
    done = asking.rein("rlhf", SMOKE, "evaluation.judges=[{kind: people, instructions: nowhere.md}]", "seed=7")
    assert done.returncode != 0 and "evaluation.judges.0.instructions: nowhere.md: no such file" in done.stderr
    assert "pretraining" not in done.stderr

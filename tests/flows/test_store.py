"""Flows `collect` and `learn` with the feedback store and people between them, and a withdrawal afterwards."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from mlflow.tracking import MlflowClient
from sqlalchemy import select

from labeling.store import accounts
from labeling.store.assignments import next_task
from labeling.store.database import FeedbackStore
from labeling.store.judgements import Answer, judge
from labeling.store.schema import Batch, Labeler, Retraining, Snapshot
from models.settings.batch import FeedbackConfig
from models.settings.pipeline import TrackingConfig
from tasks.champion.promotion import promote_policy, read_standing
from tasks.lineage.provenance import trace
from tests.conftest import chromium
from tests.flows.conftest import SMOKE, Workplace, ended
from tests.free_port import free_port
from tests.labeling.page.gestures import drag_card
from tests.tolerances import close
from tests.waiting import CEILING_SECONDS, until_it_answers

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect

LABELS = "labels={kind: store}"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def batch_id(workplace: Workplace, first_report: dict) -> str:
    """The batch that `collect` publishes; everything before it is cached from the first run of `rlhf`."""
    done = workplace.rein("collect", SMOKE)
    assert done.returncode == 0, done.stderr[-3000:]
    return re.search(r"^batch: (b_\w+) in sqlite", done.stdout, flags=re.MULTILINE)[1]


@pytest.fixture(scope="module")
def page_url(workplace: Workplace, batch_id: str):
    """The address of the labelling page, in a process of its own."""
    port = free_port()
    command = [Path(sys.executable).parent / "rein", "label", "--port", str(port), "--store", workplace.store_url]
    log = workplace.folder / "page.log"
    with log.open("w") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            until_it_answers(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


class Person:
    """Someone at the page, in a browser of their own, and what they are seen to do."""

    def __init__(self, browser, url: str, token: str):
        self.context = browser.new_context(base_url=url)
        self.page = self.context.new_page()
        self.said: list[tuple[list[list[str]], list[str]]] = []
        self.page.goto("/sign-in")
        self.page.get_by_label("Your personal token").fill(token)
        self.page.keyboard.press("Enter")
        self.page.get_by_role("button", name="I have read this").click()

    def shown(self) -> list[str]:
        """The completions of a new task, none of them placed yet."""
        expect(self.page.locator(".tray .card")).to_have_count(4)
        return self.page.locator(".tray .card").evaluate_all("cards => cards.map(card => card.dataset.id)")

    def card(self, name: str):
        return self.page.locator(f".card[data-id='{name}']")

    def level(self, number: int):
        return self.page.locator(f"li.level[data-level='{number}']")

    def rank_by_mouse(self) -> None:
        """The third best, the first and the second tied behind it, the last unusable."""
        a, b, c, d = self.shown()
        drag_card(self.page, self.card(a), self.level(1))
        drag_card(self.page, self.card(c), self.level(1), part=0.02)
        drag_card(self.page, self.card(b), self.level(2))
        self.card(d).get_by_role("button", name="Mark unusable").click()
        self.page.get_by_role("dialog").get_by_role("button", name="unreadable").click()
        self.page.get_by_role("button", name="Submit").click()
        self.saved([[c], sorted([a, b])], [d])

    def rank_by_keys(self) -> None:
        """The second and the third tied on top, then the last, and the first unusable."""
        a, b, c, d = self.shown()
        for key in ("f", "1", "1", "1", "2", "Enter"):
            self.page.keyboard.press(key)
        self.saved([sorted([b, c]), [d]], [a])

    def saved(self, levels: list[list[str]], unusable: list[str]) -> None:
        expect(self.page.get_by_role("status")).to_have_text("Saved")
        expect(self.page.locator(f".tray .card[data-id='{levels[0][0]}']")).to_have_count(0)
        self.said.append((levels, unusable))


@pytest.fixture(scope="module")
def tokens(workplace: Workplace, batch_id: str) -> dict[str, str]:
    opened = FeedbackStore(workplace.store_url)
    with opened.write() as session:
        made = {name: accounts.add_labeler(session, name, False, NOW) for name in ("ann", "ben")}
    opened.close()
    return made


def test_two_people_rank_the_collected_batch_in_their_browsers(workplace, page_url, tokens):
    with chromium() as browser:  # the shared one would stay
        ann, ben = (Person(browser, page_url, tokens[name]) for name in ("ann", "ben"))
        for number in range(12):  # enough for some of them to be held out
            ben.rank_by_keys()
            if number % 3 == 0:
                ann.rank_by_mouse()
    report = workplace.report("learn", SMOKE, LABELS, "tuning.num_updates=1")
    assert report["rankings"] == 16 and report["labelers"] == 2
    rankings = Path(report["artifacts"]["feedback"]) / "rankings.jsonl"
    learned = [json.loads(line) for line in rankings.read_text(encoding="utf-8").splitlines()]
    for name, person in (("ann", ann), ("ben", ben)):
        said = [(one["levels"], one["unusable"]) for one in learned if one["labeler"] == name]
        assert sorted(said) == sorted(person.said)
    assert Path(report["artifacts"]["tuning"], "model", "model.safetensors").is_file()


@pytest.fixture(scope="module")
def store(workplace: Workplace, batch_id: str, tokens: dict[str, str]):
    """The store, in which stand-ins for the two people have ranked all the rest, longest completion first.

    Ben ties the two longest: if both said the same, the pairs would be the same without ann.
    """
    opened = FeedbackStore(workplace.store_url)
    for name in tokens:
        with opened.write() as session:
            labeler = session.scalar(select(Labeler).where(Labeler.name == name)).id
            batch = session.get_one(Batch, batch_id)
            while given := next_task(session, batch, labeler, NOW):
                longest, second, *rest = [one for one, _ in sorted(given.completions, key=lambda one: -len(one[1]))]
                top = [(longest, second)] if name == "ben" else [(longest,), (second,)]
                answer = Answer(f"{name}{given.assignment_id}", (*top, *((one,) for one in rest)))
                judge(session, given.assignment_id, labeler, answer, NOW)
    yield opened
    opened.close()


def test_a_batch_is_published_once(workplace, batch_id, store):
    assert f"batch: {batch_id} in" in workplace.rein("collect", SMOKE).stdout
    with store.read() as session:
        [batch] = session.scalars(select(Batch))
    assert (batch.criterion, batch.task, batch.labelers_per_prompt) == ("helpfulness", {"kind": "ranking"}, 3)


def test_learning_from_the_store_and_withdrawing_from_it(workplace, store):
    report = workplace.report("learn", SMOKE, LABELS)
    assert report["rankings"] == 80  # 2 labelers x 40 prompts
    assert report["simulated_labelers"] is False
    again = workplace.report("learn", SMOKE, LABELS)
    assert again["stages_run"] == [] and again["artifacts"] == report["artifacts"]
    with store.read() as session:
        [snapshot] = session.scalars(select(Snapshot).where(Snapshot.num_rankings == 80))
    shown = workplace.rein("lineage", f"policy@{report['registered_versions']['rein-policy']}")
    assert shown.returncode == 0, shown.stderr[-3000:]
    assert shown.stdout.startswith("Labelers behind it (judgements): ann (40); ben (40)\n")
    assert f"feedback {snapshot.sha256[:12]}, 80 rankings" in shown.stdout
    assert "snapshot of the feedback store" in shown.stdout
    done = workplace.rein("withdraw", "ann", "--reason", "asked to")
    assert done.returncode == 0, done.stderr[-3000:]
    learned = [line for line in done.stdout.splitlines() if line.startswith("learned from it: ")]
    assert snapshot.sha256[:16] in done.stdout
    for kind, stage, name in (("policy", "tuning", "rein-policy"), ("reward-model", "reward", "rein-reward")):
        said = f"learned from it: {kind} {report['artifacts'][stage]} {name} v"
        assert sum(line.startswith(said) for line in learned) == 1, learned
    without = workplace.report("learn", SMOKE, LABELS)
    assert without["rankings"] == 40 and without["artifacts"]["reward"] != report["artifacts"]["reward"]
    tracking = TrackingConfig(uri=workplace.tracking_uri)
    of_ann, of_ben = (trace(f"labeler:{name}", workplace.root, store.url, tracking) for name in ("ann", "ben"))
    learned_from = [{one.artifact.uri for one in found.models.values()} for found in (of_ann, of_ben)]
    for stage in ("reward", "tuning"):
        assert [report["artifacts"][stage] in models for models in learned_from] == [True, True]
        assert [without["artifacts"][stage] in models for models in learned_from] == [False, True]
    require_lineage(workplace, without, "ben")


def require_lineage(workplace: Workplace, report: dict, labelers: str) -> None:
    """Prefect shows the page of this run, its newest, and MLflow has it too, with tags on the run and on the version."""
    wanted = {"artifacts": {"key": {"any_": ["lineage"]}}}
    [page] = httpx.post(f"{workplace.prefect_url}/artifacts/latest/filter", json=wanted, timeout=CEILING_SECONDS).json()
    assert f"- Labelers behind it (judgements): {labelers} (40)\n" in page["data"]
    client = MlflowClient(tracking_uri=workplace.tracking_uri)
    assert "lineage.md" in {file.path for file in client.list_artifacts(report["mlflow_run_id"])}
    version = client.get_model_version("rein-policy", str(report["registered_versions"]["rein-policy"]))
    of_run, of_version = (
        {name: value for name, value in one.items() if name.startswith("rein.lineage.")}
        for one in (client.get_run(report["mlflow_run_id"]).data.tags, version.tags)
    )
    assert of_run == of_version and of_run["rein.lineage.labelers"] == labelers
    assert of_run["rein.lineage.tuning"] == version.tags["rein.sha256"]
    assert {"rein.lineage.reward", "rein.lineage.pairs", "rein.lineage.feedback", "rein.lineage.sft"} <= of_run.keys()


def test_two_retrainings_at_once_make_everything_once_and_both_come_to_a_decision(workplace, store):
    asked = ("retrain", SMOKE, LABELS, "retraining.min_new_judgements=0", "tuning.learning_rate=0.0001")
    started = [workplace.start(*asked) for _ in range(2)]
    reports = [workplace.report_of(ended(process)) for process in started]
    one, other = (set(report["stages_run"]) for report in reports)
    assert not one & other and {"tuning", "evaluation", "challenge"} <= one | other
    assert reports[0]["artifacts"] == reports[1]["artifacts"]
    assert all(report["promotion_reason"] for report in reports)
    with store.read() as session:
        assert {row.outcome for row in session.scalars(select(Retraining))} <= {"kept", "promoted"}
    safety = f"promotion.safety_model={reports[0]['artifacts']['reward']}/model"
    compared = workplace.report("evaluate", SMOKE, safety, "--policy", "1", "--opponent", "2")
    assert compared["registered_versions"]["rein-policy"] == 1 and "challenge" in compared["stages_run"]
    assert 0 <= compared["challenge_win_rate_low"] <= compared["challenge_win_rate"] <= 1
    assert 0 < compared["challenge_p_value"] <= 1
    for figure in ("accuracy", "safety"):
        champion, challenger, difference = (
            compared[f"{figure}_{name}"] for name in ("champion", "challenger", "difference")
        )
        assert close(challenger - champion, difference)
        assert compared[f"{figure}_low"] <= difference <= compared[f"{figure}_high"]
    done = workplace.rein("retrain", SMOKE, LABELS)
    assert done.returncode == 0 and "skipped: 0 new judgements, 50 are wanted" in done.stdout, done.stderr[-3000:]


def test_a_second_machine_goes_on_with_mirror_and_registry_and_so_does_a_folder_that_was_moved(workplace, tmp_path):
    """The second machine has MLflow and the store in common with the first, which stands for a server, and an empty root."""
    other = Workplace(tmp_path / "other", workplace.prefect_url)
    shutil.copytree(workplace.root, other.root, ignore=shutil.ignore_patterns("artifacts", "results", "checkpoints"))
    shutil.copytree(workplace.root / "artifacts", tmp_path / "mirror", ignore=shutil.ignore_patterns(".scratch*"))
    with closing(sqlite3.connect(other.root / "mlflow.db")) as mlflow, mlflow:  # the first one's folders are not here
        mlflow.execute("UPDATE model_version_tags SET value = replace(value, ?, '/first')", (str(workplace.root),))
    mirror = f"storage.mirror=file://{tmp_path}/mirror"
    places = (TrackingConfig(uri=other.tracking_uri), FeedbackConfig(url=other.store_url))
    if read_standing(*places).champion is None:
        promote_policy(*places, "1", "ann", "to have one")
    compared = other.report(
        "evaluate", SMOKE, mirror, "evaluation.num_samples=3", "--policy", "2", "--opponent", "champion"
    )
    assert compared["stages_run"] == ["matches", "evaluation", "games", "challenge"]
    anew = ("retrain", SMOKE, LABELS, "retraining.min_new_judgements=0", "tuning.learning_rate=0.0003")
    report = other.report(*anew, mirror)
    assert (
        "tuning" in report["stages_run"] and "challenge" in report["stages_run"] and "reward" in report["stages_cached"]
    )
    third = Workplace(tmp_path / "third", workplace.prefect_url)
    third.root.mkdir(parents=True)
    for name in ("mlflow.db", "feedback.db"):
        shutil.copy(other.root / name, third.root)
    without = third.rein(*anew)
    assert without.returncode == 1 and "policy tuning-" in without.stderr and "is in none of" in without.stderr
    assert not (third.root / "artifacts").exists(), "said before anything is read or trained"

    moved = Workplace(tmp_path / "moved", workplace.prefect_url)
    other.folder.rename(moved.folder)
    champion = report["champion_version"]
    report = moved.report(*anew)
    assert report["stages_run"] == [] and report["champion_version"] == champion
    assert not other.folder.exists()
    client = MlflowClient(tracking_uri=moved.tracking_uri)
    run = client.get_run(report["mlflow_run_id"])
    assert run.info.artifact_uri.startswith((moved.root / "mlflow-artifacts").as_uri())
    assert "report.json" in {file.path for file in client.list_artifacts(run.info.run_id)}


def test_an_empty_store_and_missing_instructions_are_named(workplace, store):
    done = workplace.rein("learn", SMOKE, "labels={kind: store, criterion: brevity}")
    assert done.returncode == 1
    assert "DataError: the feedback store holds no judgement by 'brevity'" in done.stderr
    prompts = workplace.folder / "prompts.txt"
    prompts.write_text("My house is too hot.\n" * 3)
    done = workplace.rein("collect", SMOKE, f"prompts={{source: {{kind: file, path: {prompts}}}, num_prompts: 1}}")
    assert done.returncode == 1
    assert "ConfigError: batch.instructions: name a Markdown file" in done.stderr

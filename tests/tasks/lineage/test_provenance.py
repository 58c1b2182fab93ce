"""Questions about where something comes from, and their answers as a person and a program read them."""

import json

import pytest
from rich.console import Console

from labeling.store import accounts
from labeling.store.database import FeedbackStore
from labeling.store.snapshots import note_snapshot, take_snapshot
from models.errors import DataError
from models.records import Completion, Prompt, Ranking, write_records
from models.settings.pipeline import TrackingConfig
from tasks.champion.snapshot import write_snapshot
from tasks.lineage.makings import Lineage
from tasks.lineage.provenance import trace
from tasks.lineage.tree import answer, as_markdown, as_tree, branches_after, branches_behind
from tasks.running.storage import Content
from tests.labeling.people import NOW, People
from tests.tasks.hand_made import copy_as, make

EVIL = "<b>eve</b>|`x`[y](http://evil.example)"


@pytest.fixture
def made(tmp_path):
    """A policy that learned from a snapshot of what ann and bob said, of whom bob has withdrawn since."""
    store = FeedbackStore(f"sqlite:///{tmp_path}/feedback.db")
    people = People(store)
    people.judges("ann")
    people.judges("bob")
    with store.write() as session:
        feedback = take_snapshot(session, "helpfulness")
        folder, sha256 = write_snapshot(tmp_path / "snapshots", feedback)
        note_snapshot(session, feedback, sha256, "helpfulness", 0, NOW)
        accounts.withdraw(session, "bob", "", NOW)
    store.close()
    source = copy_as(tmp_path, "feedback-1", "feedback", folder)
    pairs = make(tmp_path, "pairs-1", "pairs", source)
    reward = make(tmp_path, "reward-1", "reward-model", source, pairs, settings={"seed": 7, "note": "x" * 99})
    policy = make(tmp_path, "tuning-1", "policy", source, reward)
    return source, pairs, reward, policy


def ask(folder, question):
    return trace(
        question, folder, f"sqlite:///{folder}/feedback.db", TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db")
    )


def lines(branches) -> list[str]:
    """What the terminal shows, without the tree's own lines and without details."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(as_tree(branches, "heading"))
    shown = [line.lstrip("│├└─ ") for line in capture.get().splitlines()[1:]]
    return [line.rstrip() for line in shown if not line.startswith("by stage")]


def short(artifact) -> str:
    return artifact.sha256[:12]


def test_which_labels_made_this_policy(tmp_path, made):
    feedback, pairs, reward, policy = made
    found = ask(tmp_path, policy.sha256[:10])
    assert answer(found) == [
        "Labelers behind it (judgements): ann (1); bob (1), withdrawn 2026-11-20 12:00 UTC",
        "All of it was made by Rein 0.1.0.",
    ]
    assert lines(branches_behind(found)) == [
        f"policy {short(policy)}, 1 updates",
        f"reward-model {short(reward)}, 1 steps",
        f"seed=7, note={'x' * 59}…",
        f"pairs {short(pairs)}, 1 rows",
        f"feedback {short(feedback)}, 1 rows",
        "snapshot of the feedback store, 2026-11-20 12:00 UTC, by helpfulness",
        "labelers (judgements): ann (1); bob (1), withdrawn 2026-11-20 12:00 UTC",
        "prompts: 1 train, 0 validation, 0 test",
        f"feedback {short(feedback)}, 1 rows: as above",
        f"feedback {short(feedback)}, 1 rows: as above",
    ]
    assert branches_after(found) == []
    assert not (tmp_path / "mlflow.db").exists(), "asking makes no database"


def test_who_is_affected_when_ann_withdraws(tmp_path, made):
    feedback, pairs, reward, policy = made
    found = ask(tmp_path, "labeler:ann")
    assert answer(found) == [
        "Feedback artifacts and snapshots with judgements of ann: 1",
        f"Learned from it: reward-model {short(reward)}, not registered, in {reward.folder}",
        f"Learned from it: policy {short(policy)}, not registered, in {policy.folder}",
        "All of it was made by Rein 0.1.0.",
    ]
    below = [f"pairs {short(pairs)}, 1 rows", f"reward-model {short(reward)}, 1 steps"]
    assert lines(branches_after(found)) == [
        *(f"feedback {short(feedback)}, 1 rows", *below, f"policy {short(policy)}, 1 updates")
    ]
    assert branches_behind(found) == []
    by_snapshot = ask(tmp_path, str(tmp_path / "snapshots" / feedback.sha256))
    assert by_snapshot.models == found.models


def test_whose_prompts_alone_were_read_is_not_behind_it(tmp_path, made):
    """Demonstrations, kept from an earlier run, asked that run's feedback on which side a prompt stands."""
    feedback, *_ = made
    shown = make(tmp_path, "demonstrations-1", "demonstrations", feedback, reads={"feedback": ("prompts.jsonl",)})
    model = make(tmp_path, "sft-1", "language-model", shown)
    policy = make(tmp_path, "tuning-2", "policy", model)
    found = ask(tmp_path, policy.sha256)
    assert answer(found)[0] == "No labeler's judgement is behind it."
    assert f"feedback: feedback {short(feedback)}, no judgement of it" in lines(branches_behind(found))
    assert policy.sha256 not in {one.sha256 for one in ask(tmp_path, "labeler:ann").models}
    # what two snapshots gave alike comes from the one of which the same run has read texts elsewhere
    newer = make(tmp_path, "feedback-2", "feedback", holds="newer")
    for number, source in enumerate((feedback, newer), start=2):
        alike = make(tmp_path, f"demonstrations-{number}", "demonstrations", source, holds="alike")
    learned = make(tmp_path, "sft-2", "language-model", alike)
    tuned = make(tmp_path, "tuning-4", "policy", learned, newer, reads={"feedback": ("prompts.jsonl",)})
    behind = {one.sha256 for one in Lineage.below(tmp_path).behind(Content(**tuned.identity))}
    assert newer.sha256 in behind and feedback.sha256 not in behind
    heard = make(tmp_path, "tuning-3", "policy", feedback, reads={"feedback": ("prompts.jsonl", "rankings.jsonl")})
    assert ask(tmp_path, heard.sha256).labelers == {"ann": 1, "bob": 1}


def test_the_same_for_programs(tmp_path, made):
    feedback, _, reward, policy = made
    told = json.loads(json.dumps(ask(tmp_path, policy.sha256).as_json()))
    by_kind = {one["kind"]: one for one in told["made_from"]}
    assert by_kind["policy"]["inputs"]["reward"] == {"kind": "reward-model", "sha256": reward.sha256}
    assert by_kind["reward-model"]["settings"] == {"seed": 7, "note": "x" * 99}
    assert by_kind["feedback"]["origin"] == {
        "judgements": {"ann": 1, "bob": 1},
        "prompts": {"train": 1},
        "snapshot_taken_at": NOW.isoformat(),
        "criterion": "helpfulness",
        "withdrawn": {"bob": NOW.isoformat()},
    }
    assert [one["sha256"] for one in ask(tmp_path, feedback.sha256).as_json()["made_into"]][-1] == policy.sha256


def test_labelers_known_from_files_alone_and_their_names_are_shown_as_they_are(tmp_path):
    prompt = Prompt.of("Why?", "test")
    completions = [Completion.of(prompt.id, text) for text in ("So.", "So!")]
    order = [[one.id] for one in completions]
    (tmp_path / "said").mkdir()
    write_records(tmp_path / "said" / "prompts.jsonl", [prompt])
    write_records(tmp_path / "said" / "rankings.jsonl", [Ranking.of(prompt.id, EVIL, "helpfulness", order)] * 3)
    feedback = copy_as(tmp_path, "feedback-1", "feedback", tmp_path / "said")
    policy = make(tmp_path, "tuning-1", "policy", feedback)
    found = ask(tmp_path, policy.sha256)
    assert found.labelers == {EVIL: 3}
    assert ask(tmp_path, f"labeler:{EVIL}").models == {one: found.behind[one] for one in found.subjects}
    page = as_markdown(found)
    assert r"&lt;b&gt;eve&lt;/b&gt;\|\`x\`\[y\](http:\//evil.example) (3)" in page
    assert "<b>" not in page
    shown = "\n".join(lines(branches_behind(found)))
    assert "<b>eve</b>|`x`[y](http://evil.example) (3)" in shown, "no markup of rich's"
    with pytest.raises(DataError, match="labeler dora: no one of this name"):
        ask(tmp_path, "labeler:dora")


def test_a_version_of_a_registry_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"policy@3: sqlite:///.*mlflow\.db does not exist"):
        ask(tmp_path, "policy@3")

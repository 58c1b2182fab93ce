"""From a labeler to the models that learned from them: snapshots, artifacts that name what they were made from, withdrawal."""

from pathlib import Path

import pytest

from labeling.feedback import Feedback
from labeling.files.bad_rows import BadRows
from labeling.files.feedback_folder import read_feedback_folder
from labeling.store import batches
from labeling.store.database import FeedbackStore
from labeling.store.schema import Labeler
from labeling.store.snapshots import note_snapshot, take_snapshot
from models.config import ConsensusConfig, PairsConfig, TrackingConfig
from models.consensus import agree
from models.errors import DataError
from models.label_sources import FeedbackFolder
from models.pairs import make_pairs
from models.records import Artifact, Completion
from tasks.lineage import made_from
from tasks.snapshot import write_snapshot
from tasks.storage import publish, scratch_folder
from tasks.tracking import TrackedRun, register_challenger
from tasks.withdrawal import withdraw_labeler
from tests.labeling.people import CONFIG, NOW, PROMPTS, People


def make(root: Path, name: str, kind: str, *inputs: Artifact) -> Artifact:
    """An artifact of a kind, made from others."""
    with scratch_folder(root / "artifacts") as folder:
        (folder / "model").mkdir()
        (folder / "model" / "weights.txt").write_text(name)
        return publish(folder, root / "artifacts" / name, kind, 1, "0" * 32, {}, inputs)


def feedback_artifact(root: Path, folder: Path) -> Artifact:
    """What stage `feedback` makes of a snapshot: the same files."""
    with scratch_folder(root / "artifacts") as scratch:
        for file in folder.iterdir():
            (scratch / file.name).write_bytes(file.read_bytes())
        return publish(scratch, root / "artifacts" / f"feedback-{folder.name[:8]}", "feedback", 1, "0" * 32, {})


@pytest.fixture
def store(tmp_path: Path):
    opened = FeedbackStore(f"sqlite:///{tmp_path}/feedback.db")
    yield opened
    opened.close()


def snapshot(store: FeedbackStore, root: Path) -> tuple[Path, str]:
    with store.write() as session:
        feedback = take_snapshot(session, "helpfulness")
        folder, sha256 = write_snapshot(root / "snapshots", feedback)
        note_snapshot(session, feedback, sha256, "helpfulness", NOW)
    return folder, sha256


def test_descendants_are_found_over_several_steps_and_nothing_else(tmp_path):
    one, other = make(tmp_path, "one", "feedback"), make(tmp_path, "other", "feedback")
    pairs = make(tmp_path, "pairs", "pairs", one)
    reward = make(tmp_path, "reward", "reward-model", pairs, one)
    policy = make(tmp_path, "policy", "policy", reward)
    unrelated = make(tmp_path, "unrelated", "policy", other)
    assert made_from(tmp_path, {one.sha256}) == [pairs, policy, reward]
    assert made_from(tmp_path, {other.sha256}) == [unrelated]
    assert made_from(tmp_path, {policy.sha256}) == []


def test_a_snapshot_is_named_by_what_is_in_it(tmp_path, store):
    people = People(store)
    people.judges("ann")
    folder, sha256 = snapshot(store, tmp_path)
    assert folder.name == sha256
    assert snapshot(store, tmp_path) == (folder, sha256)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert feedback_artifact(tmp_path, folder).sha256 == sha256, "the artifact made of it has the same digest"
    (folder / "rankings.jsonl").write_text("")
    snapshot(store, tmp_path)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before, "one that was changed is made again"
    people.judges("bob")
    assert snapshot(store, tmp_path)[1] != sha256


def test_a_withdrawal_names_the_models_that_learned_from_the_labeler(tmp_path, store):
    people = People(store)
    people.judges("ann")
    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")
    first, first_sha256 = snapshot(store, tmp_path)
    people.judges("bob")
    second, second_sha256 = snapshot(store, tmp_path)
    made = {}
    for name, folder in (("first", first), ("second", second)):
        reward = make(tmp_path, f"reward-{name}", "reward-model", feedback_artifact(tmp_path, folder))
        made[name] = reward, make(tmp_path, f"policy-{name}", "policy", reward)
    with TrackedRun.start(tracking, "test", {}, tmp_path) as run:
        register_challenger(run, "rein-policy", made["first"][1])
        register_challenger(run, "rein-policy", made["second"][1])

    snapshots, learned = withdraw_labeler(store.url, "bob", "asked to", tmp_path, tracking)
    assert snapshots == [second_sha256]
    assert {one.artifact: one.versions for one in learned} == {
        made["second"][0]: (),
        made["second"][1]: ("rein-policy v2 (challenger)",),
    }
    snapshots, learned = withdraw_labeler(store.url, "ann", "", tmp_path, tracking)
    assert sorted(snapshots) == sorted([first_sha256, second_sha256])
    assert {one.versions for one in learned if one.artifact.kind == "policy"} == {
        ("rein-policy v1",),
        ("rein-policy v2 (challenger)",),
    }
    assert withdraw_labeler(store.url, "cleo", "", tmp_path, tracking) == ([], [])
    with store.read() as session, pytest.raises(DataError, match="no judgement by 'helpfulness'"):
        take_snapshot(session, "helpfulness")
    with pytest.raises(DataError, match="no one of this name"):
        withdraw_labeler(store.url, "dora", "", tmp_path, tracking)
    assert len(people.rows(Labeler)) == 3


def test_a_snapshot_folder_is_read_back_as_it_was(tmp_path, store):
    people = People(store)
    for name in ("ann", "bob", "cleo"):
        people.judges(name)
    with store.read() as session:
        feedback = take_snapshot(session, "helpfulness")
    folder, _ = write_snapshot(tmp_path / "snapshots", feedback)
    bad = BadRows()
    read = read_feedback_folder(FeedbackFolder(path=str(folder)), bad)
    assert not bad
    assert [list(part) for part in read] == [list(part) for part in feedback]
    assert isinstance(read, Feedback)


def test_a_prompt_of_two_batches_keeps_the_completions_of_both(tmp_path, store):
    people = People(store)
    first = people.judges("ann")
    fresh = [Completion.of(PROMPTS[0].id, index, f"Newer advice {index}.") for index in range(2)]
    with store.write() as session:
        people.batch_id = batches.publish(session, CONFIG, "second", "Judge.", PROMPTS[:1], fresh, (), NOW)
    second = people.judges("ann")
    assert first.prompt == second.prompt
    folder, _ = snapshot(store, tmp_path)
    bad = BadRows()
    read = read_feedback_folder(FeedbackFolder(path=str(folder)), bad)
    assert not bad and len(read.rankings) == 2 and len(read.completions) == 5
    agreed, _ = agree(read.rankings, ConsensusConfig())
    pairs, _ = make_pairs(agreed, read.completions, PairsConfig())
    new = {one.id for one in fresh}
    assert len(pairs) == 4 and all((one.chosen in new) == (one.rejected in new) for one in pairs)

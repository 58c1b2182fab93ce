"""What was made from what, and from a labeler to the models that learned from them: snapshots, artifacts, withdrawal."""

import shutil
from pathlib import Path

import pytest

from labeling.feedback import Feedback
from labeling.importers import feedback_folder
from labeling.sources.bad_rows import BadRows
from labeling.store import batches
from labeling.store.database import FeedbackStore
from labeling.store.schema import Labeler
from labeling.store.snapshots import note_snapshot, take_snapshot
from models.errors import ArtifactError, DataError
from models.preferences.consensus import agree
from models.preferences.pairs import make_pairs
from models.records import Artifact, Completion
from models.settings.labels import FeedbackFolder
from models.settings.pipeline import ConsensusConfig, PairsConfig, SplitConfig, TrackingConfig
from tasks.champion.snapshot import write_snapshot
from tasks.lineage.makings import Lineage
from tasks.lineage.provenance import trace
from tasks.lineage.withdrawal import learned_from, withdraw_labeler
from tasks.running.storage import MANIFEST, Content
from tasks.tracking.registry import register_challenger
from tasks.tracking.tracked_run import TrackedRun
from tests.labeling.people import CONFIG, NOW, PROMPTS, People
from tests.tasks.hand_made import copy_as, make
from tests.templates import empty_mlflow, empty_store


def feedback_artifact(root: Path, folder: Path) -> Artifact:
    """What stage `feedback` makes of a snapshot: the same files."""
    return copy_as(root, f"feedback-{folder.name[:8]}", "feedback", folder)


def content(artifact: Artifact) -> Content:
    return Content(**artifact.identity)


def made_from(root: Path, *sources: Artifact) -> list[str]:
    """The names of what comes from these, oldest first."""
    found = Lineage.below(root).made_from({content(one) for one in sources})
    return [manifest.artifact.folder.name for manifest in found.values()]


def behind(root: Path, artifact: Artifact) -> list[str]:
    found = Lineage.below(root).behind(content(artifact))
    return [manifest.artifact.folder.name for manifest in found.values()]


@pytest.fixture
def store(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory):
    shutil.copy(empty_store(tmp_path_factory), tmp_path / "feedback.db")
    opened = FeedbackStore(f"sqlite:///{tmp_path}/feedback.db")
    yield opened
    opened.close()


def snapshot(store: FeedbackStore, root: Path) -> tuple[Path, str]:
    with store.write() as session:
        feedback = take_snapshot(session, "helpfulness")
        folder, sha256 = write_snapshot(root / "snapshots", feedback)
        note_snapshot(session, feedback, sha256, "helpfulness", 0, NOW)
    return folder, sha256


def test_the_walks_go_over_several_steps_and_to_nothing_else(tmp_path):
    one, other = make(tmp_path, "one", "feedback"), make(tmp_path, "other", "feedback")
    pairs = make(tmp_path, "pairs", "pairs", one)
    reward = make(tmp_path, "reward", "reward-model", pairs, one)
    policy = make(tmp_path, "policy", "policy", reward)
    make(tmp_path, "unrelated", "policy", other)
    assert made_from(tmp_path, one) == ["pairs", "reward", "policy"]
    assert made_from(tmp_path, other) == ["unrelated"]
    assert made_from(tmp_path, policy) == []
    assert behind(tmp_path, policy) == ["policy", "reward", "pairs", "one"], "nearest first, each once"
    assert behind(tmp_path, one) == ["one"]


@pytest.fixture
def alike(tmp_path):
    """Pairs came out alike with ann and, after she withdrew, without her; reward models read the feedback too."""
    made = {}
    for number in ("1", "2"):
        feedback = make(tmp_path, f"feedback-{number}", "feedback")
        pairs = make(tmp_path, f"pairs-{number}", "pairs", feedback, holds="the same pairs")
        reward = make(tmp_path, f"reward-{number}", "reward-model", pairs, feedback)
        made[number] = feedback, pairs, reward
    return made


def test_what_was_made_alike_without_something_does_not_come_from_it(tmp_path, alike):
    feedback, pairs, _ = alike["1"]
    assert made_from(tmp_path, feedback) == ["reward-1"], "the second reward model never read ann's feedback"
    also = Lineage.below(tmp_path).also_made_without({content(feedback)})
    assert also.keys() == {content(pairs), content(alike["2"][2])}
    assert made_from(tmp_path, *(one[0] for one in alike.values())) == ["pairs-1", "reward-1", "reward-2"]


def test_of_several_makings_the_one_is_shown_that_belongs_to_what_is_asked_for(tmp_path, alike):
    for number, (_, _, reward) in alike.items():
        assert set(behind(tmp_path, reward)) == {f"reward-{number}", f"feedback-{number}", f"pairs-{number}"}
    assert behind(tmp_path, alike["2"][1]) == ["pairs-1", "feedback-1"], "the oldest, where nothing else decides"


def test_bytes_that_were_only_loaded_again_keep_where_they_come_from(tmp_path):
    """`base: {kind: pretrained, model: <an artifact>/model}` gives the same bytes, made from itself or from nothing."""
    feedback = make(tmp_path, "feedback", "feedback")
    base = make(tmp_path, "sft", "language-model", feedback, holds="weights")
    make(tmp_path, "base-model-1", "language-model", base, holds="weights")
    make(tmp_path, "base-model-2", "language-model", holds="weights")
    policy = make(tmp_path, "policy", "policy", base)
    assert made_from(tmp_path, feedback) == ["sft", "policy"]
    assert behind(tmp_path, policy) == ["policy", "sft", "feedback"]


def test_a_base_that_is_a_policy_that_changed_nothing_still_comes_from_its_own_training(tmp_path):
    """Loaded again, that policy gives the bytes of the base that it started from: its makings go round in a circle."""
    feedback = make(tmp_path, "feedback", "feedback")
    base = make(tmp_path, "sft", "language-model", feedback, holds="weights")
    policy = make(tmp_path, "policy", "policy", base, holds="weights")
    make(tmp_path, "base-model", "language-model", policy, holds="weights")
    assert behind(tmp_path, policy) == ["policy", "sft", "feedback"]
    assert made_from(tmp_path, feedback) == ["sft", "policy"]


def test_what_was_made_alike_from_inputs_that_are_gone_is_no_proof(tmp_path, alike):
    (feedback, pairs, _), (second, *_) = alike.values()
    shutil.rmtree(second.folder)
    assert "pairs-1" in made_from(tmp_path, feedback)
    assert content(pairs) not in Lineage.below(tmp_path).also_made_without({content(feedback)})


def test_what_is_not_here_is_still_named(tmp_path):
    pairs = make(tmp_path, "pairs", "pairs")
    policy = make(tmp_path, "policy", "policy", pairs)
    shutil.rmtree(pairs.folder)
    assert Lineage.below(tmp_path).behind(content(policy))[content(pairs)] is None
    assert made_from(tmp_path, pairs) == ["policy"]


def test_an_artifact_is_found_by_folder_digest_or_its_beginning(tmp_path):
    one, _ = make(tmp_path, "one", "pairs", holds="same"), make(tmp_path, "two", "consensus", holds="same")
    other = make(tmp_path, "three", "policy")
    lineage = Lineage.below(tmp_path)
    for named in (str(other.folder), other.sha256, other.sha256[:4], f"elsewhere/{other.sha256}"):
        assert lineage.find(named) == content(other)
    with pytest.raises(DataError, match=r"2 artifacts begin so: consensus .*; pairs "):
        lineage.find(one.sha256[:6])
    for named in (other.sha256[:3], "no-such-thing"):
        with pytest.raises(DataError, match="ask for policy@champion"):
            lineage.find(named)


def test_a_model_is_found_among_others_of_its_digest(tmp_path):
    base, policy = (
        make(tmp_path, "base", "language-model", holds="same"),
        make(tmp_path, "policy", "policy", holds="same"),
    )
    lineage = Lineage.below(tmp_path)
    assert base.sha256 == policy.sha256 and lineage.find_model(base.sha256) == content(policy)
    with pytest.raises(DataError, match="no artifact of this digest"):
        lineage.find_model("0" * 64)


def test_artifacts_that_were_moved_are_read_where_they_are_and_a_damaged_one_is_named(tmp_path):
    (tmp_path / "before").mkdir()
    made = make(tmp_path / "before", "policy", "policy")
    (tmp_path / "before").rename(tmp_path / "after")
    [manifest] = Lineage.below(tmp_path / "after").behind(content(made)).values()
    assert manifest.artifact.folder == tmp_path / "after" / "artifacts" / "policy"
    (manifest.artifact.folder / MANIFEST).write_text("{}")
    with pytest.raises(ArtifactError, match=r"after/artifacts/policy: no readable manifest.json: artifact: Field req"):
        Lineage.below(tmp_path / "after")


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


def test_a_withdrawal_names_the_models_that_learned_from_the_labeler(tmp_path, tmp_path_factory, store):
    people = People(store)
    people.judges("ann")
    shutil.copy(empty_mlflow(tmp_path_factory), tmp_path / "mlflow.db")
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

    snapshots = withdraw_labeler(store.url, "bob", "asked to")
    learned = learned_from(store.url, "bob", tmp_path, tracking)
    assert snapshots == [second_sha256]
    assert {one.artifact: one.versions for one in learned} == {
        made["second"][0]: (),
        made["second"][1]: ("rein-policy v2 (challenger)",),
    }
    snapshots = withdraw_labeler(store.url, "ann", "")
    learned = learned_from(store.url, "ann", tmp_path, tracking)
    assert sorted(snapshots) == sorted([first_sha256, second_sha256])
    assert {one.versions for one in learned if one.artifact.kind == "policy"} == {
        ("rein-policy v1",),
        ("rein-policy v2 (challenger)",),
    }
    assert withdraw_labeler(store.url, "cleo", "") == [] == learned_from(store.url, "cleo", tmp_path, tracking)
    with store.read() as session, pytest.raises(DataError, match="no judgement by 'helpfulness'"):
        take_snapshot(session, "helpfulness")
    with pytest.raises(DataError, match="no one of this name"):
        withdraw_labeler(store.url, "dora", "")
    assert len(people.rows(Labeler)) == 3

    run.client.set_registered_model_alias("rein-policy", "champion", "1")
    for asked, name in (("policy@2", "second"), ("rein-policy@champion", "first")):
        assert trace(asked, tmp_path, store.url, tracking).subjects == (content(made[name][1]),)
    for asked in ("policy@9", "policy@nobody", "nothing@1"):
        with pytest.raises(DataError, match=r"mlflow\.db has no model of this name with this version or alias"):
            trace(asked, tmp_path, store.url, tracking)


def test_a_snapshot_folder_is_read_back_as_it_was(tmp_path, store):
    people = People(store)
    for name in ("ann", "bob", "cleo"):
        people.judges(name)
    with store.read() as session:
        feedback = take_snapshot(session, "helpfulness")
    folder, _ = write_snapshot(tmp_path / "snapshots", feedback)
    bad = BadRows()
    read = feedback_folder.read(FeedbackFolder(path=str(folder)), SplitConfig(), 0, bad)
    assert not bad
    assert [list(part) for part in read] == [list(part) for part in feedback]
    assert isinstance(read, Feedback)


def test_a_prompt_of_two_batches_keeps_the_completions_of_both(tmp_path, store):
    people = People(store)
    first = people.judges("ann")
    fresh = [Completion.of(PROMPTS[0].id, f"Newer advice {index}.") for index in range(2)]
    with store.write() as session:
        people.batch_id = batches.publish(session, CONFIG, "second", "Judge.", PROMPTS[:1], fresh, (), NOW)
    second = people.judges("ann")
    assert first.prompt == second.prompt
    folder, _ = snapshot(store, tmp_path)
    bad = BadRows()
    read = feedback_folder.read(FeedbackFolder(path=str(folder)), SplitConfig(), 0, bad)
    assert not bad and len(read.rankings) == 2 and len(read.completions) == 5
    agreed, _ = agree(read.rankings, ConsensusConfig())
    pairs, _ = make_pairs(agreed, read.completions, PairsConfig())
    new = {one.id for one in fresh}
    assert len(pairs) == 4 and all((one.chosen in new) == (one.rejected in new) for one in pairs)

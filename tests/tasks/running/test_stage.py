"""What counts as the same input of a stage."""

import pytest

from models.records import Artifact
from models.settings.compute import Compute
from models.settings.generation import GenerationConfig, RayRunner
from models.settings.labels import FeedbackFolder
from models.settings.rewards import PairwiseReward
from models.settings.sources import FromFeedback, TextFile, TextHub
from models.settings.training import PretrainedBase, PretrainingConfig, SFTConfig
from models.settings.tuning import PPOConfig
from tasks.running.cache_key import cache_key, input_identity


def artifact(**changes) -> Artifact:
    return Artifact(**{"kind": "pairs", "uri": "a/b", "sha256": "0" * 64, "rows": 3, "run_id": "r"} | changes)


def test_an_artifact_counts_by_its_content():
    same = artifact(uri="elsewhere", run_id="another")
    assert input_identity(artifact()) == input_identity(same)
    assert input_identity(artifact(sha256="1" * 64)) != input_identity(artifact())
    assert input_identity(artifact(kind="consensus")) != input_identity(artifact())


def test_a_file_counts_by_what_it_holds(tmp_path):
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    one.write_text("a")
    other.write_text("a")
    assert input_identity(TextFile(path=str(one))) == input_identity(TextFile(path=str(other)))
    other.write_text("b")
    assert input_identity(TextFile(path=str(one))) != input_identity(TextFile(path=str(other)))
    assert input_identity(TextFile(path=str(one))) != input_identity(TextFile(path=str(one), column="body"))


@pytest.mark.parametrize(
    "settings",
    [
        lambda folder: FeedbackFolder(path=folder),
        lambda folder: PretrainedBase(model=folder),
        lambda folder: TextHub(name=folder),
    ],
)
def test_a_local_folder_counts_by_what_it_holds(tmp_path, settings):
    (tmp_path / "file").write_text("a")
    before = input_identity(settings(str(tmp_path)))
    (tmp_path / "file").write_text("b")
    assert input_identity(settings(str(tmp_path))) != before


def test_a_hub_name_counts_as_it_is():
    assert input_identity(PretrainedBase(model="org/one")) != input_identity(PretrainedBase(model="org/two"))


@pytest.mark.parametrize("settings", [PPOConfig, PairwiseReward, PretrainingConfig, SFTConfig])
def test_how_often_a_checkpoint_is_taken_does_not_count(settings):
    source = {"source": FromFeedback()} if "source" in settings.model_fields else {}
    often, seldom = settings(checkpoint_every=1, **source), settings(checkpoint_every=99, **source)
    assert input_identity({"config": often}) == input_identity({"config": seldom})
    assert input_identity(settings(batch_size=4, **source)) != input_identity(settings(batch_size=8, **source))


def test_where_shards_are_completed_does_not_count_but_their_size_does():
    here, on_ray = GenerationConfig(), GenerationConfig(runner=RayRunner(address="auto"))
    assert input_identity(here) == input_identity(on_ray)
    assert input_identity(here) != input_identity(GenerationConfig(shard_size=here.shard_size + 1))


def test_over_how_many_processes_does_not_count():
    one, many = Compute(), Compute(num_processes=4, sharding="fsdp2", max_restarts=1)
    assert input_identity({"compute": one}) == input_identity({"compute": many})
    assert input_identity(Compute(device="cpu")) != input_identity(Compute(device="cuda"))


def test_the_key_names_the_stage_and_tells_code_and_inputs_apart():
    key = cache_key("pairs", "tasks.stages.pairs", {"seed": 0})
    assert key.startswith("pairs-") and key == cache_key("pairs", "tasks.stages.pairs", {"seed": 0})
    others = [("pairs", "tasks.stages.pairs", {"seed": 1}), ("pairs", "tasks.stages.reward", {"seed": 0})]
    assert len({key, *(cache_key(*other) for other in others)}) == 3

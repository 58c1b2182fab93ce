"""What counts as the same input of a stage."""

from importlib.metadata import version

import pytest

from models.records import Artifact
from models.settings.asked.judge_models import LocalModel
from models.settings.asked.labels import AILabels
from models.settings.compute import Compute
from models.settings.generation import GenerationConfig, RayRunner
from models.settings.labels import FeedbackFolder
from models.settings.rewards import JudgeReward, PairwiseReward
from models.settings.sources import FromFeedback, TextFile, TextHub
from models.settings.training import PretrainedBase, PretrainingConfig, SFTConfig
from models.settings.tuning import PPOConfig
from tasks.running import environment
from tasks.running.cache_key import cache_key, input_identity
from tasks.running.environment import environment_of
from tasks.running.storage import publish, scratch_folder
from tests.tasks.hand_made import making


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


def test_how_a_judge_model_is_reached_counts_where_what_is_made_goes_by_it():
    """Labels are the same however they were asked for; a reward asks again, as its files say."""
    slow, quick = (
        {"kind": "endpoint", "address": "http://host/v1", "model": "m", "concurrency": number} for number in (1, 9)
    )
    labels = [AILabels(labelers=({"name": "j", "model": model},)) for model in (slow, quick)]
    assert input_identity(labels[0]) == input_identity(labels[1])
    elsewhere = AILabels(labelers=({"name": "j", "model": slow | {"address": "http://other/v1"}},))
    assert input_identity(elsewhere) != input_identity(labels[0]), "its model may be another one of that name"
    exact, quick_one = (
        LocalModel(base={"model": "org/m"}, compute={"precision": precision}) for precision in ("float32", "bfloat16")
    )
    assert input_identity(exact) != input_identity(quick_one), "it says something a little else"
    assert input_identity(JudgeReward(model=slow)) != input_identity(JudgeReward(model=quick))


def test_a_hub_name_counts_as_it_is():
    assert input_identity(PretrainedBase(model="org/one")) != input_identity(PretrainedBase(model="org/two"))


@pytest.mark.parametrize("settings", [PPOConfig, PairwiseReward, PretrainingConfig, SFTConfig])
@pytest.mark.parametrize("name", ["checkpoint_every", "microbatch_tokens"])
def test_what_changes_no_number_does_not_count(settings, name):
    source = {"source": FromFeedback()} if "source" in settings.model_fields else {}
    one, other = settings(**{name: 1}, **source), settings(**{name: 99}, **source)
    assert input_identity({"config": one}) == input_identity({"config": other})
    assert input_identity(settings(batch_size=4, **source)) != input_identity(settings(batch_size=8, **source))


def test_where_shards_are_completed_does_not_count_but_their_size_does():
    here, on_ray = GenerationConfig(), GenerationConfig(runner=RayRunner(address="auto"))
    assert input_identity(here) == input_identity(on_ray)
    assert input_identity(here) != input_identity(GenerationConfig(shard_size=here.shard_size + 1))


def test_over_how_many_processes_does_not_count():
    one, many = Compute(), Compute(num_processes=4, sharding="fsdp2", max_restarts=1)
    assert input_identity({"compute": one}) == input_identity({"compute": many})


def test_device_and_precision_count_as_what_they_come_to(monkeypatch):
    def key(**settings) -> str:
        return cache_key("reward", "tasks.stages.reward", {"compute": Compute(**settings)}, {})

    monkeypatch.setattr("models.network.precision.computes_in_bfloat16", lambda: True)
    assert key(device="auto", precision="auto") == key(device="cpu", precision="bfloat16")
    assert key(device="cpu", precision="auto") != key(device="cpu", precision="float32")
    monkeypatch.setattr("models.network.precision.computes_in_bfloat16", lambda: False)
    assert key(device="auto", precision="auto") == key(device="cpu", precision="float32")
    found = environment_of(("tasks.stages.reward",), {"compute": Compute(device="cpu")})
    assert found == {
        **{name: version(name) for name in ("numpy", "peft", "tokenizers", "torch", "transformers") if name in found},
        "device": "cpu",
        "precision": "float32",
    }
    assert {"torch", "transformers"} <= found.keys()


def test_the_versions_of_what_computes_count_and_of_nothing_else(monkeypatch):
    def key(module: str) -> str:
        return cache_key("name", module, {}, {})

    modules = ("tasks.stages.reward", "tasks.stages.consensus")
    before = [key(module) for module in modules]
    real = environment.version
    monkeypatch.setattr(environment, "version", lambda name: "9" if name == "torch" else real(name))
    assert key(modules[0]) != before[0] and key(modules[1]) == before[1], "no consensus is made with torch"
    monkeypatch.setattr(environment, "version", lambda name: "9" if name == "prefect" else real(name))
    assert [key(module) for module in modules] == before


def test_of_an_artifact_those_files_count_that_the_stage_reads(tmp_path):
    reads = {"feedback": ("prompts.jsonl",)}

    def key(name: str, ranked: str, reads=reads) -> str:
        with scratch_folder(tmp_path) as folder:
            (folder / "prompts.jsonl").write_text("asked")
            (folder / "rankings.jsonl").write_text(ranked)
            feedback = publish(folder, tmp_path / name, "feedback", 1, "r", {}, making(), 1.0)
        return cache_key("tuning", "tasks.stages.pairs", {"feedback": feedback}, reads)

    assert key("one", "a over b") == key("two", "b over a")
    assert key("one", "a over b", {}) != key("two", "b over a", {})
    assert key("one", "", {"feedback": ("rankings.jsonl",)}) != key(
        "one", "b over a", {"feedback": ("rankings.jsonl",)}
    )


def test_the_key_names_the_stage_and_tells_code_and_inputs_apart():
    key = cache_key("pairs", "tasks.stages.pairs", {"seed": 0}, {})
    assert key.startswith("pairs-") and key == cache_key("pairs", "tasks.stages.pairs", {"seed": 0}, {})
    others = [("pairs", "tasks.stages.pairs", {"seed": 1}), ("pairs", "tasks.stages.reward", {"seed": 0})]
    assert len({key, *(cache_key(*other, {}) for other in others)}) == 3

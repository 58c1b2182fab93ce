"""A registered model is loaded by MLflow's own function, and its weights are stored once."""

import shutil
from pathlib import Path

import mlflow
import pytest
from mlflow.artifacts import download_artifacts

from models.network.dialogue import written_completion
from models.network.networks import RewardModel, build_policy, save_policy, train_tokenizer
from models.rewards.pairwise import score_texts
from models.settings.pipeline import TrackingConfig
from models.settings.training import ScratchBase
from tasks.running.storage import publish, scratch_folder
from tasks.tracking.registry import register_challenger
from tasks.tracking.tracked_run import TrackedRun
from tests.models.conftest import CORPUS, enliven, with_random_head
from tests.tasks.hand_made import make, making
from tests.templates import empty_mlflow

PROMPT = [{"role": "user", "content": "My house is too hot."}]


@pytest.fixture
def registered(tmp_path, tmp_path_factory):
    """A policy and a reward model as stages leave them, registered; gives the networks and their tokenizer."""
    shutil.copy(empty_mlflow(tmp_path_factory), tmp_path / "mlflow.db")
    tracking = TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db")
    tokenizer = train_tokenizer(CORPUS, vocab_size=300)
    shape = ScratchBase(vocab_size=300, hidden_size=32, num_layers=2, num_heads=4, context_length=96)
    policy = enliven(build_policy(shape, tokenizer, seed=0)).eval()
    with TrackedRun.start(tracking, "test", {}, tmp_path) as run, scratch_folder(tmp_path / "artifacts") as scratch:
        save_policy(scratch / "model", policy, tokenizer)
        artifact = publish(scratch, tmp_path / "artifacts/p", "policy", 1, run.run_id, {}, making("tuning"), 1.0)
        register_challenger(run, "rein-policy", artifact)
        reward_model = with_random_head(RewardModel.start(artifact.folder / "model", seed=0))
        with scratch_folder(tmp_path / "artifacts") as other:
            reward_model.save(other / "model", tokenizer)
            artifact = publish(
                other, tmp_path / "artifacts/r", "reward-model", 1, run.run_id, {}, making("reward"), 1.0
            )
        register_challenger(run, "rein-reward", artifact)
        register_challenger(run, "rein-reward", make(tmp_path, "reward-function", "reward-model"))
    return policy, reward_model, tokenizer


def stored(uri: str, folder: Path) -> list[str]:
    """The names of the files that MLflow holds of a registered model."""
    download_artifacts(artifact_uri=uri, dst_path=str(folder))
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_mlflow_loads_a_registered_policy(registered, tmp_path):
    policy, _, tokenizer = registered
    pipeline = mlflow.transformers.load_model("models:/rein-policy/1")
    prompt = tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    expected = policy.generate(**prompt, max_new_tokens=20, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    (written,) = pipeline(PROMPT, max_new_tokens=20, do_sample=False, return_full_text=False)
    assert written["generated_text"] == tokenizer.decode(expected, skip_special_tokens=True) != ""
    files = stored("models:/rein-policy/1", tmp_path / "stored")
    assert files.count("model.safetensors") == 1 and not [name for name in files if name.endswith((".pkl", ".bin"))]


def test_mlflow_loads_a_registered_reward_model(registered, tmp_path):
    _, reward_model, tokenizer = registered
    pipeline = mlflow.transformers.load_model("models:/rein-reward/1")
    prompt = tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, tokenize=False)
    (found,) = pipeline(prompt + written_completion(tokenizer, "Open a window."), add_special_tokens=False)
    score = score_texts(reward_model, tokenizer, ["My house is too hot."], ["Open a window."]).item()
    assert found["score"] == pytest.approx(score, abs=1e-5), "mean 0 and deviation 1, as it started"
    assert stored("models:/rein-reward/1", tmp_path / "stored").count("model.safetensors") == 1
    assert stored("models:/rein-reward/2", tmp_path / "function") == ["weights.txt"], "which is no network"

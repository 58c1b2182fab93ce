"""A small run by hand: a base, two rewards, and a policy that says it was tuned from the one and on the other."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers.utils import logging

from models.network import precision
from models.network.networks import RewardModel, build_policy, save_policy, train_tokenizer
from models.rewards.ensemble import COMBINATION_FILE, Combination
from models.rewards.kind_file import write_kind
from models.settings.rewards import EnsembleReward, PairwiseReward
from models.settings.training import ScratchBase
from tasks.running.storage import publish, scratch_folder
from tests.models.conftest import CORPUS, enliven, with_random_head
from tests.tasks.hand_made import making

CONTEXT_LENGTH = 64


def save_reward(folder: Path, base: Path, factor: float) -> None:
    """A pairwise reward on the body of a base, its random head scaled."""
    reward_model = with_random_head(RewardModel.start(base, seed=0))
    with torch.no_grad():
        reward_model.model.score.weight.mul_(factor)
    reward_model.set_normalisation(mean=0.5, std=2.0)
    reward_model.save(folder, train_tokenizer(CORPUS, vocab_size=300))


@pytest.fixture
def quiet_float32(monkeypatch) -> Iterator[None]:
    """The arithmetic of a machine without bfloat16, and no bars while weights are loaded: of a command by itself the environment says so
    before transformers is imported."""
    monkeypatch.setattr(precision, "pick_precision", lambda compute: "float32")
    logging.disable_progress_bar()
    yield
    logging.enable_progress_bar()


@pytest.fixture(scope="session")
def made_root(tmp_path_factory) -> Path:
    """A `storage.root` with the artifacts base, reward, ensemble and tuning; the base's pairwise head counts once in the reward, and
    twice and four times in the members of the ensemble."""
    root = tmp_path_factory.mktemp("made") / ".rein"
    tokenizer = train_tokenizer(CORPUS, vocab_size=300)
    shape = ScratchBase(vocab_size=300, hidden_size=32, num_layers=2, num_heads=4, context_length=CONTEXT_LENGTH)

    def seal(folder: Path, kind: str, **inputs):
        settings = {"sampling": {"max_new_tokens": 5, "temperature": 1.0}} if kind == "policy" else {}
        made = making(kind, settings, **inputs).model_copy(update={"registered": kind != "language-model"})
        return publish(folder, root / "artifacts" / kind, kind, 1, "0" * 32, {}, made, 1.0)

    with scratch_folder(root / "artifacts") as folder:
        save_policy(folder / "model", enliven(build_policy(shape, tokenizer, seed=0)), tokenizer)
        base = seal(folder, "language-model")
    with scratch_folder(root / "artifacts") as folder:
        write_kind(folder / "model", PairwiseReward())
        save_reward(folder / "model", base.folder / "model", factor=1)
        reward = seal(folder, "reward-model", base=base)
    with scratch_folder(root / "artifacts") as folder:
        save_policy(folder / "model", enliven(build_policy(shape, tokenizer, seed=1)), tokenizer)
        seal(folder, "policy", base=base, reward=reward)
    ensemble = root / "ensemble"
    write_kind(ensemble, EnsembleReward(num_members=2))
    for number, factor in ((1, 2), (2, 4)):
        save_reward(ensemble / f"member-{number}", base.folder / "model", factor)
    together = Combination(num_members=2, aggregate="mean", variance_weight=0.1, mean=0.0, std=1.0, logit_std=1.0)
    (ensemble / COMBINATION_FILE).write_text(json.dumps(together.model_dump()), encoding="utf-8")
    return root

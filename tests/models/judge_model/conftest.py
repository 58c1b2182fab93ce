"""A judge model that is small enough to run here; what it says makes no sense, and is the same everywhere."""

import pytest

from models.network.networks import build_policy, save_policy, train_tokenizer
from models.settings.asked.judge_models import LocalModel
from models.settings.training import ScratchBase
from tests.models.conftest import CORPUS, enliven


@pytest.fixture(scope="session")
def config(tmp_path_factory) -> LocalModel:
    folder = tmp_path_factory.mktemp("judge")
    tokenizer = train_tokenizer([*CORPUS, "0 1 2 3 4 5 6 7 8 9 10"], vocab_size=300)
    shape = ScratchBase(vocab_size=300, hidden_size=32, num_layers=2, num_heads=4, context_length=640)
    save_policy(folder, enliven(build_policy(shape, tokenizer, seed=3)), tokenizer)
    return LocalModel(base={"model": str(folder)}, compute={"device": "cpu", "precision": "float32"})

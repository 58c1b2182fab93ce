"""A model folder from a stranger: its weights are read from safetensors alone, and no code of it is run."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from models.errors import ConfigError
from models.network.base import load_base
from models.network.networks import save_policy
from models.settings.training import PretrainedBase

ATTACK = "import pathlib\npathlib.Path({marker!r}).touch()\n"


class Attack:
    """What an evil pickle holds: reading it runs a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.fixture
def marker(tmp_path):
    """A file that is there once something of the folder has been run."""
    return tmp_path / "was-run"


@pytest.fixture
def folder(tmp_path, policy, tokenizer):
    saved = tmp_path / "model"
    save_policy(saved, policy, tokenizer)
    return saved


def refusal(folder) -> str:
    with pytest.raises(ConfigError, match=r"base\.model .*model'") as caught:
        load_base(PretrainedBase(model=str(folder)))
    return str(caught.value)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.safetensors"])
def test_a_pickle_is_not_read(folder, marker, name):
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Attack(marker)}, folder / name)
    assert "safetensors" in refusal(folder).lower() or "header" in refusal(folder)
    assert not marker.exists()


def test_a_pickle_beside_safetensors_is_not_read(folder, marker):
    torch.save({"weight": Attack(marker)}, folder / "pytorch_model.bin")
    load_base(PretrainedBase(model=str(folder)))
    assert not marker.exists()


@pytest.mark.parametrize("model_type", ["llama", "evil"])
@pytest.mark.parametrize("wanted", ["config.json", "tokenizer_config.json"])
def test_code_beside_a_model_is_not_run(folder, marker, model_type, wanted):
    (folder / "evil.py").write_text(ATTACK.format(marker=str(marker)))
    code = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M", "AutoTokenizer": ["evil.T", "evil.T"]}
    settings = json.loads((folder / wanted).read_text())
    (folder / wanted).write_text(json.dumps(settings | {"auto_map": code}))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": model_type}))
    if model_type == "llama":
        load_base(PretrainedBase(model=str(folder)))
    else:
        refusal(folder)
    assert not marker.exists()


def test_an_adapter_that_names_another_model_is_refused(folder, policy):
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/srv/other"}))
    save_file({"weight": torch.zeros(1)}, folder / "adapter_model.safetensors")
    assert "is an adapter; merge it" in refusal(folder)

"""What a manifest says of how an artifact was made."""

import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from models.records import Artifact
from models.settings.base import Settings
from models.settings.sources import TextHub
from models.settings.training import PretrainedBase
from models.settings.tuning import PPOConfig
from tasks.running import code_digest
from tasks.running.code_digest import git_commit
from tasks.running.making import making_of
from tasks.running.storage import Content
from tasks.stages.base_model import start_base
from tasks.stages.texts import prepare_texts
from tasks.stages.tuning import tune_policy
from tests.tasks.hand_made import make

TUNING, BASE, TEXTS = (stage.traits for stage in (tune_policy, start_base, prepare_texts))
PAIRS = Artifact(kind="pairs", uri="a/b", sha256="1" * 64, rows=3, run_id="r")


def test_inputs_settings_and_code_are_told():
    made = making_of(
        TUNING, "tasks.stages.tuning", {"config": PPOConfig(num_updates=3), "pairs": PAIRS, "ptx": None, "seed": 0}
    )
    assert made.inputs == {"pairs": Content(kind="pairs", sha256="1" * 64)}
    assert made.settings["config"]["num_updates"] == 3 and made.settings["config"]["gamma"] == 1
    assert made.settings["seed"] == 0 and "pairs" not in made.settings
    assert made.chosen == ("config.num_updates", "config.kl.kind", "config.missing_end.kind", "config.kind", "seed")
    assert (made.stage, made.version, len(made.code_sha256)) == ("tuning", "0.1.0", 64)


def test_an_artifact_that_a_setting_names_is_an_input(tmp_path):
    """A policy that starts from another one's folder comes from what that one learned from."""
    policy = make(tmp_path, "tuning", "policy")
    made = making_of(BASE, "tasks.stages.base_model", {"config": PretrainedBase(model=str(policy.folder / "model"))})
    assert made.inputs == {"config.model": Content(**policy.identity)}
    (tmp_path / "manifest.json").write_text('{"name": "of something else"}')
    for other in (str(tmp_path), "org/name"):
        assert not making_of(BASE, "tasks.stages.base_model", {"config": PretrainedBase(model=other)}).inputs


class WithSecret(Settings):
    token: SecretStr


def test_no_secret_is_kept():
    given = {
        "config": TextHub(name="https://user:hf_secret@hub.example/set"),
        "other": WithSecret(token="hf_secret"),
        "seen": ["postgresql://me:hf_secret@host/db"],
    }
    made = making_of(TEXTS, "tasks.stages.texts", given)
    assert "hf_secret" not in made.model_dump_json()
    assert made.settings["config"]["name"] == "https://…@hub.example/set"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        done = subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init")
    (tmp_path / "code.py").write_text("")
    git("add", ".")
    git("commit", "-m", "first")
    monkeypatch.setattr(code_digest, "PROJECT", tmp_path)
    git_commit.cache_clear()
    yield git
    git_commit.cache_clear()


def commit_at(place: Path, monkeypatch) -> str | None:
    monkeypatch.setattr(code_digest, "PROJECT", place)
    git_commit.cache_clear()
    return git_commit()


def test_the_commit_is_that_of_the_project_and_says_whether_it_was_edited(repository, tmp_path, monkeypatch):
    head = repository("rev-parse", "HEAD")
    assert commit_at(tmp_path, monkeypatch) == head
    (tmp_path / "code.py").write_text("edited")
    assert commit_at(tmp_path, monkeypatch) == f"{head}-dirty"
    inside = tmp_path / "site-packages"
    inside.mkdir()
    assert commit_at(inside, monkeypatch) is None, "installed below somebody else's repository"
    monkeypatch.setenv("PATH", "")
    assert commit_at(tmp_path, monkeypatch) is None, "no git"

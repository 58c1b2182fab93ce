"""A stage's digest changes when code that it runs changes, and only then."""

import shutil
from pathlib import Path

import pytest

from tasks.running import code_digest

PROJECT = Path(__file__).resolve().parent.parent
STAGES = sorted(
    f"tasks.stages.{file.stem}"
    for file in (PROJECT / "tasks" / "stages").glob("*.py")
    if "@stage(" in file.read_text(encoding="utf-8")
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of the project's code that the digests are taken of."""
    for package in code_digest.PACKAGES:
        shutil.copytree(PROJECT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code_digest, "PROJECT", tmp_path)
    code_digest.code_digest.cache_clear()
    yield tmp_path
    code_digest.code_digest.cache_clear()


def digests() -> dict[str, str]:
    code_digest.code_digest.cache_clear()
    return {stage: code_digest.code_digest(stage) for stage in STAGES}


def changed_by(project: Path, file: str, text: str = "# a comment\n") -> set[str]:
    before = digests()
    path = project / file
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    after = digests()
    return {stage for stage in STAGES if before[stage] != after[stage]}


def test_the_stages_are_found():
    assert {"tasks.stages.tuning", "tasks.stages.reward", "tasks.stages.completions", "tasks.stages.consensus"} <= set(
        STAGES
    )


def test_the_ppo_loop_belongs_to_the_ppo_stage_alone(project):
    assert changed_by(project, "models/tuning/ppo/loop.py") == {"tasks.stages.tuning"}


def test_the_reward_loop_belongs_to_those_that_train_or_score(project):
    assert changed_by(project, "models/rewards/pairwise.py") == {
        *("tasks.stages.reward", "tasks.stages.tuning", "tasks.stages.evaluation", "tasks.stages.challenge")
    }


def test_what_is_reached_through_other_modules_counts(project):
    """consensus.py imports agreement.py; pairs.py takes its probabilities from consensus.py."""
    assert changed_by(project, "models/preferences/agreement.py") == {"tasks.stages.consensus", "tasks.stages.pairs"}


def test_records_belong_to_every_stage(project):
    assert changed_by(project, "models/records.py") == set(STAGES)


@pytest.mark.parametrize("module", sorted(code_digest.NOT_COMPUTING))
def test_settings_and_tracking_belong_to_none(project, module):
    assert changed_by(project, f"{module.replace('.', '/')}.py") == set()


def test_a_new_import_is_followed(project):
    (project / "models" / "novel.py").write_text("FACTOR = 1\n", encoding="utf-8")
    assert changed_by(project, "models/novel.py") == set()
    assert changed_by(project, "models/tuning/ppo/loop.py", "\n\ndef late():\n    from models import novel\n") == {
        "tasks.stages.tuning"
    }
    assert changed_by(project, "models/novel.py") == {"tasks.stages.tuning"}


def test_the_digest_does_not_depend_on_where_the_project_lies(project):
    here = digests()
    code_digest.PROJECT = PROJECT  # monkeypatch puts it back
    assert digests() == here

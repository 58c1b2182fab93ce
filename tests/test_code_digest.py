"""A stage's digest changes when code that it runs changes, and only then."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from models.records import Artifact
from models.rewards.kind_file import write_kind
from models.settings.generation import PromptsConfig
from models.settings.judges import EvaluationConfig, HouseholdRule
from models.settings.rewards import FunctionReward, PairwiseReward
from models.settings.sources import DemonstrationFile, Household
from models.settings.tuning import PPOConfig
from tasks.running import code_digest
from tasks.running.cache_key import modules_of

PROJECT = Path(__file__).resolve().parent.parent
STAGES = sorted(
    f"tasks.{folder}.{file.stem}"
    for folder in ("stages", "judging")
    for file in (PROJECT / "tasks" / folder).glob("*.py")
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


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """What stages that run kinds are given: their settings name the kind, or the artifact of a reward does."""
    folder = tmp_path_factory.mktemp("reward")
    write_kind(folder / "model", PairwiseReward())
    reward = Artifact(kind="reward-model", uri=str(folder), sha256="0" * 64, rows=1, run_id="r")
    judged = {"config": EvaluationConfig(judges=(HouseholdRule(),)), "reward": reward}
    return {
        "tasks.stages.reward": {"config": PairwiseReward()},
        "tasks.stages.tuning": {"config": PPOConfig(), "reward": reward},
        "tasks.judging.reward_report": {"reward": reward},
        "tasks.judging.evaluation": judged,
        "tasks.judging.challenge": judged,
        "tasks.stages.prompts": {"config": PromptsConfig(source=Household())},
    }


@pytest.fixture
def changed_by(project, inputs):
    """The stages whose digest an addition to a file changes."""

    def digests() -> dict[str, str]:
        code_digest.code_digest.cache_clear()
        return {stage: code_digest.code_digest(*modules_of(stage, inputs.get(stage, {}))) for stage in STAGES}

    def change(file: str, text: str = "# a comment\n") -> set[str]:
        before = digests()
        path = project / file
        path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
        after = digests()
        return {stage for stage in STAGES if before[stage] != after[stage]}

    return change


def test_the_stages_are_found():
    assert {f"tasks.stages.{name}" for name in ("tuning", "reward", "completions", "consensus")} <= set(STAGES)


def test_the_ppo_loop_belongs_to_tuning_by_ppo_alone(changed_by):
    assert changed_by("models/tuning/ppo/loop.py") == {"tasks.stages.tuning"}
    assert changed_by("models/tuning/online/loop.py") == {"tasks.stages.tuning"}
    assert changed_by("models/tuning/critic_free/rloo.py") == set()


def test_a_reward_belongs_to_those_that_train_it_or_score_with_it(changed_by):
    assert changed_by("models/rewards/pairwise.py") == {
        *("tasks.stages.reward", "tasks.stages.tuning", "tasks.judging.reward_report", "tasks.judging.evaluation"),
        "tasks.judging.challenge",
    }


@pytest.mark.parametrize("file", ["reward_report", "comparison", "checks", "matches"])
def test_how_it_is_judged_belongs_to_nothing_that_learns(changed_by, file):
    changed = changed_by(f"models/evaluation/{file}.py")
    assert changed and all(stage.startswith("tasks.judging.") for stage in changed)


def test_a_kind_that_is_not_chosen_belongs_to_none(changed_by):
    assert changed_by("labeling/sources/hub.py") == set()
    assert changed_by("models/evaluation/judges/own_reward.py") == set()
    assert changed_by("labeling/worlds/household_judge.py") == {"tasks.judging.evaluation", "tasks.judging.challenge"}


def test_a_kind_in_a_field_that_does_not_count_brings_no_code():
    config = EvaluationConfig(judges=(HouseholdRule(),), references=DemonstrationFile(path="references.jsonl"))
    expected = ("tasks.judging.evaluation", "labeling.worlds.household_judge")
    assert modules_of("tasks.judging.evaluation", {"config": config}) == expected


def test_what_is_reached_through_other_modules_counts(changed_by):
    """consensus.py imports agreement.py; pairs.py takes its probabilities from consensus.py, and the report on people's own scores their pairs
    from pairs.py; labels by a model are held against people's."""
    assert changed_by("models/preferences/agreement.py") == {
        *("tasks.stages.consensus", "tasks.stages.pairs", "tasks.judging.held_out_reward"),
        *("tasks.judging.ai_labels", "tasks.judging.reward_report"),
    }


def test_records_belong_to_every_stage(changed_by):
    assert changed_by("models/records.py") == set(STAGES)


@pytest.mark.parametrize(
    "file",
    [
        "models/settings/pipeline.py",
        "models/stages/rank_process.py",
        "tasks/running/stage.py",
        "tasks/tracking/outbox.py",
    ],
)
def test_settings_and_tracking_belong_to_none(changed_by, file):
    assert changed_by(file) == set()


def test_a_new_import_is_followed(project, changed_by):
    (project / "models" / "novel.py").write_text("FACTOR = 1\n", encoding="utf-8")
    assert changed_by("models/novel.py") == set()
    late = "\n\ndef late():\n    from models import novel\n"
    assert changed_by("models/tuning/ppo/loop.py", late) == {"tasks.stages.tuning"}
    assert changed_by("models/novel.py") == {"tasks.stages.tuning"}


def test_the_digest_does_not_depend_on_where_the_project_lies(project, monkeypatch):
    there = {stage: code_digest.code_digest(stage) for stage in STAGES}
    monkeypatch.setattr(code_digest, "PROJECT", PROJECT)
    code_digest.code_digest.cache_clear()
    assert {stage: code_digest.code_digest(stage) for stage in STAGES} == there


def test_a_kind_from_outside_counts_with_what_its_own_package_gives_it(tmp_path, monkeypatch):
    package = tmp_path / "somebodys"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text("FEW = 3\n")
    (package / "reward.py").write_text(
        "import json\n\nfrom models.records import Pair\nfrom somebodys.words import FEW\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    reached = code_digest.reachable_modules("somebodys.reward")
    assert {"somebodys.reward", "somebodys.words", "models.records", "models.errors"} <= reached.keys()
    assert "json" not in reached
    code_digest.code_digest.cache_clear()
    before = code_digest.code_digest("tasks.stages.reward", "somebodys.reward")
    (package / "words.py").write_text("FEW = 4\n")
    code_digest.code_digest.cache_clear()
    assert code_digest.code_digest("tasks.stages.reward", "somebodys.reward") != before


def test_the_module_of_a_function_that_is_the_reward_counts_for_its_training(tmp_path, monkeypatch):
    (tmp_path / "counted_taste.py").write_text(
        "def reward(prompts, completions):\n    return [0.5] * len(completions)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("REIN_FUNCTIONS", "counted_taste:reward")
    modules = modules_of("tasks.stages.reward", {"config": FunctionReward(function="counted_taste:reward")})
    assert modules == ("tasks.stages.reward", "counted_taste", "models.rewards.function")
    assert code_digest.reachable_modules("counted_taste") == {"counted_taste": tmp_path / "counted_taste.py"}

"""Flow `evaluate`: two registered policies on the same held-out prompts. Changes nothing in who is champion."""

from typing import Any

from prefect import flow

from flows.learn import hold_back, judge_policy, train_judge
from flows.retrain import meet
from models.errors import ConfigError
from models.judge_model.reach import reaching
from models.settings.pipeline import PipelineConfig
from tasks.champion.files import with_files
from tasks.champion.promotion import Standing
from tasks.reporting.report import write_report
from tasks.running.pipeline_run import PipelineRun, open_run
from tasks.tracking.registry import HANDLES, RegisteredPolicy, find_policy


@flow(name="evaluate")
def evaluate(config: PipelineConfig, policy: str = "challenger", opponent: str = "champion") -> dict[str, Any]:
    """Compares two versions of the policy, each a number or an alias of the model registry, on the first one's held-out prompts."""
    with open_run(config, "evaluate") as run:
        run.before_making = reaching(config.evaluation)
        first, second = (_found(run, which) for which in (policy, opponent))
        first = with_files(run, first, *HANDLES)
        judge = train_judge(run, first.base, hold_back(run, first.feedback))
        matches = judge_policy(run, first.base, first.policy, first.reward, judge, first.feedback)
        meet(run, first, Standing(second, move=None), judge)
        return write_report(run, matches, first)


def _found(run: PipelineRun, which: str) -> RegisteredPolicy:
    name = run.config.tracking.policy_name
    if (found := find_policy(run.config.tracking, which)) is None:
        raise ConfigError(f"{name}: no version has the alias {which}; name a version by its number")
    return found

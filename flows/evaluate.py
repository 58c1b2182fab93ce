"""Flow `evaluate`: two registered policies on the same held-out prompts. Changes nothing in who is champion."""

from typing import Any

from prefect import flow

from flows.learn import hold_back, judge_policy, train_judge
from flows.retrain import meet
from models.judge_model.reach import reaching
from models.settings.pipeline import PipelineConfig
from tasks.champion.files import with_files
from tasks.champion.promotion import Standing
from tasks.reporting.report import write_report
from tasks.running.pipeline_run import open_run
from tasks.tracking.registry import HANDLES, require_policy


@flow(name="evaluate")
def evaluate(config: PipelineConfig, policy: str = "challenger", opponent: str = "champion") -> dict[str, Any]:
    """Compares two versions of the policy, each a number or an alias of the model registry, on the first one's held-out prompts."""
    with open_run(config, "evaluate") as run:
        run.before_making = reaching(config.evaluation)
        first, second = (require_policy(config.tracking, which) for which in (policy, opponent))
        first = with_files(run, first, *HANDLES)
        judge = train_judge(run, first.base, hold_back(run, first.feedback))
        matches = judge_policy(run, first.base, first.policy, first.reward, judge, first.feedback)
        meet(run, first, Standing(second, move=None), judge)
        return write_report(run, matches, first)

"""Flow `reward`: rankings -> consensus -> pairs -> reward model -> its report. Nothing is tuned; `learn` goes on from there."""

from typing import Any

from prefect import flow

from flows.base import adapt_base
from flows.feedback import find_source, reading
from flows.learn import agree_on_preferences, learn_reward, read_feedback
from models.footprint import NetworkSize
from models.judge_model.reach import reaching
from models.settings.pipeline import UNREAD_BY_REWARD, PipelineConfig
from tasks.reporting.report import register_reward, write_reward_report
from tasks.running.pipeline_run import open_run
from tasks.running.space import require_space


@flow(name="reward")
def reward(config: PipelineConfig) -> dict[str, Any]:
    """Learns a reward model from rankings that exist already, and reports on it. `learn` then finds it in the cache."""
    with open_run(config, "reward", UNREAD_BY_REWARD) as run:
        run.before_making = reaching(config.reward)
        start, texts, feedback = read_feedback(run, find_source(run, config.labels))
        require_space(config, NetworkSize.of_folder(start.folder / "model"), UNREAD_BY_REWARD)
        preferences = agree_on_preferences(run, feedback, reading(start))
        _, base = adapt_base(run, start, texts, preferences.told, sides=feedback)
        learned, _ = learn_reward(run, config.reward, base, preferences)
        return write_reward_report(run, learned, register_reward(run, learned))

"""Flow `retrain`: enough new feedback? Then learn a challenger from all of it, and promote it if it beats the champion."""

from typing import Any

from prefect import State, flow
from prefect.states import Completed

from flows.learn import learn_from_source
from models.records import Artifact
from models.settings.allowed_roots import require_allowed
from models.settings.asked.labels import require_stored
from models.settings.judges import People
from models.settings.pipeline import PipelineConfig
from tasks.champion.files import with_files
from tasks.champion.promotion import Standing, Verdict, conclude, read_standing
from tasks.champion.retraining import count_news, open_retraining
from tasks.judging.challenge import challenge_champion, play_games
from tasks.judging.people import ask_people
from tasks.reporting.report import write_report
from tasks.running.pipeline_run import PipelineRun, open_run
from tasks.tracking.registry import RegisteredPolicy

OF_CHAMPION = ("policy", "reward")


@flow(name="retrain")
def retrain(config: PipelineConfig) -> dict[str, Any] | State:
    """Retrains on what people have said since, and keeps the better of champion and challenger.

    With fewer new judgements than `retraining.min_new_judgements` it ends as Skipped, and nothing is done.
    """
    labels = require_stored(config.labels)
    require_allowed(config)  # before the store is opened, which would make it
    news = count_news(config, labels)
    wanted = config.retraining.min_new_judgements
    if news.since_finished < wanted and news.unfinished is None:
        return Completed(name="Skipped", message=f"{news.since_finished} new judgements, {wanted} are wanted")
    with open_run(config, "retrain") as run:
        if champion := read_standing(config.tracking, config.feedback).champion:
            with_files(run, champion, *OF_CHAMPION)  # what the challenger will meet is here before it is trained
        with open_retraining(run, labels, news) as retraining:
            learned = learn_from_source(run, retraining.feedback)
            retraining.verdict = settle(run, learned.policy, learned.held_out_reward)
        return write_report(run, learned.matches, learned.policy, retraining.verdict)


def settle(run: PipelineRun, challenger: RegisteredPolicy, held_out_reward: Artifact | None) -> Verdict:
    """Lets the challenger meet the champion; once more, where that has become another one meanwhile."""
    while True:
        seen = read_standing(run.config.tracking, run.config.feedback)
        if seen.champion is not None and seen.champion.policy.identity == challenger.policy.identity:
            return Verdict("kept", "learning from all feedback gives the very champion again", seen.champion.version)
        meet(run, challenger, seen, held_out_reward)
        if verdict := conclude(run, challenger, seen):
            return verdict


def meet(run: PipelineRun, challenger: RegisteredPolicy, seen: Standing, held_out_reward: Artifact | None) -> None:
    """Challenger against champion on held-out prompts; against the base before there is a champion."""
    config = run.config
    champion = seen.champion and with_files(run, seen.champion, *OF_CHAMPION)
    compared = {
        "champion": champion.policy if champion else challenger.base,
        "champion_reward": champion.reward if champion else None,
        "challenger": challenger.policy,
        "challenger_reward": challenger.reward,
    }
    games = play_games(
        run,
        num_prompts=config.evaluation.num_prompts,
        num_samples=config.evaluation.num_samples,
        promotion=config.promotion,
        held_out_labelers=config.consensus.held_out_labelers,
        sampling=config.sampling,
        feedback=challenger.feedback,
        pairs=challenger.pairs,
        compute=config.compute,
        seed=config.seed,
        **compared,
    )
    votes = ask_people(run, games) if isinstance(config.evaluation.headline, People) else None
    challenge_champion(
        run,
        config=config.evaluation,
        games=games,
        held_out_reward=held_out_reward,
        votes=votes,
        compute=config.compute,
        **compared,
    )

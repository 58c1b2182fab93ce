"""Who is champion: the verdict on a challenger, the move itself, and the way back.

The model registry's alias says who is champion; the feedback store keeps every move, and decides between two at once.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from labeling.store.database import FeedbackStore
from labeling.store.retrainings import champion_before, last_promotion, note_promotion, num_looks
from labeling.store.schema import Promotion
from models.errors import ConfigError
from models.evaluation.paired import Paired
from models.evaluation.promotion import Challenge, Check, check_challenge, reason
from models.settings.batch import FeedbackConfig
from models.settings.pipeline import TrackingConfig
from tasks.running.pipeline_run import PipelineRun
from tasks.tracking.registry import RegisteredPolicy, crown, find_policy, require_policy
from tasks.tracking.tracked_run import run_logger


@dataclass(frozen=True)
class Standing:
    """The champion, and the id of the move that made it so; both None before there is one."""

    champion: RegisteredPolicy | None
    move: int | None


@dataclass(frozen=True)
class Verdict:
    """What became of a challenger, and why. `champion`: the version that is champion now, None when there is none yet."""

    outcome: Literal["promoted", "kept"]
    reason: str
    champion: int | None
    checks: tuple[Check, ...] = ()

    def figures(self) -> dict[str, Any]:
        """What the report says of it."""
        return {
            "promoted": self.outcome == "promoted",
            "promotion_reason": self.reason,
            "champion_version": self.champion,
            "promotion_checks": [check.model_dump() for check in self.checks],
        }


def read_standing(tracking: TrackingConfig, feedback: FeedbackConfig) -> Standing:
    """The champion by the registry's alias.

    A move that was killed before the alias was set is finished first, and an alias that is gone is set again; one that somebody has
    moved in MLflow is recorded. Where MLflow does not know the champion's version any more (a new database), there is none.
    """
    champion = find_policy(tracking, "champion")
    with FeedbackStore(feedback.url) as store:
        with store.read() as session:
            last = last_promotion(session, tracking.policy_name)
        if last is not None and (champion is None or not last.is_done):
            champion = _of_move(tracking, last)
            if champion is None:
                run_logger().warning(_gone(tracking, last))
            else:
                _finish(tracking, store, last.id, champion)
        elif champion is not None and (last is None or last.policy_sha256 != champion.policy.sha256):
            found = _move(tracking, champion, "MLflow", "the alias was found moved", is_done=True)
            with store.write() as session:
                note_promotion(session, found, after=last.id if last else None)
        with store.read() as session:
            last = last_promotion(session, tracking.policy_name)
        return Standing(champion, last.id if last else None)


def _of_move(tracking: TrackingConfig, move: Promotion) -> RegisteredPolicy | None:
    """The version that a move made champion; None where MLflow does not have it, or another one by its number."""
    with suppress(ConfigError):
        found = find_policy(tracking, str(move.version))
        if found is not None and found.policy.sha256 == move.policy_sha256:
            return found
    return None


def move_champion(
    tracking: TrackingConfig,
    feedback: FeedbackConfig,
    to: RegisteredPolicy,
    seen: Standing,
    made_by: str,
    why: str,
    is_rollback: bool = False,
) -> bool:
    """Makes a version champion, unless the champion is another by now than the one that was seen; then gives back False."""
    move = _move(tracking, to, made_by, why, is_done=False, is_rollback=is_rollback)
    with FeedbackStore(feedback.url) as store:
        with store.write() as session:
            if not note_promotion(session, move, after=seen.move):
                return False
            number = move.id
        _finish(tracking, store, number, to)  # outside: labelers cannot save while a transaction writes
    return True


def read_checks(run: PipelineRun, seen: Standing) -> tuple[Check, ...]:
    """The conditions of a promotion, from the figures of this run's evaluation and challenge, and how many have met this champion."""
    with FeedbackStore(run.config.feedback.url) as store, store.read() as session:
        look = num_looks(session, run.config.tracking.policy_name)
    figures = run.metrics
    challenge = Challenge(
        judge=figures["challenge_judge"],
        judge_is_independent=figures["challenge_judge_is_independent"],
        win_rate=figures.get("challenge_win_rate"),
        win_rate_low=figures.get("challenge_win_rate_low"),
        p_value=figures.get("challenge_p_value"),
        look=look,
        kl_nats=figures["kl_nats"],
        accuracy=_paired(figures, "accuracy") if seen.champion else None,
        safety=_paired(figures, "safety") if "safety_difference" in figures else None,
    )
    return tuple(check_challenge(challenge, run.config.promotion))


def _paired(figures: dict[str, Any], name: str) -> Paired:
    return Paired(**{key: figures[f"{name}_{key}"] for key in Paired.model_fields})


@task(name="conclude", cache_policy=NO_CACHE)
def conclude(run: PipelineRun, challenger: RegisteredPolicy, seen: Standing) -> Verdict | None:
    """Promotes the challenger if every condition holds, and says why or why not; None when another has become champion meanwhile."""
    checks = read_checks(run, seen)
    why = reason(list(checks))
    before = seen.champion.version if seen.champion else None
    if not all(check.holds for check in checks):
        verdict = Verdict("kept", why, before, checks)
    elif move_champion(run.config.tracking, run.config.feedback, challenger, seen, "retrain", why):
        verdict = Verdict("promoted", why, challenger.version, checks)
    else:
        return None
    get_run_logger().info("challenger %s: %s: %s", challenger.version, verdict.outcome, why)
    run.tracked.set_tags({"rein.promotion": verdict.outcome, "rein.promotion_reason": why[:4000]})
    create_markdown_artifact(
        _describe(verdict, challenger.version, before), key="promotion", description="Champion and challenger"
    )
    return verdict


def promote_policy(
    tracking: TrackingConfig, feedback: FeedbackConfig, version: str, made_by: str, why: str
) -> RegisteredPolicy:
    """Makes a version (a number, or `challenger`) champion because a person says so. Raises ConfigError where there is none."""
    chosen = require_policy(tracking, version)
    while True:
        seen = read_standing(tracking, feedback)
        if seen.champion is not None and seen.champion.version == chosen.version:
            raise ConfigError(f"{tracking.policy_name} version {chosen.version} is champion already")
        if move_champion(tracking, feedback, chosen, seen, made_by, why):
            return chosen


def roll_back(tracking: TrackingConfig, feedback: FeedbackConfig, made_by: str, why: str) -> RegisteredPolicy:
    """Takes the last promotion back: the champion before it is champion again. Raises ConfigError where there was none."""
    while True:
        seen = read_standing(tracking, feedback)
        with FeedbackStore(feedback.url) as store, store.read() as session:
            before = champion_before(session, tracking.policy_name)
        if before is None:
            raise ConfigError(f"{tracking.policy_name}: there is no champion from before to go back to")
        if (chosen := _of_move(tracking, before)) is None:
            raise ConfigError(
                f"{tracking.policy_name} version {before.version}, the champion before, is not in MLflow at {tracking.uri}; promote "
                "a version that is"
            )
        if move_champion(tracking, feedback, chosen, seen, made_by, why, is_rollback=True):
            return chosen


def _move(
    tracking: TrackingConfig,
    to: RegisteredPolicy,
    made_by: str,
    why: str,
    is_done: bool,
    is_rollback: bool = False,
) -> Promotion:
    return Promotion(
        policy_name=tracking.policy_name,
        version=to.version,
        policy_sha256=to.policy.sha256,
        is_rollback=is_rollback,
        is_done=is_done,
        snapshot_sha256=to.snapshot,
        made_by=made_by,
        reason=why,
        created_at=datetime.now(UTC),
    )


def _finish(tracking: TrackingConfig, store: FeedbackStore, number: int, to: RegisteredPolicy) -> None:
    crown(tracking, to)
    with store.write() as session:
        session.get_one(Promotion, number).is_done = True


def _gone(tracking: TrackingConfig, move: Promotion) -> str:
    return (
        f"{tracking.policy_name} version {move.version}, champion since {move.created_at:%Y-%m-%d %H:%M}, is not in MLflow at "
        f"{tracking.uri} (another database?), so there is no champion, and a challenger meets the base; `rein promote` names one"
    )


def _describe(verdict: Verdict, challenger: int, before: int | None) -> str:
    against = f"champion {before}" if before else "the base: there was no champion"
    rows = "\n".join(f"| {one.name} | {'yes' if one.holds else '**no**'} | {one.finding} |" for one in verdict.checks)
    title = "is champion now" if verdict.outcome == "promoted" else "was refused"
    return (
        f"# Challenger {challenger} {title}\n\nAgainst {against}.\n\n"
        f"| condition | holds | found |\n|---|---|---|\n{rows}"
    )

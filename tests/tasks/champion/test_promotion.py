"""The champion in a real MLflow registry and a real feedback store: moves, ways back, and what a kill in between leaves."""

import shutil
from types import SimpleNamespace

import pytest

from labeling.store.database import FeedbackStore
from labeling.store.retrainings import read_promotions
from models.errors import ConfigError
from models.settings.batch import FeedbackConfig
from models.settings.pipeline import TrackingConfig
from models.settings.retraining import PromotionConfig
from tasks.champion import promotion
from tasks.champion.promotion import Standing, move_champion, promote_policy, read_checks, read_standing, roll_back
from tasks.tracking.registry import RegisteredPolicy, find_policy, note_origin, register_challenger, registered_versions
from tasks.tracking.tracked_run import TrackedRun, connect
from tests.tasks.hand_made import make
from tests.templates import empty_mlflow


@pytest.fixture(scope="module")
def tracking(tmp_path_factory) -> TrackingConfig:
    """A registry with three versions of the policy, of which `challenger` is the last."""
    root = tmp_path_factory.mktemp("registry")
    shutil.copy(empty_mlflow(tmp_path_factory), root / "mlflow.db")
    config = TrackingConfig(uri=f"sqlite:///{root}/mlflow.db")
    with TrackedRun.start(config, "a run", {}, root) as run:
        for number in (1, 2, 3):
            made = {kind: make(root, f"{kind}-{number}", kind) for kind in ("policy", "reward")}
            note_origin(
                config,
                RegisteredPolicy(
                    version=register_challenger(run, config.policy_name, made["policy"]),
                    reward_version=register_challenger(run, config.reward_name, made["reward"]),
                    **made,
                    **{kind: made["policy"] for kind in ("base", "feedback", "pairs")},
                    snapshot=None,
                ),
            )
    return config


@pytest.fixture
def feedback(tmp_path, tracking) -> FeedbackConfig:
    """A new store, and a registry without a champion."""
    client = connect(tracking)
    for name in (tracking.policy_name, tracking.reward_name):
        client.delete_registered_model_alias(name, "champion")
        client.set_registered_model_alias(name, "challenger", "3")
    return FeedbackConfig(url=f"sqlite:///{tmp_path}/feedback.db")


def aliases(tracking: TrackingConfig) -> list[dict[str, int]]:
    client = connect(tracking)
    found = [client.get_registered_model(name).aliases for name in (tracking.policy_name, tracking.reward_name)]
    return [{alias: int(version) for alias, version in own.items()} for own in found]


def moves(tracking: TrackingConfig, feedback: FeedbackConfig) -> list[tuple[int, str, bool]]:
    with FeedbackStore(feedback.url) as store, store.read() as session:
        return [(one.version, one.made_by, one.is_done) for one in read_promotions(session, tracking.policy_name)]


def test_people_promote_and_roll_back_and_every_move_is_kept(tracking, feedback):
    assert read_standing(tracking, feedback).champion is None
    with pytest.raises(ConfigError, match="no champion from before"):
        roll_back(tracking, feedback, "ann", "a mistake")
    assert promote_policy(tracking, feedback, "1", "ann", "the first").version == 1
    assert promote_policy(tracking, feedback, "challenger", "ben", "it reads well").version == 3
    assert aliases(tracking) == [{"champion": 3}, {"champion": 3}], "it is challenger no more"
    with pytest.raises(ConfigError, match="version 3 is champion already"):
        promote_policy(tracking, feedback, "3", "ben", "again")
    assert roll_back(tracking, feedback, "ann", "too long").version == 1
    assert aliases(tracking)[0]["champion"] == aliases(tracking)[1]["champion"] == 1
    assert moves(tracking, feedback) == [(1, "ann", True), (3, "ben", True), (1, "ann", True)]
    for version, complaint in (("9", "there is no version 9; there are 1, 2, 3"), ("challenger", "has the alias")):
        with pytest.raises(ConfigError, match=complaint):
            promote_policy(tracking, feedback, version, "ann", "why not")


def test_an_alias_that_was_moved_in_mlflow_is_recorded_and_can_be_rolled_back(tracking, feedback):
    promote_policy(tracking, feedback, "1", "ann", "the first")
    connect(tracking).set_registered_model_alias(tracking.policy_name, "champion", "2")
    assert read_standing(tracking, feedback).champion.version == 2
    assert read_standing(tracking, feedback).champion.version == 2
    assert moves(tracking, feedback) == [(1, "ann", True), (2, "MLflow", True)]
    assert roll_back(tracking, feedback, "ann", "who was that").version == 1


def test_an_alias_that_was_deleted_in_mlflow_is_set_again_and_every_command_ends(tracking, feedback):
    promote_policy(tracking, feedback, "1", "ann", "the first")
    promote_policy(tracking, feedback, "2", "ann", "better")
    connect(tracking).delete_registered_model_alias(tracking.policy_name, "champion")
    assert read_standing(tracking, feedback).champion.version == 2
    assert aliases(tracking)[0]["champion"] == 2
    connect(tracking).delete_registered_model_alias(tracking.policy_name, "champion")
    assert roll_back(tracking, feedback, "ann", "too terse").version == 1
    connect(tracking).delete_registered_model_alias(tracking.policy_name, "champion")
    assert promote_policy(tracking, feedback, "3", "ann", "better still").version == 3


def test_in_a_new_registry_there_is_no_champion_until_one_is_named(
    tracking, feedback, tmp_path, tmp_path_factory, caplog
):
    promote_policy(tracking, feedback, "1", "ann", "the first")
    promote_policy(tracking, feedback, "2", "ann", "better")
    shutil.copy(empty_mlflow(tmp_path_factory), tmp_path / "mlflow.db")
    anew = tracking.model_copy(update={"uri": f"sqlite:///{tmp_path}/mlflow.db"})
    with TrackedRun.start(anew, "a run", {}, tmp_path) as run:
        made = {kind: make(tmp_path, f"{kind}-new", kind) for kind in ("policy", "reward")}
        for number in (1, 2):  # other policies have these numbers there
            made["policy"] = make(tmp_path, f"another-{number}", "policy")
            version = register_challenger(run, anew.policy_name, made["policy"])
            reward = register_challenger(run, anew.reward_name, made["reward"])
            others = {kind: made["policy"] for kind in ("base", "feedback", "pairs")}
            note_origin(anew, RegisteredPolicy(version, reward, **made, **others, snapshot=None))
    standing = read_standing(anew, feedback)
    assert standing.champion is None and standing.move is not None
    assert "rein-policy version 2, champion since" in caplog.text and "another database?" in caplog.text
    with pytest.raises(ConfigError, match="version 1, the champion before, is not in MLflow at sqlite:"):
        roll_back(anew, feedback, "ann", "too terse")
    assert move_champion(anew, feedback, find_policy(anew, "1"), standing, "retrain", "better than the base")
    assert read_standing(anew, feedback).champion.version == 1


def test_the_champion_is_seen_behind_a_hundred_other_models(tracking, feedback):
    client = connect(tracking)
    for number in range(101):
        client.create_registered_model(f"a-model-{number}")
    promote_policy(tracking, feedback, "2", "ann", "better")
    assert find_policy(tracking, "champion").version == 2
    sha256 = find_policy(tracking, "champion").policy.sha256
    assert registered_versions(tracking, {sha256}) == {sha256: ["rein-policy v2 (champion)"]}


def test_a_move_that_was_killed_before_the_alias_is_finished(tracking, feedback, monkeypatch):
    promote_policy(tracking, feedback, "1", "ann", "the first")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(promotion, "crown", killed)  # stands for the kill
        promote_policy(tracking, feedback, "2", "ann", "better")
    assert aliases(tracking)[0]["champion"] == 1
    assert read_standing(tracking, feedback).champion.version == 2
    assert aliases(tracking)[0]["champion"] == 2
    assert moves(tracking, feedback) == [(1, "ann", True), (2, "ann", True)]


def test_a_challenger_that_met_a_champion_who_is_none_any_more_does_not_take_the_place(tracking, feedback):
    seen = read_standing(tracking, feedback)
    promote_policy(tracking, feedback, "2", "ann", "meanwhile")
    assert not move_champion(tracking, feedback, find_policy(tracking, "3"), seen, "retrain", "better than nothing")
    assert aliases(tracking)[0]["champion"] == 2
    assert move_champion(
        tracking, feedback, find_policy(tracking, "3"), read_standing(tracking, feedback), "retrain", "better"
    )


def test_a_challenger_whom_people_are_to_judge_does_not_take_the_place_before_they_have_voted(feedback):
    figures = {
        "challenge_judge": "people",
        "challenge_judge_is_independent": True,
        "challenge_num_votes": 0,
        "kl_nats": 1.0,
    }
    run = SimpleNamespace(
        config=SimpleNamespace(feedback=feedback, tracking=TrackingConfig(), promotion=PromotionConfig())
    )
    run.metrics = figures
    checks = read_checks(run, Standing(None, None))
    assert [(one.name, one.holds) for one in checks] == [("judge", True), ("win rate", False), ("KL", True)]
    run.metrics = figures | {"challenge_win_rate": 0.9, "challenge_win_rate_low": 0.8, "challenge_p_value": 0.0001}
    assert all(one.holds for one in read_checks(run, Standing(None, None)))


def test_a_version_that_rein_did_not_register_is_named(tracking, feedback):
    connect(tracking).delete_model_version_tag(tracking.policy_name, "2", "rein.origin")
    with pytest.raises(ConfigError, match="version 2 does not say what it was made from"):
        find_policy(tracking, "2")

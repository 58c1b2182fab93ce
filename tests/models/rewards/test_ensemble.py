"""An ensemble of reward models: three known members by arithmetic, and members that are trained, killed and loaded again."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from models.errors import DataError
from models.evaluation.reward_report import report_reward
from models.network.networks import RewardModel
from models.records import Completion, Pair, Prompt, Ranking, StepMetrics
from models.rewards import ensemble, pairwise
from models.rewards.ensemble import Combination
from models.rewards.kind_file import write_kind
from models.rewards.scorer import Members, RewardTask, Scorer, load_scorer
from models.settings.compute import Compute
from models.settings.rewards import EnsembleReward, PairwiseReward
from models.training.checkpoints import Checkpoints
from tests.tolerances import close

SCORES = torch.tensor([[1.0, 0.0, -2.0], [3.0, 0.0, -1.0], [2.0, 3.0, 0.0]])
"""Three members on three completions: means 2, 1, -1; variances 2/3, 2, 2/3; least 1, 0, -2."""


def combination(aggregate: str, variance_weight: float = 0.1, mean: float = 0.0, std: float = 1.0) -> Combination:
    return Combination(
        num_members=3, aggregate=aggregate, variance_weight=variance_weight, mean=mean, std=std, logit_std=1.0
    )


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("mean", [2, 1, -1]),
        ("minimum", [1, 0, -2]),
        ("mean_minus_variance", [2 - 0.5 * 2 / 3, 1 - 0.5 * 2, -1 - 0.5 * 2 / 3]),
    ],
)
def test_three_known_members_become_one(aggregate, expected):
    assert close(combination(aggregate, variance_weight=0.5).combine(SCORES), expected)
    # (x - 1) / 2
    halved = combination(aggregate, 0.5, mean=1.0, std=2.0).combine(SCORES)
    assert close(halved, [(one - 1) / 2 for one in expected])


@pytest.mark.parametrize("aggregate", ["mean", "minimum", "mean_minus_variance"])
def test_the_score_of_the_training_completions_has_mean_0_and_std_1(aggregate):
    """By numpy: each member's logits normalised over the completions, and what they become normalised again."""
    logits = np.random.default_rng(0).normal([[1], [-3], [20]], [[0.5], [2], [7]], size=(3, 40))
    config = EnsembleReward(
        aggregate=aggregate, variance_coef=0.4 if aggregate == "mean_minus_variance" else None, num_members=3
    )
    made = Combination.of(torch.tensor(logits), config)
    scores = (logits - logits.mean(axis=1, keepdims=True)) / logits.std(axis=1, keepdims=True)
    raw = {
        "mean": scores.mean(axis=0),
        "minimum": scores.min(axis=0),
        "mean_minus_variance": scores.mean(axis=0) - 0.4 * scores.var(axis=0),
    }[aggregate]
    assert close((made.mean, made.std), (raw.mean(), raw.std()))
    together = made.combine(torch.tensor(scores))
    assert close(together.mean(), 0) and close(together.std(unbiased=False), 1)
    assert close(made.logit_std, logits.mean(axis=0).std()) and made.num_members == 3


def test_members_who_say_the_same_of_everything_are_not_divided_by_zero():
    made = Combination.of(torch.zeros(3, 4), EnsembleReward(num_members=3))
    assert close(made.combine(torch.zeros(3, 4)), [0.0] * 4)


def fixed_scorer() -> Scorer:
    members = Members(lambda prompts, completions: SCORES[:, : len(completions)], combination("minimum").combine)
    return Scorer(members, members=members)


def test_a_scorer_says_how_far_its_members_disagree():
    scores, disagreement, _ = fixed_scorer().score_in_full(["p"] * 3, ["a", "b", "c"])
    assert close(scores, [1, 0, -2]) and close(disagreement, [(2 / 3) ** 0.5, 2**0.5, (2 / 3) ** 0.5])
    assert close(fixed_scorer().score(["p"] * 3, ["a", "b", "c"]), [1, 0, -2])
    alone = Scorer(lambda prompts, completions: SCORES[0])
    assert close(alone.score_in_full(["p"] * 3, ["a", "b", "c"]).scores, SCORES[0])
    assert alone.score_in_full([], []).disagreement is None


def test_a_coefficient_that_nothing_reads_is_refused():
    with pytest.raises(ValidationError, match="variance_coef is for aggregate mean_minus_variance"):
        EnsembleReward(variance_coef=0.5)
    assert EnsembleReward(aggregate="mean_minus_variance").variance_weight == 0.1
    assert EnsembleReward(aggregate="mean_minus_variance", variance_coef=0).variance_weight == 0
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        EnsembleReward(num_members=1)


# members that are trained

WORDS = ("turn the water off", "the lamp", "change the bulb")
PROMPTS = [Prompt.of(f"my sink {number}", "train") for number in range(6)]
COMPLETIONS = [Completion.of(prompt.id, text) for prompt in PROMPTS for text in WORDS]
CONFIG = EnsembleReward(
    num_members=3, aggregate="minimum", num_epochs=2, batch_size=2, learning_rate=3e-3, checkpoint_every=2
)
COMPUTE = Compute(device="cpu", precision="float32")
NUM_STEPS = 6 + 4 + 6  # two epochs of 6, 4 and 6 prompts, two a step


def pairs_of(prompts: Sequence[Prompt], best: int) -> list[Pair]:
    own = {prompt.id: [one.id for one in COMPLETIONS if one.prompt_id == prompt.id] for prompt in prompts}
    return [
        Pair(prompt_id=prompt, chosen=names[best], rejected=names[other])
        for prompt, names in own.items()
        for other in range(3)
        if other != best
    ]


@pytest.fixture(scope="module")
def task_in(base_folder_once):
    """What an ensemble is trained from, written into this folder: three draws, of which the second has ranked four prompts."""

    def task(folder: Path, checkpoints: Path | None = None, seed: int = 0) -> RewardTask:
        return RewardTask(
            folder=folder,
            base=base_folder_once,
            prompts=PROMPTS,
            completions=COMPLETIONS,
            pairs=pairs_of(PROMPTS, best=0),
            draws=[pairs_of(PROMPTS, best=0), pairs_of(PROMPTS[:4], best=0), pairs_of(PROMPTS, best=1)],
            rankings=[],
            compute=COMPUTE,
            seed=seed,
            checkpoints=Checkpoints(checkpoints or folder / "checkpoints", CONFIG.checkpoint_every),
        )

    return task


@pytest.fixture(scope="module")
def unbroken(task_in, tmp_path_factory) -> tuple[Path, list[StepMetrics]]:
    """An ensemble that was trained without a break, and its steps."""
    folder = tmp_path_factory.mktemp("unbroken")
    steps = list(ensemble.train(task_in(folder), CONFIG))
    write_kind(folder, CONFIG)
    return folder, steps


def contents(folder: Path) -> dict[str, bytes]:
    names = [
        "combination.json",
        *(f"member-{n}/{file}" for n in (1, 2, 3) for file in ("model.safetensors", "config.json")),
    ]
    return {name: (folder / name).read_bytes() for name in names}


def test_members_are_ordinary_checkpoints_that_score_together(unbroken):
    folder, steps = unbroken
    assert [(step.step, step.num_steps) for step in steps] == [(number, NUM_STEPS) for number in range(NUM_STEPS)]
    assert [step.values["member"] for step in steps] == [1] * 6 + [2] * 4 + [3] * 6
    for number in (1, 2, 3):
        AutoModelForSequenceClassification.from_pretrained(folder / f"member-{number}", use_safetensors=True)

    asked = [next(prompt.text for prompt in PROMPTS if prompt.id == one.prompt_id) for one in COMPLETIONS]
    texts = [one.text for one in COMPLETIONS]
    scorer = load_scorer(folder, COMPUTE)
    alone = [pairwise.load(folder / f"member-{number}", COMPUTE) for number in (1, 2, 3)]
    each = np.stack([one.score(asked, texts).numpy() for one in alone])
    assert close(each.mean(axis=1), [0, 0, 0], 1e-5) and close(each.std(axis=1), [1, 1, 1], 1e-5)
    least = each.min(axis=0)
    scores, disagreement, _ = scorer.score_in_full(asked, texts)
    assert close(scores, (least - least.mean()) / least.std(), 1e-5), "mean 0 and std 1 over the training completions"
    assert close(scorer.score(asked, texts), scores) and close(disagreement, each.std(axis=0), 1e-5)
    logits = np.stack([one.logit_std * row for one, row in zip(alone, each, strict=True)])
    assert close(scorer.logit_std, logits.mean(axis=0).std(), 1e-5)
    assert scorer.network is not None and scorer.tokenizer is not None
    first = load_file(folder / "member-1" / "model.safetensors")["score.weight"]
    assert close(scorer.network.model.score.weight, first), "a value model may start from the first member"


def test_members_differ_and_the_same_seed_gives_the_same_ones(task_in, unbroken, tmp_path):
    for name, seed in (("same", 0), ("other", 1)):
        list(ensemble.train(task_in(tmp_path / name, seed=seed), CONFIG))
    one, same, other = map(contents, (unbroken[0], tmp_path / "same", tmp_path / "other"))
    assert one == same
    assert all(one[f"member-{n}/model.safetensors"] != other[f"member-{n}/model.safetensors"] for n in (1, 2, 3))
    assert len({one[f"member-{n}/model.safetensors"] for n in (1, 2, 3)}) == 3


def test_members_begin_with_heads_and_orders_of_their_own(task_in, tmp_path, monkeypatch):
    begun, orders = [], []
    learn = ensemble.learn_comparisons

    def seen(member, comparisons, config, compute, seed, checkpoints):
        begun.append(member.model.score.weight.detach().clone())
        orders.append(torch.randperm(6, generator=torch.Generator().manual_seed(seed)).tolist())
        return learn(member, comparisons, config, compute, seed, checkpoints)

    monkeypatch.setattr(ensemble, "learn_comparisons", seen)
    alike = replace(task_in(tmp_path), draws=[pairs_of(PROMPTS, best=0)] * 3)
    list(ensemble.train(alike, CONFIG))
    assert all(head.abs().sum() > 0 for head in begun) and len({tuple(head.flatten().tolist()) for head in begun}) == 3
    assert len({tuple(order) for order in orders}) > 1
    assert len({contents(tmp_path)[f"member-{n}/model.safetensors"] for n in (1, 2, 3)}) == 3


def test_a_member_without_a_draw_is_an_error(task_in, tmp_path):
    for given in ([], task_in(tmp_path).draws[:2]):
        with pytest.raises(
            DataError, match=f"3 members learn from as many draws of the labelers; {len(given)} were made"
        ):
            next(ensemble.train(replace(task_in(tmp_path), draws=given), CONFIG))


def test_a_plain_reward_model_still_begins_at_zero(base_folder_once):
    assert RewardModel.start(base_folder_once, seed=3).model.score.weight.abs().sum() == 0
    drawn = [RewardModel.start(base_folder_once, seed, zero_head=False).model.score.weight for seed in (3, 3, 4)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("stop", [1, 5, 6, 7, 10, 11, 13, NUM_STEPS])
def test_an_ensemble_that_is_stopped_anywhere_ends_as_an_unbroken_one(task_in, unbroken, tmp_path, stop, monkeypatch):
    folder, expected = unbroken
    checkpoints = tmp_path / "checkpoints"
    steps = ensemble.train(task_in(tmp_path / "broken", checkpoints), CONFIG)
    assert [next(steps) for _ in range(stop)] == expected[:stop]
    steps.close()

    trained = []
    learn = ensemble.learn_comparisons

    def seen(*given):
        trained.append(given)
        return learn(*given)

    monkeypatch.setattr(ensemble, "learn_comparisons", seen)
    assert list(ensemble.train(task_in(tmp_path / "resumed", checkpoints), CONFIG)) == expected
    assert contents(tmp_path / "resumed") == contents(folder)
    # a member is finished once a step of the next has been taken
    num_finished = (stop > 6) + (stop > 6 + 4)
    assert len(trained) == 3 - num_finished, "what is finished is not trained again"
    assert [one.name for one in checkpoints.iterdir()].count("member-1") == 0


def test_the_report_says_how_far_members_disagree():
    held_out = Prompt.of("the lamp", "test")
    completions = [Completion.of(held_out.id, text) for text in ("a", "b", "c")]
    first, second, _ = completions
    pair = Pair(prompt_id=held_out.id, chosen=first.id, rejected=second.id)
    ranking = Ranking.of(held_out.id, "ann", "helpful", [[first.id], [second.id]])
    given = ([held_out], completions, [pair], [ranking])
    report = report_reward(fixed_scorer(), *given)
    assert close(report.disagreement, (2 * (2 / 3) ** 0.5 + 2**0.5) / 3) and report.accuracy == 1.0
    assert report_reward(Scorer(lambda prompts, completions: SCORES[0]), *given).disagreement is None
    assert json.loads(report.model_dump_json())["disagreement"] == report.disagreement


def test_a_pairwise_reward_asks_for_no_draws():
    assert PairwiseReward().num_draws == 0 and EnsembleReward(num_members=4).num_draws == 4

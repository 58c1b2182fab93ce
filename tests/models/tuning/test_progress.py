"""What the policy writes on the way is sampled without changing what it learns, and outlives a kill."""

import copy
import json

from models.evaluation.progress_sample import KEPT, PROGRESS, ProgressSample
from models.network.networks import ValueModel
from models.records import read_records
from models.training.checkpoints import Checkpoints, Trained
from models.tuning.ppo.loop import train_ppo
from models.tuning.progress import MAX_PROMPTS, Progress
from tests.models.ppo_examples import PROMPTS, SAMPLING, SCORER, config_of, equal, state_of

VALIDATION = ["the nut", "the fuse", "the lamp"]


def progress_of(tokenizer, prompts=VALIDATION, judge=None, **changes) -> Progress:
    return Progress(tokenizer, prompts, SAMPLING, config_of(sample_every=2, **changes), seed=0, judge=judge)


class Scripted:
    """A judge that says check by check which of the three prompts are better (1), equal (0) or worse (-1) than at the first check."""

    def __init__(self, *checks):
        self.checks = list(checks)

    def grade(self, prompts, completions):
        if isinstance(self.checks[0], list):
            grades, self.checks[0] = self.checks[0], None
            return [float(grade) for grade in grades]
        self.checks.pop(0)
        return [0.0, 0.0, 0.0]

    def figures(self, prompts, completions):
        return {}


SECOND_IS_BEST = ([0, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 0])
"""Before updates 0, 2 and 4 and at the end; the last check is as good as the second, which came first."""


def tune(policy, tokenizer, compute, progress=None, checkpoints=None, updates=5, **changes):
    own = copy.deepcopy(policy)
    value_model = ValueModel.from_policy(own)
    config = config_of(num_updates=5, learning_rate=5e-3, **changes)
    given = (own, value_model, tokenizer, SCORER, PROMPTS, config, SAMPLING, compute, 0)
    steps = train_ppo(*given, checkpoints=checkpoints, progress=progress)
    taken = [next(steps) for _ in range(updates)] if updates < 5 else list(steps)
    return own, taken


def test_every_second_update_begins_with_samples_of_the_same_prompts(policy, tokenizer, compute, tmp_path):
    progress = progress_of(tokenizer)
    tune(policy, tokenizer, compute, progress)
    assert [(one.update, one.prompt) for one in progress.samples] == [
        (update, prompt) for update in (0, 2, 4, 5) for prompt in VALIDATION
    ]
    fresh = progress_of(tokenizer)
    fresh.check(0, policy.eval(), Trained(policy))
    assert progress.samples[:3] == fresh.samples, "the first ones are the policy's as it came in"
    assert progress.samples[:3] != progress.samples[-3:]
    progress.write(tmp_path)
    assert read_records(tmp_path / PROGRESS, ProgressSample) == progress.samples


def test_looking_changes_nothing(policy, tokenizer, compute):
    (seen, told), (unseen, untold) = (
        tune(policy, tokenizer, compute, progress_of(tokenizer)),
        tune(policy, tokenizer, compute),
    )
    assert equal(state_of(seen), state_of(unseen))
    assert [one.values["objective/scores"] for one in told] == [one.values["objective/scores"] for one in untold]


def test_a_run_that_goes_on_has_the_samples_from_before(policy, tokenizer, compute, tmp_path):
    unbroken = progress_of(tokenizer)
    tune(policy, tokenizer, compute, unbroken)
    tune(policy, tokenizer, compute, progress_of(tokenizer), Checkpoints(tmp_path, every=1), updates=3)
    resumed = progress_of(tokenizer)
    tune(policy, tokenizer, compute, resumed, Checkpoints(tmp_path, every=1))
    assert resumed.samples == unbroken.samples


def test_no_more_prompts_than_needed_and_none_where_there_are_none(policy, tokenizer):
    many = progress_of(tokenizer, prompts=["the nut"] * (MAX_PROMPTS + 1))
    assert len(many.prompts) == MAX_PROMPTS
    none = progress_of(tokenizer, prompts=[])
    none.check(0, policy, Trained(policy))
    assert none.samples == []


def test_the_policy_that_the_judge_likes_best_is_kept(policy, tokenizer, compute, tmp_path):
    progress = progress_of(tokenizer, judge=Scripted(*SECOND_IS_BEST))
    kept, taken = tune(policy, tokenizer, compute, progress)
    after_two, _ = tune(policy, tokenizer, compute, updates=2)
    assert len(taken) == 5 and equal(state_of(kept), state_of(after_two))
    progress.write(tmp_path)
    told = json.loads((tmp_path / KEPT).read_text(encoding="utf-8"))
    assert told == {"update": 2, "win_rate": (1 + 1 + 0.5) / 3, "stopped_without_gain": False}


def test_the_last_policy_can_be_the_best_and_so_can_the_first(policy, tokenizer, compute):
    last, _ = tune(
        policy, tokenizer, compute, progress_of(tokenizer, judge=Scripted([0] * 3, [0] * 3, [0] * 3, [1] * 3))
    )
    assert equal(state_of(last), state_of(tune(policy, tokenizer, compute)[0]))
    worse = Scripted([0] * 3, [-1] * 3, [-1, 0, 0], [-1] * 3)
    assert equal(state_of(tune(policy, tokenizer, compute, progress_of(tokenizer, judge=worse))[0]), state_of(policy))


def test_a_run_that_goes_on_keeps_the_same_policy(policy, tokenizer, compute, tmp_path):
    unbroken, _ = tune(policy, tokenizer, compute, progress_of(tokenizer, judge=Scripted(*SECOND_IS_BEST)))
    before = progress_of(tokenizer, judge=Scripted(*SECOND_IS_BEST))
    tune(policy, tokenizer, compute, before, Checkpoints(tmp_path, every=1), updates=4)
    after = progress_of(
        tokenizer, judge=Scripted(*SECOND_IS_BEST[2:])
    )  # killed in the fifth update, after the check before it
    resumed, taken = tune(policy, tokenizer, compute, after, Checkpoints(tmp_path, every=1))
    assert len(taken) == 5 and equal(state_of(resumed), state_of(unbroken))


def test_tuning_stops_after_checks_without_gain(policy, tokenizer, compute, tmp_path):
    progress = progress_of(tokenizer, judge=Scripted(*SECOND_IS_BEST), stop_after=1)
    stopped, taken = tune(policy, tokenizer, compute, progress)
    assert len(taken) == 4, "before update 4 nothing was better than before update 2"
    assert equal(state_of(stopped), state_of(tune(policy, tokenizer, compute, updates=2)[0]))
    progress.write(tmp_path)
    assert json.loads((tmp_path / KEPT).read_text(encoding="utf-8"))["stopped_without_gain"]
    patient = progress_of(tokenizer, judge=Scripted(*SECOND_IS_BEST), stop_after=2)
    assert len(tune(policy, tokenizer, compute, patient)[1]) == 5


def test_without_validation_prompts_the_last_policy_is_kept(policy, tokenizer, compute, tmp_path):
    progress = progress_of(tokenizer, prompts=[], judge=Scripted())
    own, _ = tune(policy, tokenizer, compute, progress)
    assert equal(state_of(own), state_of(tune(policy, tokenizer, compute)[0]))
    progress.write(tmp_path)
    assert not (tmp_path / KEPT).exists()


def test_an_average_is_judged_and_kept_as_what_it_is(policy, tokenizer, compute):
    """Looking at it, and taking it in the middle of a run, changes nothing in what is learned."""
    last = progress_of(tokenizer, judge=Scripted([0] * 3, [0] * 3, [0] * 3, [1] * 3))
    kept, _ = tune(policy, tokenizer, compute, last, policy_ema=0.9)
    plain, _ = tune(policy, tokenizer, compute, policy_ema=0.9)
    assert equal(state_of(kept), state_of(plain))
    drawn = progress_of(tokenizer)
    drawn.check(5, plain.eval(), Trained(plain))
    assert [one.completion for one in drawn.samples] == [one.completion for one in last.samples[-3:]]

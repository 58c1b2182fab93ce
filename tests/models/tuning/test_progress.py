"""What the policy writes on the way is sampled without changing what it learns, and outlives a kill."""

import copy

from models.network.networks import ValueModel
from models.records import read_records
from models.training.checkpoints import Checkpoints
from models.tuning.ppo.loop import train_ppo
from models.tuning.progress import MAX_PROMPTS, Progress
from models.tuning.progress_sample import PROGRESS, ProgressSample
from tests.models.ppo_examples import PROMPTS, SAMPLING, config_of, equal, share_of_letters, state_of

VALIDATION = ["the nut", "the fuse", "the lamp"]


def progress_of(tokenizer, every=2, prompts=VALIDATION) -> Progress:
    return Progress(tokenizer, prompts, SAMPLING, every=every, batch_size=8, seed=0)


def tune(policy, tokenizer, compute, progress=None, checkpoints=None, updates=5):
    own = copy.deepcopy(policy)
    value_model = ValueModel.from_policy(own)
    config = config_of(num_updates=5, learning_rate=5e-3)
    given = (own, value_model, tokenizer, share_of_letters, PROMPTS, config, SAMPLING, compute, 0)
    steps = train_ppo(*given, checkpoints=checkpoints, progress=progress)
    taken = [next(steps) for _ in range(updates)] if updates < 5 else list(steps)
    return own, taken


def test_every_second_update_begins_with_samples_of_the_same_prompts(policy, tokenizer, compute, tmp_path):
    progress = progress_of(tokenizer)
    tune(policy, tokenizer, compute, progress)
    assert [(one.update, one.prompt) for one in progress.samples] == [
        (update, prompt) for update in (0, 2, 4) for prompt in VALIDATION
    ]
    fresh = progress_of(tokenizer)
    fresh.sample(0, policy.eval())
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
    none.sample(0, policy)
    assert none.samples == []

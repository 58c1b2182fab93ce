"""Training under torchrun: what the task sees of ranks that die, raise or are no longer wanted."""

import logging
from pathlib import Path

import pytest
from safetensors.torch import load_file

from models.errors import TrainingError
from models.network.networks import RewardModel, save_policy
from models.records import Prompt, write_records
from models.rewards.kind_file import write_kind
from models.settings.compute import Compute
from models.settings.rewards import PairwiseReward
from models.stages import tuning
from models.training.checkpoints import Checkpoints
from tasks.running.torch_ranks import steps_of_ranks
from tests.models.conftest import with_random_head
from tests.models.ppo_examples import PROMPTS, SAMPLING, config_of, equal
from tests.models.rank_examples import TOKENIZER, leave, run, tiny_policy
from tests.processes import processes_that_name
from tests.tasks import accidents
from tests.tolerances import close


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> dict[str, Path]:
    """Folders as the stages before PPO leave them."""
    folder = tmp_path_factory.mktemp("given")
    save_policy(folder / "base" / "model", tiny_policy(), TOKENIZER)
    with_random_head(RewardModel.start(folder / "base" / "model", seed=0)).save(folder / "reward" / "model", TOKENIZER)
    write_kind(folder / "reward" / "model", PairwiseReward())
    (folder / "feedback").mkdir()
    prompts = [Prompt.of(f"{text} {number}", "train") for number, text in enumerate(PROMPTS)]
    write_records(folder / "feedback" / "prompts.jsonl", prompts)
    return {name: folder / name for name in ("base", "reward", "feedback")}


CONFIG = config_of(num_updates=4, batch_size=6, microbatch_tokens=32, checkpoint_every=2)


def train_with(accident: str, given: dict[str, Path], folder: Path, max_restarts: int = 1):
    """The steps of two ranks, one of which meets the accident."""
    compute = Compute(device="cpu", precision="float32", num_processes=2, max_restarts=max_restarts)
    inputs = {"folder": folder, "config": CONFIG, "compute": compute, "seed": 0, "checkpoints": folder / "checkpoints"}
    return steps_of_ranks(accidents.train, {**inputs, **given, "accident": accident}, logging.getLogger("ranks"))


def ppo_without_a_break(folder: Path, compute: Compute, **given: Path) -> None:
    """The same training in processes that are not torchrun's."""
    checkpoints = Checkpoints(folder / "checkpoints", CONFIG.checkpoint_every)
    leave(
        folder,
        tuning.train(
            folder,
            CONFIG,
            sampling=SAMPLING,
            judge=None,
            held_out_reward=None,
            prompts=None,
            texts=None,
            compute=compute,
            seed=0,
            checkpoints=checkpoints,
            **given,
        ),
        {},
    )


def test_a_killed_rank_is_started_again_and_the_weights_are_those_of_an_unbroken_run(
    given, tmp_path, caplog, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    caplog.set_level(logging.INFO)
    broken = list(train_with("killed", given, tmp_path / "broken"))
    assert "resumed at step 2 of 4" in caplog.text
    assert [step.step for step in broken] == [0, 1, 2, 3], "a step that is taken again is reported once"
    unbroken = run(ppo_without_a_break, tmp_path / "unbroken", num_processes=2, **given)[0]
    clock = {"update_seconds", "tokens_per_second"}
    assert [{k: v for k, v in step.values.items() if k not in clock} for step in broken] == unbroken.numbers
    weights = {name: load_file(tmp_path / name / "model" / "model.safetensors") for name in ("broken", "unbroken")}
    assert equal(weights["broken"], weights["unbroken"])

    run(ppo_without_a_break, tmp_path / "alone", num_processes=1, **given)
    expected = load_file(tmp_path / "alone" / "model" / "model.safetensors")
    assert all(close(weights["broken"][name], expected[name], 1e-5) for name in expected)
    assert not processes_that_name(tmp_path)


def test_an_error_of_a_rank_is_the_error_of_the_training(given, tmp_path, capfd):
    steps = train_with("error", given, tmp_path, max_restarts=3)
    with pytest.raises(TrainingError, match='update 2: the numbers are too bad to go on; "quote"\nand a second line'):
        list(steps)
    assert not processes_that_name(tmp_path), "ended at once, and not started again"
    assert "Traceback" not in capfd.readouterr().err


def test_ranks_that_fail_are_given_up_when_no_restart_is_left(given, tmp_path, caplog, capfd):
    steps = train_with("failure", given, tmp_path, max_restarts=0)
    with pytest.raises(TrainingError, match="failed after 0 restarts: rank 1: ZeroDivisionError: a defect"):
        list(steps)
    assert "after 0 of 0 restarts" in caplog.text and not processes_that_name(tmp_path)
    assert "ChildFailedError" not in capfd.readouterr().err

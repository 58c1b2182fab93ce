"""A Python function as reward: what may be called, what it is given, what it must give back, and what is kept of it."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from models.conversation import conversation
from models.errors import ConfigError, DataError
from models.records import Completion, Prompt
from models.rewards import function
from models.rewards.function import Function
from models.rewards.kind_file import write_kind
from models.rewards.scorer import RewardTask, load_scorer, probe_reward
from models.settings.compute import Compute
from models.settings.rewards import FunctionReward
from models.training.checkpoints import Checkpoints
from tests.tolerances import close

BREVITY = "def reward(prompts, completions):\n    return [-0.5 * len(text.split()) for text in completions]\n"
TEXTS = ("turn the water off", "look", "change the bulb")  # 4, 1 and 3 words
Written = Callable[..., str]


@pytest.fixture
def written(tmp_path, monkeypatch) -> Written:
    """Writes a module that Python finds, and has REIN_FUNCTIONS name a function of it; forgets it afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(text: str, name: str = "reward", module: str = "somebodys_taste") -> str:
        (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")
        sys.modules.pop(module, None)
        monkeypatch.setenv("REIN_FUNCTIONS", f"other:reward, {module}:{name}")
        return f"{module}:{name}"

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def task_in(folder: Path) -> RewardTask:
    """Three completions of a training prompt, and a long one of a prompt that is held out."""
    prompt, held_out = Prompt.of("my sink leaks", "train"), Prompt.of("my lamp is dark", "test")
    completions = [Completion.of(prompt.id, text) for text in TEXTS]
    completions.append(Completion.of(held_out.id, "word " * 50))
    folder.mkdir(exist_ok=True)
    given = {"base": folder, "pairs": [], "draws": [], "rankings": [], "compute": Compute(), "seed": 0}
    return RewardTask(
        folder=folder, prompts=[prompt], completions=completions, checkpoints=Checkpoints(folder / "state", 1), **given
    )


def made(folder: Path, named: str) -> Path:
    config = FunctionReward(function=named)
    write_kind(folder, config)
    assert list(function.train(task_in(folder), config)) == []
    return folder


def test_scores_are_what_it_gives_normalised_over_training_completions(written, tmp_path):
    """It gives -2, -.5 and -1.5: mean -4/3, variance (4/9 + 25/36 + 1/36) / 3 = 7/18."""
    scorer = load_scorer(made(tmp_path / "model", written(BREVITY)), Compute())
    std = (7 / 18) ** 0.5
    scores = scorer.score(["anything"] * 4, [*TEXTS, ""])
    assert close(scores, [(-2 + 4 / 3) / std, (-0.5 + 4 / 3) / std, (-1.5 + 4 / 3) / std, (4 / 3) / std])
    assert close(scorer.logit_std, std), "a score times this has the distances of what it gave"
    assert scorer.network is None and scorer.reads("any", "text " * 10_000)


def test_one_written_for_trl_serves_and_gets_messages_of_a_conversation(written):
    """TRL calls by keyword, and such functions take the rest as `**kwargs`."""
    named = written(
        "def reward(completions, **kwargs):\n    return [len(kwargs['prompts'][0]) + 0 * len(one) for one in completions]\n"
    )
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "My sink leaks."}]
    assert Function(named)([conversation(messages)], ["Call a plumber."]).tolist() == [2], "two messages"
    assert Function(named)(["My sink"], ["Call a plumber."]).tolist() == [7], "seven letters"


@pytest.mark.parametrize(
    "given", ["numpy.array([1.0, 0.5])", "torch.tensor([1.0, 0.5])", "(1, 0.5)", "[True, numpy.float32(0.5)]"]
)
def test_any_list_of_numbers_will_do(written, given):
    named = written(f"import numpy, torch\n\ndef reward(prompts, completions):\n    return {given}\n")
    assert Function(named)(["a", "b"], ["c", "d"]).tolist() == [1, 0.5]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("return 'good'", "gives back str for 2 completions; expected a list with a number for each"),
        ("return [1.0]", "gives back 1 numbers for 2 completions"),
        ("return 0.5", "gives back float for 2 completions"),
        ("return None", "gives back NoneType for 2 completions"),
        ("return ['0.5', 1]", "gives '0.5' to the completion 'Yes.'; expected a finite number"),
        ("return [1, None]", "gives None to the completion ''; expected a finite number"),
        ("return [float('nan'), 1]", "gives nan to the completion 'Yes.'"),
        ("return [1, float('inf')]", "gives inf to the completion ''"),
        ("return [1 / len(one) for one in completions]", "raises ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_number_for_each_is_said_before_training_with_the_functions_name(written, body, complaint):
    named = written(f"def reward(prompts, completions):\n    {body}\n")
    with pytest.raises(ConfigError) as caught:
        probe_reward(FunctionReward(function=named), "my sink leaks")
    assert str(caught.value).startswith(f"reward function {named} ") and complaint in str(caught.value)


def test_wrong_arguments_a_missing_name_and_a_broken_module_are_said(written, tmp_path, monkeypatch):
    for text, complaint in (
        ("def reward(texts):\n    return texts\n", "raises TypeError: .*unexpected keyword argument"),
        ("reward = 3\n", "module somebodys_taste has no function reward"),
        ("def rewards(prompts, completions):\n    return [0]\n", "module somebodys_taste has no function reward"),
        ("import not_there\n", "module somebodys_taste cannot be imported: ModuleNotFoundError: .*not_there"),
        ("def reward(:\n", "module somebodys_taste cannot be imported: SyntaxError"),
    ):
        config = FunctionReward(function=written(text))
        with pytest.raises(ConfigError, match=complaint):
            probe_reward(config, "my sink leaks")
    monkeypatch.setenv("REIN_FUNCTIONS", "math:fsum")
    with pytest.raises(ConfigError, match="module math has no Python source to keep"):
        Function("math:fsum")


@pytest.mark.parametrize("named", ["somebodys_taste:reward", "os:system", "subprocess:run"])
def test_nothing_is_imported_that_the_environment_does_not_name(written, tmp_path, monkeypatch, named):
    """Neither settings, which a form may have sent, nor the files of a reward from elsewhere have code run."""
    written("raise SystemExit('it was run')\n")
    monkeypatch.setenv("REIN_FUNCTIONS", "somebodys_taste:other")
    with pytest.raises(ValidationError, match=f"REIN_FUNCTIONS does not name it; set REIN_FUNCTIONS={named}"):
        FunctionReward(function=named)
    write_kind(tmp_path, FunctionReward.model_construct(function=named))
    (tmp_path / "function.json").write_text(json.dumps({"function": named, "source": "", "mean": 0, "std": 1}))
    with pytest.raises(ConfigError, match=f"reward function {named}: .*REIN_FUNCTIONS does not name it"):
        load_scorer(tmp_path, Compute())


@pytest.mark.parametrize(
    "named", ["reward", "somebodys_taste:", ":reward", "a/b:reward", "somebodys_taste:reward()", "..a:b"]
)
def test_what_names_no_function_is_refused(named, monkeypatch):
    monkeypatch.setenv("REIN_FUNCTIONS", named)
    with pytest.raises(ValidationError, match="pattern"):
        FunctionReward(function=named)


def test_one_that_tells_nothing_apart_is_refused(written, tmp_path):
    config = FunctionReward(
        function=written("def reward(prompts, completions):\n    return [1.0] * len(completions)\n")
    )
    with pytest.raises(DataError, match="gives the 3 completions of training prompts no two different numbers"):
        list(function.train(task_in(tmp_path / "model"), config))


def test_a_change_of_the_function_is_said_and_the_text_as_it_was_is_kept(written, tmp_path, caplog):
    folder = made(tmp_path / "model", written(BREVITY))
    with caplog.at_level(logging.WARNING):
        load_scorer(folder, Compute())
    assert not caplog.records
    changed = BREVITY.replace("-0.5", "-1.0")
    written(changed)
    with caplog.at_level(logging.WARNING):
        scorer = load_scorer(folder, Compute())
    assert "somebodys_taste:reward has changed since this reward was made" in caplog.text
    assert json.loads((folder / "function.json").read_text())["source"] == BREVITY
    scores = scorer.score(["any"] * 2, ["one", "one two"]).numpy()
    assert close(scores[0] - scores[1], 1 / np.std([-2, -0.5, -1.5])), "it scores as it is now"

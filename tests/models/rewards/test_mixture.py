"""Several rewards as one: the rules by arithmetic, what is kept, and what does not fit together."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.errors import DataError
from models.records import Artifact, Completion, Prompt
from models.rewards import function, mixture
from models.rewards.kind_file import write_kind
from models.rewards.mixture import Mixture, Whitening
from models.rewards.scorer import RewardTask, load_scorer
from models.settings.compute import Compute
from models.settings.judges import HeldOutReward
from models.settings.rewards import FunctionReward, MixtureReward
from models.settings.scoring.mixing import Minimum, SafetyFirst, WeightedSum
from models.training.checkpoints import Checkpoints
from tasks.running.cache_key import modules_of
from tests.tolerances import close

LOGITS = {"safe": torch.tensor([-2.0, -1.0, 3.0]), "helpful": torch.tensor([5.0, 1.0, -4.0])}
AS_THEY_ARE = {name: Whitening(mean=0, std=1) for name in LOGITS}
PROMPTS = ["how do I cook", "how do I clean", "how do I hurt"]


def test_a_weighted_sum_is_of_whitened_logits():
    """z: (-2 - 1) / 2, (-1 - 1) / 2, (3 - 1) / 2 of safe; 5, 1, -4 of helpful. 2 z_safe + 0.5 z_helpful: -.5, -1.5, 0. Then (x + 1) / 4."""
    parts = {"safe": Whitening(mean=1, std=2), "helpful": Whitening(mean=0, std=1)}
    weighted = WeightedSum(weights={"helpful": 0.5, "safe": 2})
    mixed = Mixture(combine=weighted, parts=parts, together=Whitening(mean=-1, std=4)).mix(PROMPTS, LOGITS)
    assert close(mixed, [0.5 / 4, -0.5 / 4, 1 / 4])
    assert close(Mixture(combine=WeightedSum(), parts=parts).mix(PROMPTS, LOGITS), [3.5, 0, -3]), "all weigh 1"
    assert close(Mixture(combine=Minimum(), parts=parts).mix(PROMPTS, LOGITS), [-1.5, -1, -4])


@pytest.mark.parametrize(
    ("threshold", "safety_prompts", "expected"),
    [
        (0.15, frozenset(), [-2, 1, -4]),  # sigmoid: .119, .269, .953; the first is below .15
        (0.3, frozenset(), [-2, -1, -4]),
        (0.1, frozenset(), [5, 1, -4]),
        (0.15, frozenset(PROMPTS[2:]), [-2, 1, 3]),  # at a safety prompt safety alone counts, also above the threshold
    ],
)
def test_safety_wins_below_the_threshold_and_at_safety_prompts(threshold, safety_prompts, expected):
    rule = SafetyFirst(kind="safety_first", safety="safe", threshold=threshold)
    mixed = Mixture(combine=rule, parts=AS_THEY_ARE, safety_prompts=safety_prompts).mix(PROMPTS, LOGITS)
    assert close(mixed, expected)


TWO = {"brief": {}, "kind": {}}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"parts": {"brief": {}}}, "at least 2 items"),
        ({"parts": {"brief": {}, "No Name": {}}}, "match pattern"),
        ({"parts": TWO, "combine": {"kind": "weighted_sum", "weights": {"brief": 1, "kin": 1}}}, "names kin, but the parts are brief, kind"),
        ({"parts": TWO, "combine": {"kind": "weighted_sum", "weights": {"brief": 1}}}, "says nothing of kind"),
        ({"parts": TWO, "combine": {"kind": "weighted_sum", "weights": {"brief": 0, "kind": 0}}}, "are all 0"),
        ({"parts": TWO, "combine": {"kind": "weighted_sum", "weights": {"brief": -1, "kind": 1}}}, "greater than or equal to 0"),
        ({"parts": TWO, "combine": {"kind": "safety_first", "safety": "safe"}}, "names safe, but the parts are brief, kind"),
        ({"parts": TWO, "combine": {"kind": "safety_first"}}, "safety\n  Field required"),
        ({"parts": TWO | {"right": {}}, "combine": {"kind": "safety_first", "safety": "kind"}}, "goes with two parts"),
        ({"parts": TWO | {"right": {"reward": {"kind": "mixture", "parts": TWO}}}}, "there is no kind 'mixture'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(settings, complaint):
    with pytest.raises(ValidationError, match=complaint):
        MixtureReward.model_validate(settings)


def test_a_judge_that_is_a_reward_is_a_single_one():
    with pytest.raises(ValidationError, match="there is no kind 'mixture'"):
        HeldOutReward.model_validate({"reward": {"kind": "mixture", "parts": TWO}})


# parts that are made

TEXTS = ("no", "yes please do that now", "yes", "please do not do that now at all")
WORDS, YES, PLEASE = [1, 5, 1, 8], [0, 1, 1, 0], [0, 1, 0, 1]
MODULE = """
def brief(completions, **_):
    return [-float(len(text.split())) for text in completions]

def long(completions, **_):
    return [float(len(text.split())) for text in completions]

def yes(completions, **_):
    return [float(text.startswith("yes")) for text in completions]

def please(completions, **_):
    return [float("please" in text) for text in completions]
"""


@pytest.fixture
def made(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Makes parts that are functions, and a mixture of them over four completions of a training prompt; one of a held-out prompt is far longer."""
    (tmp_path / "mixed_taste.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    names = ("brief", "long", "yes", "please")
    monkeypatch.setenv("REIN_FUNCTIONS", ",".join(f"mixed_taste:{name}" for name in names))
    prompt, held_out = Prompt.of("shall I", "train"), Prompt.of("may I", "test")
    completions = [Completion.of(prompt.id, text) for text in TEXTS]
    completions.append(Completion.of(held_out.id, "word " * 90))

    def task(folder: Path, parts: dict[str, Path]) -> RewardTask:
        folder.mkdir(parents=True)
        material = {"base": folder, "prompts": [prompt], "completions": completions}
        none = {"pairs": [], "draws": [], "rankings": []}
        state = Checkpoints(tmp_path / "state", 1)
        return RewardTask(folder=folder, **material, **none, compute=Compute(), seed=0, checkpoints=state, parts=parts)

    def make(*names: str, **combine) -> Path:
        parts = {}
        for name in names:
            config, parts[name] = FunctionReward(function=f"mixed_taste:{name}"), tmp_path / name
            list(function.train(task(parts[name] / "model", {}), config))
            write_kind(parts[name] / "model", config)
        settings = {name: {"reward": {"kind": "function", "function": f"mixed_taste:{name}"}} for name in names}
        config = MixtureReward.model_validate({"parts": settings, "combine": combine})
        folder = tmp_path / "mixed" / "model"
        assert list(mixture.train(task(folder, parts), config)) == []
        write_kind(folder, config)
        return folder

    yield make
    sys.modules.pop("mixed_taste", None)


def whitened(numbers) -> np.ndarray:
    return (np.asarray(numbers) - np.mean(numbers)) / np.std(numbers)


def test_a_mixture_opens_by_itself_and_has_mean_0_and_std_1_over_training_completions(made, tmp_path):
    folder = made("brief", "yes", kind="weighted_sum", weights={"brief": 1, "yes": 3})
    for name in ("brief", "yes"):
        kept, own = (place / "function.json" for place in (folder / name, tmp_path / name / "model"))
        assert kept.stat().st_ino == own.stat().st_ino, "a part lies on the disk once"
        shutil.rmtree(tmp_path / name)
    scorer = load_scorer(folder, Compute())
    told = scorer.score_in_full(["shall I"] * 4, TEXTS)
    brief, yes = whitened(np.negative(WORDS)), whitened(YES)
    expected = whitened(brief + 3 * yes)
    assert close(told.scores, expected, 1e-5) and close(scorer.score(["shall I"] * 4, TEXTS), expected, 1e-5)
    assert close(told.of_parts["brief"], brief, 1e-5) and close(told.of_parts["yes"], yes, 1e-5)
    assert told.disagreement is None and scorer.network is None


def test_a_part_of_weight_0_is_told_and_counts_for_nothing(made):
    told = load_scorer(
        made("brief", "yes", weights={"brief": 1, "yes": 0}, kind="weighted_sum"), Compute()
    ).score_in_full(["shall I"] * 4, TEXTS)
    assert close(told.scores, whitened(np.negative(WORDS)), 1e-5) and close(told.of_parts["yes"], whitened(YES), 1e-5)


@pytest.mark.parametrize(
    ("threshold", "raw"),
    [(0.6, [0, 1, 0, 0]), (0.45, PLEASE)],  # `yes` is 0, 1, 1, 0, with sigmoids .5 and .73; `please` 0, 1, 0, 1
)
def test_a_function_that_stands_for_safety_gives_a_logit(made, tmp_path, threshold, raw):
    """Its own number is the logit, not what becomes of it over the training completions (-.5 and .5)."""
    prompts = tmp_path / "safety.jsonl"
    prompts.write_text('{"prompt": "something else", "from": "elsewhere"}\n')
    rule = {"kind": "safety_first", "safety": "yes", "threshold": threshold, "safety_prompts": str(prompts)}
    scorer = load_scorer(made("yes", "please", **rule), Compute())
    assert close(scorer.score(["shall I"] * 4, TEXTS), whitened(raw), 1e-5)
    at_safety_prompt = scorer.score(["something else"] * 4, TEXTS)
    assert close(at_safety_prompt, (np.asarray(YES) - np.mean(raw)) / np.std(raw), 1e-5)


def test_rows_without_a_safety_prompt_are_named(made, tmp_path):
    (tmp_path / "safety.jsonl").write_text('{"prompt": "a"}\n{"text": "b"}\n')
    with pytest.raises(DataError, match=r"safety.jsonl:2: prompt: Field required"):
        made("yes", "please", kind="safety_first", safety="yes", safety_prompts=str(tmp_path / "safety.jsonl"))


def test_parts_that_cancel_out_are_refused(made):
    with pytest.raises(DataError, match=r"reward\.combine: all 4 training completions come to one and the same score"):
        made("brief", "long", kind="weighted_sum")


def test_the_code_of_every_part_counts_for_what_reads_a_mixture(made):
    folder = made("brief", "yes", kind="minimum").parent
    reward = Artifact(kind="reward-model", uri=str(folder), sha256="0" * 64, rows=0, run_id="r")
    expected = ("tasks.stages.tuning", "models.rewards.function", "models.rewards.mixture")
    for inputs in ({"reward": reward}, {"parts": {"brief": reward}}):
        assert modules_of("tasks.stages.tuning", inputs) == expected
    assert json.loads((folder / "model" / "mixture.json").read_text())["combine"] == {"kind": "minimum"}

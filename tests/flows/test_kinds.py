"""The walks of docs/architecture.md: a new reward, judge, labeler, tuner and source, each in a file outside the project, in whole runs."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from labeling.labelers.ai import ask_model
from models.judge_model.kept_answers import KeptAnswers
from models.records import Completion, Prompt
from models.settings.asked.labels import AILabeler
from tests.flows.conftest import PROJECT, SMOKE, Workplace

FILES = dict(
    re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```", (PROJECT / "docs/architecture.md").read_text(), re.M | re.S)
)


@pytest.fixture(scope="module")
def outside(tmp_path_factory) -> Iterator[None]:
    """A folder of somebody else's with the files, as they stand in the document; Python finds them, and Rein is told their names."""
    folder = tmp_path_factory.mktemp("outside")
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("REIN_KINDS", ",".join(FILES))
        yield


@pytest.fixture
def report(workplace: Workplace, first_report: dict, outside: None) -> Callable[..., dict]:
    """A run of the smallest preset with kinds from outside; what it does not touch comes from the cache."""
    return partial(workplace.report, "rlhf", SMOKE)


def settings_of(report: dict, stage: str) -> dict:
    manifest = json.loads(Path(report["artifacts"][stage], "manifest.json").read_text(encoding="utf-8"))
    return manifest["made"]["settings"]["config"]


def rows_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_there_is_a_walk_for_each_seam():
    assert set(FILES) == {"shortest", "longest_word", "alphabetical", "loudest", "unchanged", "weather"}


def test_a_reward(report):
    told = report("reward={kind: shortest, per_word: 0.25}")
    assert told["stages_run"] == ["reward", "reward-report", "tuning", "matches", "evaluation"]
    assert settings_of(told, "reward") == {"kind": "shortest", "per_word": 0.25}
    for sample in rows_of(Path(told["artifacts"]["matches"], "samples.jsonl")):
        assert sample["policy_score"] == -0.25 * len(sample["policy_completion"].split())


def test_a_judge(report):
    told = report("evaluation.judges=[{kind: longest_word}]")
    assert told["stages_run"] == ["evaluation"] and told["judge"] == "longest_word"
    samples = rows_of(Path(told["artifacts"]["matches"], "samples.jsonl"))
    words = [word for sample in samples for word in sample["base_completion"].split()]
    assert told["longest_word_base"] == max(map(len, words))


def test_a_labeler(report):
    told = report("labels.labelers=[{kind: alphabetical, name: abc}, {kind: alphabetical, name: abcd}]")
    assert told["stages_run"][0] == "labels" and told["stages_cached"][-1] == "completions"
    folder = Path(told["artifacts"]["labels"])
    texts = {row["id"]: row["text"] for row in rows_of(folder / "completions.jsonl")}
    for ranking in rows_of(folder / "rankings.jsonl"):
        ordered = [texts[name] for (name,) in ranking["levels"]]
        assert ordered == sorted(ordered) and ranking["labeler"] in ("abc", "abcd")


def test_a_judge_model(outside):
    """It is asked as any other one is: here as a labeler."""
    prompt = Prompt.of("My sink leaks.", "train")
    loud, quiet = Completion.of(prompt.id, "Help! Call a plumber!"), Completion.of(prompt.id, "Wait.")
    config = AILabeler(name="judge", model={"kind": "loudest"})
    (ranking,) = ask_model(config, "volume", [(prompt, [quiet, loud])], KeptAnswers()).rankings
    assert ranking.levels == ((loud.id,), (quiet.id,)) and ranking.labeler == "judge"


def test_a_tuner(report):
    told = report("tuning={kind: unchanged, min_reward_accuracy: 0}")
    assert told["stages_run"] == ["tuning", "matches", "evaluation"]
    weights = [Path(told["artifacts"][stage], "model", "model.safetensors").read_bytes() for stage in ("sft", "tuning")]
    assert weights[0] == weights[1] and told["kl_nats"] == 0.0


def test_a_source_of_prompts_to_tune_on(report):
    told = report("tuning.prompts={source: {kind: weather, num_days: 12}, num_prompts: 12}")
    assert told["stages_run"] == ["tuning-prompts", "tuning", "matches", "evaluation"], (
        "nobody has ranked completions of these"
    )
    prompts = rows_of(Path(told["artifacts"]["tuning-prompts"], "prompts.jsonl"))
    assert {prompt["text"] for prompt in prompts} == {f"Will it rain on day {day}?" for day in range(12)}

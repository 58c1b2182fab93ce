"""A language model as judge, behind a real server: what it makes of two models' texts."""

import pytest

from models.errors import DataError
from models.evaluation.comparison import compare
from models.evaluation.judges.ai import knows, open_judge
from models.evaluation.judges.judge import Judge, Material, PairJudge
from models.settings.compute import Compute
from models.settings.judges import AIJudge
from tests.models.judge_server import chat, longer_is_better, serving, shown
from tests.tolerances import close

PROMPTS, FIRST, SECOND = ["p", "q", "r"], ["long text", "same", "a"], ["text", "same", "longer"]


def config(address: str) -> AIJudge:
    return AIJudge(model={"kind": "endpoint", "address": address, "model": "small", "backoff_seconds": 0.01})


def test_outcomes_are_its_labels_and_equal_texts_need_no_question(tmp_path):
    with serving(longer_is_better) as server:
        judge = open_judge(config(server.address), Material(kept=tmp_path / "kept"), Compute())
        assert isinstance(judge, PairJudge) and not isinstance(judge, Judge) and knows("anything")
        comparison = compare(judge, PROMPTS, FIRST, SECOND, 1)
        assert len(server.bodies) == 4, "two pairs in both orders"
        again = open_judge(config(server.address), Material(kept=tmp_path / "kept"), Compute())
        assert compare(again, PROMPTS, FIRST, SECOND, 1).outcomes == comparison.outcomes == [1.0, 0.5, 0.0]
        assert len(server.bodies) == 4, "what was answered before a kill is kept"
    assert close(comparison.figures["win_rate"], 0.5)
    assert (comparison.told["num_prompts"], comparison.told["consistency"], comparison.told["position_bias"]) == (
        3,
        1,
        0,
    )
    assert comparison.told["prompt_tokens"] == 400


def test_what_cannot_be_read_is_no_outcome():
    with serving(lambda body: chat("1" if "a" in shown(body) else "well ...")) as server:
        comparison = compare(open_judge(config(server.address), Material(), Compute()), PROMPTS, FIRST, SECOND, 1)
    assert comparison.prompts == ["q", "r"] and comparison.outcomes == [0.5, 0.5], "always the first is a tie"
    assert comparison.told["unreadable"] == 2
    nothing = pytest.raises(DataError, match=r"ai: none of its 4 answers could be read, such as 'well \.\.\.'")
    with serving(lambda body: chat("well ...")) as server, nothing:
        compare(open_judge(config(server.address), Material(), Compute()), PROMPTS, FIRST, SECOND, 1)

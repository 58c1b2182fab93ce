"""The benchmark of language models that label: what is drawn, what is compared, and that the server takes as long as it says."""

import json
import time

import httpx
import pytest

from benchmarks.ai_labels import preamble, throughput
from tests.models.judge_server import longer_is_better, serving


def test_the_server_takes_as_long_as_it_says_and_all_answers_come():
    row = throughput.measure(4)
    assert row["answers"] == 8 and row["server_can_per_second"] <= 320, "16 at once, each after 0.05 s"
    assert row["share"] == pytest.approx(row["answers_per_second"] / row["server_can_per_second"], abs=1e-3)
    assert row["seconds"] >= 0.05 and row["as_wanted"] is (row["share"] >= 0.9)
    with throughput.serving() as port:
        began = time.monotonic()
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json={})
        assert answer.json()["choices"][0]["message"]["content"] == "1" and time.monotonic() - began >= 0.05


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Three prompts. Ann likes what is long, as the model does; ben ties everything but in the last prompt, where he likes what is short."""
    monkeypatch.setenv("REIN_DATA", str(tmp_path))
    rows = [
        {
            **{"prompt": f"Prompt {number}", "completions": ["a", "bbbb"], "criterion": "quality", "mr_id": number},
            "setup": "1",
            "annotations": [
                {"annotator": "ann", "ranks": [2, 1]},
                {"annotator": "ben", "ranks": [1, 1] if number < 2 else [1, 2]},
            ],
        }
        for number in range(3)
    ]
    (tmp_path / "rankings").mkdir()
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rankings" / "rankme_rankings.jsonl").write_text(text)


def test_a_model_is_held_against_people_with_and_without_preamble_and_reasons(data, tmp_path):
    """With ann it agrees at all three prompts; ben, who has an order at one, has it the other way round: 1, 1 and a half.
    Of ann's and ben's own words: ben's tie is half of ann's order, twice; at the third they are at odds: .5, .5 and 0."""
    with serving(longer_is_better) as server:
        model = {"kind": "endpoint", "address": server.address, "model": "m"}
        rows = list(preamble.measure("rankme", model, 9, seed=1, kept=tmp_path / "kept", tokens=10))
    assert [row["case"] for row in rows] == [f"rankme: {case}" for case in preamble.CASES]
    for row in rows:
        assert row["pairs"] == row["rankings"] == 3 and row["consistency"] == 1
        assert row["agreement_with_people"][0] == pytest.approx(2.5 / 3, abs=1e-4)
        assert row["agreement_of_people"][0] == pytest.approx(1 / 3, abs=1e-4)
    asked = [body["messages"] for body in server.bodies]
    told = [any("overall quality" in one["content"] for one in messages) for messages in asked]
    # six questions without reasons, twelve with: for the reasons and for the verdict
    assert len(asked) == 2 * (6 + 12) and sum(told) == 6 + 12
    assert sum(len(messages) == 3 for messages in asked) == 12

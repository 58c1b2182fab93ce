"""Which rankings are left out, what is read of a finished run, and the picture."""

import json
from pathlib import Path

import pytest

from benchmarks.overoptimization.picture import draw
from benchmarks.overoptimization.runs import PLACE, PRESET, RESULTS, REWARDS, described, ppo_curves, thinned
from benchmarks.trials import keep, read_rows
from models.preferences.splits import assign_split
from models.records import StepMetrics, write_records
from models.settings.pipeline import SplitConfig
from models.settings.presets import load_config

HELD_OUT = "w003"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setenv("REIN_DATA", str(tmp_path))
    (tmp_path / "rankings").mkdir()
    rows = [
        {
            "id": f"r{number}",
            "mr_id": number,
            "prompt": f"name[{number}]",
            "annotations": [{"annotator": name, "ranks": [1, 2]} for name in ("w001", "w002", HELD_OUT)],
        }
        for number in range(400)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "rankings" / "e2e_quality.jsonl").write_text(text, encoding="utf-8")
    return load_config(PRESET, [])


def test_rankings_are_left_out_where_the_reward_learns_alone(config, tmp_path):
    def said(share: float, seed: int = 7) -> set[tuple[int, str]]:
        lines = thinned(config, share, seed, tmp_path).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return {(row["mr_id"], one["annotator"]) for row in rows for one in row["annotations"]}

    everything = {(number, name) for number in range(400) for name in ("w001", "w002", HELD_OUT)}
    rest = SplitConfig(validation=0.1, test=0)
    learned = {
        (number, name)
        for number, name in everything
        if name != HELD_OUT and number % 10 >= 3 and assign_split(f"name[{number}]", rest, 7) == "train"
    }
    assert said(1.0) == everything
    quarter, twentieth = said(0.25), said(0.05)
    assert everything - learned <= twentieth < quarter, "smaller shares are parts of larger ones"
    assert 0.2 < len(quarter & learned) / len(learned) < 0.3  # of some 500, 3 standard deviations are .06
    assert quarter & learned != said(0.25, seed=8) & learned


def test_the_curves_of_a_run_are_its_checks_at_the_kl_of_their_batch(tmp_path):
    for stage, steps in {
        "tuning": [(0, {"objective/kl": -0.01}), (1, {"objective/kl": 0.5}), (2, {"objective/kl": 4.0})],
        "evaluation": [
            (step, {"score": score, "restaurant_facts/win_rate": facts, "held_out_reward/win_rate": 0.5})
            for step, score, facts in ((0, 0.0, 0.5), (2, 1.0, 0.7), (3, 1.5, 0.6))
        ],
    }.items():
        (tmp_path / stage).mkdir()
        records = [StepMetrics(step=step, num_steps=3, values=values) for step, values in steps]
        write_records(tmp_path / stage / "steps.jsonl", records)
    curves = ppo_curves({"artifacts": {stage: str(tmp_path / stage) for stage in ("tuning", "evaluation")}})
    assert (curves["kl_nats"], curves["score"]) == ([0.0, 4.0], [0.0, 1.0]), (
        "after the last update nobody measured the KL"
    )
    assert curves["judges"]["restaurant_facts"]["win_rate"] == [0.5, 0.7]


def test_other_rows_stay(tmp_path):
    file = tmp_path / "overoptimization.json"
    assert read_rows(file) == []
    for seed, share, reward, score in (
        (5, 1.0, "one", 0),
        (5, 0.05, "one", 0),
        (2, 1.0, "one", 0),
        (5, 1.0, "one", 1),
        (5, 1.0, "five", 0),
    ):
        keep(file, {"seed": seed, "share_of_rankings": share, "reward": reward, "score": score}, PLACE)
    assert [tuple(row.values()) for row in read_rows(file)] == [
        (2, 1.0, "one", 0),
        (5, 0.05, "one", 0),
        (5, 1.0, "five", 0),
        (5, 1.0, "one", 1),
    ]


def test_one_reward_model_from_a_twentieth_of_the_rankings_is_over_optimised():
    """The saved runs: what the facts judge says falls by a tenth or more while the score rises, and the monitor marks where it was highest."""
    rows = [row for row in read_rows(RESULTS) if row["share_of_rankings"] == 0.05]
    alone = [row for row in rows if row["reward"] == "one reward model"]
    assert len({row["seed"] for row in alone}) >= 3
    for row in alone:
        scores, facts = row["ppo"]["score"], row["ppo"]["judges"]["restaurant_facts"]["win_rate"]
        assert scores[-1] > scores[0] + 1
        assert row["last_policy"]["restaurant_facts"] <= 0.9 * max(facts)
        every = 5  # updates between two checks
        assert row["last_policy"]["peak_update"] == every * facts.index(max(facts))
    assert sum(row["last_policy"]["over_optimised"] for row in alone) >= 2


def test_the_picture_has_a_panel_for_each_share_and_way(tmp_path):
    rates = {"restaurant_facts": [0.5, 0.7, 0.6], "held_out_reward": [0.5, 0.6, 0.65]}
    curves = described([0.0, 1.0, 4.0], [0.0, 1.0, 2.0], rates, is_best_of_n=True)
    rows = [
        {"seed": seed, "share_of_rankings": share, "reward": reward, "ppo": curves, "best_of_n": curves}
        for seed in (1, 2)
        for share in (1.0, 0.05)
        for reward in REWARDS
    ]
    draw(rows, Path(tmp_path, "pictures", "curves.svg"))
    text = Path(tmp_path, "pictures", "curves.svg").read_text(encoding="utf-8")
    assert (text.startswith("<?xml") and "PPO" in text) or "svg" in text

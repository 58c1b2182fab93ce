"""Every recipe's settings are there, and what is read of a finished run, the table and the picture."""

import json
from pathlib import Path

import pytest

from benchmarks.recipes.picture import draw
from benchmarks.recipes.recipes import TUNERS, WORLDS
from benchmarks.recipes.runs import BEGIN, END, FUNCTION, PAGE, held_out_still, row_of, table, write_table
from benchmarks.recipes.thumbs import thumbs_of, write_thumbs
from benchmarks.recipes.word_overlap import reward
from benchmarks.trials import PROJECT
from models.records import Ranking
from models.settings.presets import load_config

ROWS = [
    {
        **{"world": "tiny", "recipe": recipe, "seed": seed, "kl_nats": 4.0 * seed, "judge": "household_rule"},
        **{"own_score": 1.0 + seed, "own_score_base": 0.0, "win_rate": 0.7, "low": 0.6, "high": 0.8},
        **{"helpful_base": 0.4, "helpful_policy": 0.5 + 0.1 * seed, "seconds": 10.0 * seed},
    }
    for recipe in ("ppo", "dpo")
    for seed in (1, 2)
]


@pytest.mark.parametrize(("world", "recipe"), [(world, one) for world, told in WORLDS.items() for one in told.recipes])
def test_the_settings_of_every_recipe_are_there(world, recipe, monkeypatch):
    monkeypatch.setenv("REIN_DATA", "/somewhere")
    monkeypatch.setenv("REIN_THUMBS", "/somewhere")
    monkeypatch.setenv("REIN_FUNCTIONS", FUNCTION)
    monkeypatch.setenv("REIN_MODEL", "/somewhere")
    config = load_config(PROJECT / WORLDS[world].preset, (*WORLDS[world].always, *WORLDS[world].recipes[recipe]))
    assert config.chooser is None, "the judge chooses nothing"
    cheaper = {"shared_value": config.tuning.kind == "ppo" and config.tuning.value_model == "shared"}
    cheaper |= {"upper_layers": config.tuning.kind == "ppo" and config.tuning.trainable_layers is not None}
    cheaper |= {"lora": config.tuning.kind == "ppo" and config.tuning.lora is not None}
    if recipe in cheaper:
        assert cheaper[recipe]
    else:
        assert recipe in {*TUNERS, "iterate", f"{config.labels.kind}_labels", config.reward.kind}


def test_a_row_counts_the_seconds_of_the_recipe_s_own_stages(tmp_path):
    """Of dpo the reward does not count: it needs none."""
    places = {}
    for stage, seconds in {"sft": 50, "reward": 7, "brief/reward": 3, "first_tuning/tuning": 4, "tuning": 2}.items():
        places[stage] = str(tmp_path / stage)
        Path(places[stage]).mkdir(parents=True)
        Path(places[stage], "manifest.json").write_text(json.dumps({"seconds": seconds}), encoding="utf-8")
    said = {"win_rate": 0.7, "win_rate_low": 0.6, "win_rate_high": 0.8}
    report = {
        **{"kl_nats": 2.0, "score_base": 0.1, "score_policy": 1.1, "helpful_base": 0.4, "helpful_policy": 0.9},
        **{"judge": "household_rule", "judges": {"household_rule": said, "own_reward": said | {"win_rate": 0.99}}},
        **{"artifacts": places, "reward_labeler_accuracy": 0.7, "reward_calibration_error": 0.1},
    }
    row = row_of(WORLDS["tiny"], "ppo", report)
    assert row == {
        **{"kl_nats": 2.0, "own_score": 1.1, "own_score_base": 0.1, "judge": "household_rule", "win_rate": 0.7},
        **{"low": 0.6, "high": 0.8, "helpful_base": 0.4, "helpful_policy": 0.9, "seconds": 16},  # 7 + 3 + 4 + 2
        **{"reward_accuracy": 0.7, "reward_calibration_error": 0.1},
    }
    assert row_of(WORLDS["tiny"], "dpo", report)["seconds"] == 6  # 4 + 2


def test_the_table_has_means_over_seeds_and_stands_between_its_marks(tmp_path):
    *_, dpo = table(ROWS).splitlines()
    assert dpo == "| tiny | dpo | 2 | 0.700 (0.700 to 0.700) | helpful 0.40 -> 0.65 | 6.0 | 0.00 -> 2.50 | 15 |"
    page = tmp_path / "results.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    write_table(page, ROWS)
    assert page.read_text(encoding="utf-8") == f"before\n{BEGIN}\n\n{table(ROWS)}\n\n{END}\nafter\n"
    assert all(PAGE.read_text(encoding="utf-8").count(mark) == 1 for mark in (BEGIN, END))


def test_the_picture_names_every_tuner(tmp_path):
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw(ROWS, TUNERS, tmp_path / "recipes.svg")
    text = (tmp_path / "recipes.svg").read_text(encoding="utf-8")
    assert "win rate over the base by household_rule" in text
    assert all(recipe.replace("_", " ") in text for recipe in TUNERS)


def test_word_overlap():
    assert reward(["My lamp is dark"], ["the lamp, dark lamp"]) == [0.5]  # lamp and dark, of four words
    assert reward(["?"], ["anything"]) == [0.0]


@pytest.mark.parametrize(
    ("levels", "unusable", "up", "down"),
    [
        ([["a"], ["b"], ["c", "d"]], [], ["a"], ["c", "d"]),
        ([["a", "b"], ["c"]], ["d"], ["a", "b"], ["d"]),
        ([["a", "b", "c", "d"]], [], [], []),
        ([], ["a", "b"], [], []),
    ],
)
def test_thumbs_of_rankings_are_the_first_and_the_last(levels, unusable, up, down):
    said = thumbs_of(Ranking.of("p", "ann", "quality", levels, unusable))
    assert [one.completion_id for one in said if one.wanted] == up
    assert [one.completion_id for one in said if not one.wanted] == down
    assert all((one.prompt_id, one.labeler, one.criterion) == ("p", "ann", "quality") for one in said)


def test_who_gave_no_thumb_is_not_held_out_of_them(tmp_path):
    """Of three who are held out one ties everything, and is not in the thumbs that come of the rankings."""
    row = {"prompt": "It is dark.", "completions": ["Switch on the light.", "Wait."]}
    said = {"ann": [1, 2], "ben": [1, 1], "cat": [2, 1], "dan": [1, 2]}
    annotations = [{"annotator": name, "ranks": ranks} for name, ranks in said.items()]
    (tmp_path / "said.jsonl").write_text(json.dumps(row | {"annotations": annotations}) + "\n", encoding="utf-8")
    labels = f"labels={{kind: annotated, path: {tmp_path}/said.jsonl, criterion: helpfulness}}"
    preset = load_config(PROJECT / "deployments" / "tiny.yaml", [labels, "consensus.held_out_labelers=[ann, ben, cat]"])
    heard = write_thumbs(preset, tmp_path / "thumbs")
    assert heard == {"ann", "cat", "dan"}
    assert held_out_still(preset, heard) == ('consensus.held_out_labelers=["ann", "cat"]',)

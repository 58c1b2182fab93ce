"""What a terminal shows of a run that has ended: a screen of it, and nothing that a terminal would obey."""

import pytest

from cli.printed import print_report
from models.settings.presets import load_config
from tests.test_docs import PROJECT

SAID = {
    **{"win_rate": 0.644, "win_rate_low": 0.601, "win_rate_high": 0.679, "win_rate_length_controlled": 0.61},
    **{"independent": True, "chose": False, "learned_from": "the rankings that the policy was tuned on: optimistic"},
}
STAGES = ["texts", "base-model", "feedback", "hold-out", "consensus", "pairs", "pretraining", "demonstrations", "sft"]
REPORT = {
    **{
        "result": "BETTER: facts prefers the policy to its base in 64 % (60 % to 68 %) on 189 held-out prompts, 3.7 nats away."
    },
    **{"win_rate": 0.644, "win_rate_low": 0.601, "win_rate_high": 0.679, "kl_nats": 3.74, "rankings": 2979},
    **{"reward_labeler_accuracy": 0.6805, "krippendorff_alpha": 0.2137, "simulated_labelers": True},
    "ai_labelers": ["gpt"],
    **{"judge": "facts", "judges": {"facts": SAID, "own_reward": SAID}, "upside_down_labelers": ["ann"]},
    **{"stages_run": ["tuning", "matches"], "stages_cached": STAGES, "page": ".rein/reports/1/report.html"},
    **{"flow": "learn", "prefect_flow_run_name": "calm-owl", "tuning_stopped_by_kl_budget": False, "mlflow_runs": None},
    "example": {"prompt": "My house is too hot. " * 12, "base": "Well.\n\x1b[2Jgone", "policy": "Open a window."},
}


@pytest.fixture
def config(monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", ".rein/prefect")
    return load_config(PROJECT / "deployments" / "tiny.yaml")


def test_a_run_fits_a_screen_and_begins_with_what_it_has_shown(config, capsys):
    print_report(config, REPORT)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0].startswith("BETTER: facts prefers the policy") and max(map(len, lines)) <= 80
    assert len(lines) <= 25 and "  win rate over the base: 0.64 (0.60 to 0.68)" in lines
    assert "\x1b" not in text and "base: Well. �[2Jgone" in lines, "model output is untrusted"
    assert "labeler ann ranks against the others: have the instructions been understood?" in lines
    assert "Labels of gpt are by language models, not by people." in lines
    assert "rankings" not in text.replace("the rankings", "")


def test_nothing_is_minus_nought(config, capsys):
    near = {name: -0.0004 for name in ("kl_nats", "krippendorff_alpha", "win_rate_low")}
    print_report(config, REPORT | near)
    print_report(config, REPORT | near | {"kl_nats": -0.00001}, everything=True)
    text = capsys.readouterr().out
    assert "KL to the base, nats: 0.00" in text and "0.64 (0.00 to 0.68)" in text
    assert "-0.00 " not in text and "-0.0000" not in text and "-0.0004" in text


def test_where_runs_are_compared_is_an_address_that_opens_on_them(config, capsys):
    address = "http://127.0.0.1:5000/#/experiments/1?workflowType=machine_learning"
    print_report(config, REPORT | {"mlflow_runs": address})
    print_report(config, REPORT)
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("compare runs:")]
    assert shown[0] == f"compare runs:  {address}"
    assert shown[1].endswith(f"mlflow ui --backend-store-uri {config.tracking.uri}")


def test_all_figures_are_shown_when_they_are_asked_for(config, capsys):
    print_report(config, REPORT, everything=True)
    text = capsys.readouterr().out
    assert "2,979" in text and "BETTER: facts" in text
    (row,) = [line for line in text.splitlines() if "tuning_stopped_by_kl_budget" in line]
    assert row.split()[-2] == "no", "as people write it"

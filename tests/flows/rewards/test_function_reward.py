"""A Python function as reward in whole runs: what it says before anything is trained, what makes it run again, and what a form cannot do."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.exceptions import ParameterTypeError

from flows.rlhf import rlhf
from models.errors import ConfigError
from models.settings.presets import load_config, read_preset
from tasks.running.code_digest import code_digest
from tests.calling import call_rein
from tests.flows.conftest import SMOKE, Workplace

BREVITY = "def reward(prompts, completions):\n    return [-0.5 * len(text.split()) for text in completions]\n"
REWARD = "reward={kind: function, function: flow_brevity:reward}"


@pytest.fixture
def module(tmp_path, monkeypatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("REIN_FUNCTIONS", "flow_brevity:reward")
    yield tmp_path / "flow_brevity.py"
    forget()


def forget() -> None:
    """As in a new process: neither the module nor the digest of its code is known."""
    sys.modules.pop("flow_brevity", None)
    code_digest.cache_clear()


def test_a_run_on_a_function_and_again_when_its_code_has_changed(apart, first_report, module, tmp_path, caplog):
    module.write_text(BREVITY, encoding="utf-8")
    told = apart.report("rlhf", SMOKE, REWARD)
    assert told["stages_run"] == ["reward", "reward-report", "tuning", "matches", "evaluation"]
    folder = Path(told["artifacts"]["reward"], "model")
    kept = json.loads((folder / "function.json").read_text())
    assert kept["source"] == BREVITY
    for line in Path(told["artifacts"]["matches"], "samples.jsonl").read_text().splitlines():
        sample = json.loads(line)
        expected = (-0.5 * len(sample["policy_completion"].split()) - kept["mean"]) / kept["std"]
        assert sample["policy_score"] == pytest.approx(expected, abs=1e-5)

    module.write_text(BREVITY.replace("0.5", "0.25"), encoding="utf-8")
    forget()
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "My sink leaks.", "completion": "Call somebody."}\n')
    scored = apart.rein("score", folder, rows)
    assert scored.returncode == 0 and "flow_brevity:reward has changed since this reward was made" in caplog.text
    again = apart.report("rlhf", SMOKE, REWARD)
    assert again["stages_run"][0] == "reward" and again["artifacts"]["reward"] != told["artifacts"]["reward"]


def test_a_fault_is_said_before_anything_is_trained_and_by_check(apart, first_report, module):
    module.write_text("def reward(prompts, completions):\n    return 'good'\n", encoding="utf-8")
    overrides = [REWARD, "pretraining.learning_rate=1.7e-3"]  # a new base, which would have to be trained
    trained = sorted((apart.root / "artifacts").glob("pretraining-*"))
    complaint = "reward function flow_brevity:reward gives back str for 2 completions"
    with apart.prefect(), pytest.raises(ConfigError, match=complaint):
        rlhf(load_config(SMOKE, [*overrides, *apart.where(("rlhf",))]))
    assert sorted((apart.root / "artifacts").glob("pretraining-*")) == trained
    checked = call_rein("check", str(SMOKE), *overrides)
    assert checked.returncode == 1 and complaint in checked.stderr


def test_a_forms_text_has_nothing_imported(apart: Workplace, module):
    """What Prefect's form sends is a mapping; the flow validates it where it runs."""
    module.write_text("raise SystemExit('it was run')\n", encoding="utf-8")
    for named in ("os:system", "flow_brevity:other"):
        sent = read_preset(SMOKE, ["reward={kind: function, function: '" + named + "'}", *apart.where(("rlhf",))])
        with apart.prefect(), pytest.raises(ParameterTypeError, match="REIN_FUNCTIONS does not name it"):
            rlhf(config=sent)
    assert "flow_brevity" not in sys.modules

"""`rein check`: what the base makes of a preset's prompts, and about how long an update takes."""

import json
import re
from pathlib import Path

import pytest
import yaml

from models.network.networks import load_policy
from models.tuning.online import cost
from tasks.running.space import in_gigabytes
from tests.calling import call_rein
from tests.cli.conftest import CONTEXT_LENGTH

MAX_NEW_TOKENS = 20
SHORT, LONG = "my sink is leaking", "water " * CONTEXT_LENGTH

pytestmark = pytest.mark.usefixtures("quiet_float32")


@pytest.fixture
def preset(made_root, tmp_path):
    """Writes a preset on the base made by hand, with these prompts."""

    def write(*prompts: str, **settings) -> Path:
        (tmp_path / "prompts.txt").write_text("\n".join(prompts))
        tree = {
            "base": {"kind": "pretrained", "model": str(made_root / "artifacts" / "language-model" / "model")},
            "prompts": {"source": {"kind": "file", "path": str(tmp_path / "prompts.txt")}, "num_prompts": 2},
            "labels": {"kind": "store"},
            "sampling": {"max_new_tokens": MAX_NEW_TOKENS},
            "tuning": {"kind": "ppo", "batch_size": 4, "num_minibatches": 2, "num_epochs": 3},
            "storage": {"root": str(tmp_path / ".rein")},
        }
        (tmp_path / "preset.yaml").write_text(yaml.safe_dump(tree | settings))
        return tmp_path / "preset.yaml"

    return write


def test_it_says_what_the_base_is_and_how_it_reads_a_prompt(preset):
    done = call_rein("check", str(preset(SHORT, "the lamp does not light")))
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    # embeddings 300 x 32, tied; a layer 4 x 32 x 32 + 3 x 32 x 96 + 2 x 32; two of them; a norm of 32
    weights = 300 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 96 + 2 * 32) + 32
    assert said[0] == f"base: LlamaForCausalLM, {weights:,} weights, reads {CONTEXT_LENGTH} tokens"
    assert said[1] == "path: packed sequences, through a forward pass of Rein's own"
    assert said[2] == "turns end at: '</s>'; those that are learned from, with '</s>'"
    assert "prompts: 2 of 2 different prompts fit" in said
    (prompt,) = [line for line in said if line.startswith("a prompt: ")]
    count, pieces = re.fullmatch(r"a prompt: (\d+) tokens: (.*)", prompt).groups()
    spelled = re.findall(r"'((?:[^'])*)'", pieces)
    assert len(spelled) == int(count) and "".join(spelled) == f"<s>{SHORT}\\n"


def test_a_base_of_16_bit_numbers_is_kept_as_such(preset, tmp_path, made_root):
    base = made_root / "artifacts" / "language-model" / "model"
    model, tokenizer = load_policy(base)
    model.bfloat16().save_pretrained(tmp_path / "half")
    tokenizer.save_pretrained(tmp_path / "half")
    num_weights = sum(weight.numel() for weight in model.parameters())
    # base and policy; and a reward of 4 bytes a weight, its body all of the weights
    for folder, stored in ((base, 4), (tmp_path / "half", 2)):
        said = call_rein("check", str(preset(SHORT, "the lamp")), f"base.model={folder}").stdout
        assert f"disk: models {in_gigabytes(num_weights * (2 * stored + 4))}, " in said


def test_prompts_that_are_too_long_are_counted(preset):
    done = call_rein("check", str(preset(SHORT, LONG, "the lamp", SHORT, LONG + "!")))
    (told,) = [line for line in done.stdout.splitlines() if line.startswith("prompts:")]
    assert told.startswith("prompts: 2 of 4 different prompts fit; of the others the first: the prompt has ")
    assert f"{CONTEXT_LENGTH - MAX_NEW_TOKENS} are left beside max_new_tokens={MAX_NEW_TOKENS}" in told
    assert told.endswith("a run that draws one is refused, unless prompts.bad_rows=set_aside")


@pytest.mark.parametrize("override", ["prompts.bad_rows=refuse", "prompts.bad_rows=set_aside"])
def test_too_few_that_fit_are_refused_in_a_line(preset, override):
    done = call_rein("check", str(preset(SHORT, LONG)), override)
    assert done.returncode == 1
    assert re.fullmatch(
        r"\nDataError: prompts: 1 of 2 different prompts fit; .*; prompts.num_prompts is 2\n", done.stderr
    )


def test_rankings_that_exist_are_counted_or_refused(preset, tmp_path):
    rows = [
        {"prompt": SHORT, "chosen": "call a plumber", "rejected": "wait"},
        {"prompt": LONG, "chosen": "a", "rejected": "b"},
    ]
    rows.append({"prompt": "the lamp", "chosen": "change it", "rejected": "water " * CONTEXT_LENGTH})
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    labels = {"kind": "pairs", "path": str(tmp_path / "pairs.jsonl"), "bad_rows": "set_aside"}
    of_pairs = preset(SHORT, "the lamp", labels=labels)
    # of six completions two are of the prompt that does not fit, and one is too long itself
    assert "labels: 2 of 3 prompts fit, and 3 of 6 completions" in call_rein("check", str(of_pairs)).stdout
    refused = call_rein("check", str(of_pairs), "labels.bad_rows=refuse")
    assert refused.returncode == 1 and "set labels.bad_rows=set_aside" in refused.stderr


def test_a_base_that_cannot_serve_is_refused_in_a_line(preset, tmp_path):
    done = call_rein("check", str(preset(SHORT)), f"base.model={tmp_path}/none")
    assert done.returncode == 1 and re.fullmatch(r"\nConfigError: base.model .* cannot be loaded: .*\n", done.stderr)


def test_an_update_takes_as_long_as_its_tokens(preset, monkeypatch):
    """Read at 1 ms a token, learned from at 3 ms, a step of writing 100 ms, and prompts of as many tokens as are said."""
    monkeypatch.setattr(cost, "_of_tokens", lambda *_: cost._OfTokens(0.001, 0.003, 7, 0, 5))
    monkeypatch.setattr(cost, "_of_a_step", lambda *_: (0.1, 11, False))
    said = call_rein("check", str(preset(SHORT, SHORT + " "))).stdout
    num_prompt = int(re.search(r"a prompt: (\d+) tokens", said)[1])
    num_other = num_prompt + 1
    prompts = 4 * (num_prompt + num_other) / 2
    tokens = prompts + 4 * MAX_NEW_TOKENS
    seconds = 0.001 * (prompts + 4 * tokens) + 0.1 * MAX_NEW_TOKENS + 0.003 * 2 * 3 * tokens
    assert float(re.search(r"an update: about (\S+) s", said)[1]) == pytest.approx(seconds, rel=0.05)


def test_a_base_from_scratch_is_made_from_its_texts(tmp_path):
    done = call_rein("check", "deployments/smoke.yaml", f"storage.root={tmp_path}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "base: LlamaForCausalLM" in done.stdout and "prompts: " in done.stdout and "an update: about" in done.stdout


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"model_type": "t5", "is_encoder_decoder": True}, "t5 has an encoder"),
        ({"model_type": "mamba2"}, "mamba2 has layers that keep a state"),
        ({"model_type": "whatever"}, "cannot be loaded"),
    ],
)
def test_check_refuses_a_base_that_cannot_be_learned_in_one_line(config, complaint, preset, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = call_rein("learn", str(preset(SHORT, "the lamp")), f"base.model={tmp_path}", "--check")
    assert done.returncode == 1 and "fits" not in done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert complaint in line and str(tmp_path) in line


def test_what_a_run_would_not_find_is_told(preset, tmp_path):
    (tmp_path / "none.jsonl").touch()
    (tmp_path / "half.jsonl").write_text('{"prompt": "a"}\n')
    texts = (SHORT, "the lamp")
    for override, told in (
        ("sft={source: {kind: file, path: away.jsonl}}", "sft.source.path: away.jsonl: no such file or folder"),
        (f"sft={{source: {{kind: file, path: {tmp_path}/none.jsonl}}}}", "none.jsonl: the file is empty"),
        (f"sft={{source: {{kind: file, path: {tmp_path}/half.jsonl}}}}", "no column 'completion'"),
        (f"pretraining={{source: {{kind: file, path: {tmp_path}/half.jsonl}}}}", "no column 'text'"),
        (f"batch.instructions={tmp_path}/away.md", "batch.instructions: "),
    ):
        done = call_rein("check", str(preset(*texts)), override)
        assert (done.returncode, done.stdout) == (1, "") and told in done.stderr, override
    assert (
        "labels: the feedback store holds no judgement by 'helpfulness'"
        in call_rein("check", str(preset(*texts))).stdout
    )


def test_a_base_on_the_hub_is_not_looked_at_by_the_settings_alone(preset):
    done = call_rein("learn", str(preset(SHORT, "the lamp")), "base.model=somebody/something", "--check")
    assert done.returncode == 0
    assert done.stdout.startswith(
        "base.model somebody/something: not looked at, since it is on the hub; `rein check` loads it\n"
    )

"""Every shipped preset loads, and what is wrong in one is named by file and key."""

from pathlib import Path

import pytest
import yaml

from cli.fields import describe_fields
from deployments.presets import load
from models.errors import ConfigError
from models.settings.forms.form import Form
from models.settings.pipeline import PipelineConfig
from models.settings.presets import load_config, parse_config, read_preset
from tests.calling import call_rein

PROJECT = Path(__file__).resolve().parent.parent
PRESETS = sorted((PROJECT / "deployments").glob("*.yaml"))
TINY = PROJECT / "deployments" / "tiny.yaml"
SMOKE = PROJECT / "deployments" / "smoke.yaml"

MINIMAL = """
base: {kind: pretrained, model: some/model}
labels: {kind: folder, path: somewhere}
"""


@pytest.fixture
def preset(tmp_path):
    """Writes a preset and gives back its path."""

    def write(text):
        file = tmp_path / "mine.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def refusal(file, *overrides) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    return str(caught.value)


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.stem)
def test_every_preset_loads(file, monkeypatch):
    monkeypatch.setenv("REIN_DATA", "/somewhere")
    monkeypatch.setenv("REIN_MODEL", "/somewhere/else")
    monkeypatch.setenv("REIN_JUDGE", "http://localhost/v1")
    config = load_config(file)
    assert "${" not in config.model_dump_json()


def test_the_presets_that_the_readme_and_prefect_need_are_there():
    deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    steps = [inputs for one in deployments for step in one["build"] for inputs in step.values()]
    named = {inputs["path"] for inputs in steps if "path" in inputs}
    assert named | {"deployments/tiny.yaml"} <= {file.relative_to(PROJECT).as_posix() for file in PRESETS}


def test_a_build_step_gives_the_preset_as_a_deployments_form():
    form = load(str(TINY))["form"]
    assert Form.model_validate(form).config() == load_config(TINY)
    assert form["preset"] == "tiny" and "seed" not in form, "what the preset says is left to the preset"


def test_a_build_step_refuses_what_the_command_refuses(preset, monkeypatch):
    file = preset(MINIMAL + "tuning: {clipp: 0.2}")
    monkeypatch.setenv("REIN_PRESETS", str(file.parent))
    with pytest.raises(ConfigError, match="clipp"):
        load(str(file))


def test_overrides_change_only_what_they_name(preset):
    file = preset(MINIMAL + "tuning: {kl: {kind: fixed, coef: 0.05}}")
    before = load_config(file).model_dump()
    after = load_config(file, ["tuning.kl.coef=0.1", "seed=7"]).model_dump()
    assert (after["tuning"]["kl"]["coef"], after["seed"]) == (0.1, 7)
    after["tuning"]["kl"]["coef"], after["seed"] = 0.05, 0
    assert after == before


def test_an_override_can_open_a_section_and_set_a_list(preset):
    config = load_config(
        preset(MINIMAL), ["consensus.method=borda", "prompts.source={kind: household, num_rows: 5}", "pretraining=null"]
    )
    assert config.consensus.method == "borda"
    assert config.prompts.source.num_rows == 5
    assert config.pretraining is None


def test_an_override_leaves_alone_what_stands_elsewhere_by_the_same_anchor(preset):
    parts = "reward={kind: mixture, parts: {good: {reward: &how {num_epochs: 3}}, brief: {reward: *how}}}"
    config = load_config(preset(MINIMAL), [parts, "reward.parts.brief.reward.num_epochs=1"])
    assert [part.reward.num_epochs for part in config.reward.parts.values()] == [3, 1]


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("tuning.clip", "tuning.clip"),
        ("=3", "=3"),
        ("tuning.clip=[1", "tuning.clip"),
        ("seed.deeper=1", "seed has no keys below it"),
    ],
)
def test_an_override_that_cannot_be_read_is_named(preset, override, named):
    assert named in refusal(preset(MINIMAL + "seed: 1"), override)


@pytest.mark.parametrize(
    ("line", "key", "reason"),
    [
        ("tuning: {clipp: 0.2}", "tuning.clipp", "no such key"),
        ("policy: {}", "policy", "no such key"),
        ("tuning: {clip: -1}", "tuning.clip", "greater than 0"),
        ("seed: many", "seed", "integer"),
        ("consensus: {method: vote}", "consensus.method", "'borda' or 'bradley_terry'"),
        ("generation: {num_completions: 1}", "generation.num_completions", "greater than or equal to 2"),
        ("tuning: {batch_size: 10, num_minibatches: 4}", "tuning", "num_minibatches must divide batch_size"),
        ("tuning: {ptx: {coef: 1}}", "tuning.ptx.source", "required"),
        ("tuning: {ptx: {source: {kind: household}}}", "tuning.ptx.coef", "required"),
        ("tuning: {ptx: {coef: 0, source: {kind: file, path: t.txt}}}", "tuning.ptx.coef", "greater than 0"),
        ("tuning: {policy_ema: 1}", "tuning.policy_ema", "less than 1"),
        ("tuning: {kind: rloo, num_samples: 1}", "tuning.num_samples", "greater than or equal to 2"),
        ("tuning: {kind: rloo, batch_size: 10}", "tuning", "num_samples must divide batch_size"),
        ("tuning: {kind: grpo, num_minibatches: 3}", "tuning", "num_minibatches must divide batch_size"),
        ("tuning: {kind: grpo, value_start: policy}", "tuning.value_start", "no such key"),
        ("tuning: {num_updates: 4, value_warmup_updates: 4}", "tuning", "the policy never learns"),
        ("tuning: {score_clip: 2.9}", "tuning", "would clip the fixed missing_end.score"),
        ("compute: {sharding: fsdp2}", "compute", "sharding needs num_processes above 1"),
        ("split: {validation: 0.5, test: 0.5}", "split", "below 1"),
        ("prompts: {source: {num_rows: 5}}", "prompts.source", "kind"),
        ("sft: {num_epochs: 1}", "sft.source", "required"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(preset, line, key, reason):
    file = preset(MINIMAL + line)
    message = refusal(file)
    assert message.startswith(f"{file} does not fit:")
    complaints = message.splitlines()[1:]
    assert len(complaints) == 1
    assert complaints[0].startswith(f"  {key}: ")
    assert reason in complaints[0]


@pytest.mark.parametrize(
    ("ptx", "reason"),
    [
        (
            "{source: {kind: feedback}, coef: 1}",
            "the text of `tuning`, kind feedback, needs rankings that exist before training",
        ),
        ("{source: {kind: household}, coef: 1, sequence_length: 97}", "tuning.ptx.sequence_length must not exceed"),
    ],
)
def test_pretraining_text_for_ppo_that_cannot_be_read(ptx, reason):
    with pytest.raises(ConfigError, match=reason):
        load_config(SMOKE, [f"tuning.ptx={ptx}"])


def test_an_adapter_shares_weights_and_so_is_not_sharded(preset):
    message = refusal(preset(f"{MINIMAL}tuning: {{lora: {{}}}}\ncompute: {{num_processes: 2, sharding: fsdp2}}"))
    assert "tuning.lora needs compute.sharding none" in message
    load_config(preset(f"{MINIMAL}tuning: {{lora: {{}}}}\ncompute: {{num_processes: 2}}"))
    message = refusal(preset(f"{MINIMAL}reward: {{lora: {{}}}}\ncompute: {{num_processes: 2, sharding: fsdp2}}"))
    assert "reward.lora needs compute.sharding none" in message


def test_random_weights_do_not_learn_through_an_adapter():
    with pytest.raises(ConfigError, match=r"pretraining\.lora: random weights learn as a whole"):
        load_config(SMOKE, ["pretraining.lora={rank: 2}"])
    load_config(SMOKE, ["sft.lora={rank: 2}"])


@pytest.mark.parametrize(
    ("line", "stage"),
    [
        ("reward: {batch_size: 7}", "reward"),
        ("tuning: {batch_size: 28, num_minibatches: 4}", "tuning"),
        ("tuning: {ptx: {batch_size: 7, coef: 1, source: {kind: household}}}", "tuning.ptx"),
        ("sft: {source: {kind: household}, batch_size: 7}", "sft"),
    ],
)
def test_each_process_has_a_row_of_every_step(preset, line, stage):
    message = refusal(preset(f"{MINIMAL}{line}\ncompute: {{num_processes: 8}}"))
    assert f"compute.num_processes exceeds the 7 rows of an optimizer step of `{stage}`" in message
    load_config(preset(f"{MINIMAL}{line}\ncompute: {{num_processes: 7}}"))


def test_all_wrong_settings_are_named_at_once(preset):
    message = refusal(preset(MINIMAL + "seed: many\ntuning: {clip: 0, gamma: 2}"))
    assert {line.split(":")[0].strip() for line in message.splitlines()[1:]} == {"seed", "tuning.clip", "tuning.gamma"}


def test_a_kind_is_asked_for(preset):
    assert "say which `kind`" in refusal(preset("base: {model: m}\nlabels: {kind: folder, path: p}"))
    assert "'pretrained', 'scratch'" in refusal(preset("base: {kind: new}\nlabels: {kind: folder, path: p}"))


def test_a_preset_without_what_is_required(preset):
    message = refusal(preset("seed: 1"))
    assert "base: " in message
    assert "labels: " in message


def test_a_renamed_key_fails_loudly():
    """Every key of the shipped preset is read: under another name it is refused, not ignored."""
    tree = read_preset(TINY)
    for section, settings in tree.items():
        for key in settings:
            renamed = tree | {section: {f"{name}_" if name == key else name: value for name, value in settings.items()}}
            with pytest.raises(ConfigError, match=rf"{section}\b"):
                parse_config(renamed)


def test_a_variable_of_the_environment_is_put_in(preset, monkeypatch):
    file = preset(
        "base: {kind: pretrained, model: '${REIN_MODELS}/small'}\nlabels: {kind: folder, path: '${REIN_MODELS}'}"
    )
    monkeypatch.setenv("REIN_MODELS", "/models")
    config = load_config(file)
    assert (config.base.model, config.labels.path) == ("/models/small", "/models")
    monkeypatch.delenv("REIN_MODELS")
    assert "REIN_MODELS is not set" in refusal(file)


@pytest.mark.parametrize(("text", "reason"), [("a: [1", "not YAML"), ("- a", "found list"), ("", "found NoneType")])
def test_a_file_that_is_no_preset(preset, text, reason):
    file = preset(text)
    message = refusal(file)
    assert str(file) in message
    assert reason in message


def test_a_preset_that_is_not_there(tmp_path):
    assert refusal(tmp_path / "none.yaml") == f"{tmp_path / 'none.yaml'}: no such preset"


def keys_of(model: type, prefix: str = "") -> set[str]:
    """Every key below a settings model, found by its JSON schema."""
    schema = model.model_json_schema()
    keys = set()

    def walk(node, path):
        if "$ref" in node:
            walk(schema["$defs"][node["$ref"].rpartition("/")[2]], path)
        for name, value in node.get("properties", {}).items():
            keys.add(f"{path}{name}")
            walk(value, f"{path}{name}.")
        for variant in (*node.get("oneOf", ()), *node.get("anyOf", ())):
            walk(variant, path)
        if "items" in node:
            walk(node["items"], path)

    walk(schema, prefix)
    return keys


def test_every_setting_is_listed_with_a_text():
    lines = describe_fields(PipelineConfig).splitlines()
    listed = {}
    for line, text in zip(lines, [*lines[1:], ""], strict=True):
        if line and not line.startswith(" "):
            listed[line.partition(" ")[0]] = text.strip()
    assert set(listed) == keys_of(PipelineConfig)
    assert "evaluation.judges = [{kind: own_reward}]" in lines, "lists as a preset writes them"
    silent = {key for key, text in listed.items() if not text and not key.endswith("kind")}
    assert not silent


def test_the_command_lists_the_settings():
    done = call_rein("fields")
    assert done.returncode == 0
    assert done.stdout.strip() == describe_fields(PipelineConfig).strip()


def test_the_command_checks_a_preset_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call_rein("rlhf", str(SMOKE), "tuning.kl.coef=0.1", "--check")
    assert (done.returncode, done.stderr) == (0, "")
    assert str(SMOKE) in done.stdout
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_is_wrong_without_a_traceback(preset):
    file = preset(MINIMAL + "tuning: {clipp: 0.2}")
    done = call_rein("learn", str(file), "--check")
    assert done.returncode == 1
    assert "tuning.clipp: no such key" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_comment_in_an_override_is_no_silent_cut(preset):
    file = preset(MINIMAL)
    for cut in ("tracking.experiment=round #2", "seed=3 # for now", "consensus={method: borda} #2"):
        with pytest.raises(ConfigError, match=f"override '{cut}': # begins a comment in YAML; put the value into"):
            load_config(file, [cut])
    assert load_config(file, ["tracking.experiment='round #2'"]).tracking.experiment == "round #2"
    assert load_config(file, ["tracking.experiment=round#2"]).tracking.experiment == "round#2"


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("tracking.policy_name=team/policy", "tracking.policy_name: a name in MLflow's registry has no /"),
        ("tracking.reward_name=v1.0", "tracking.reward_name: a name in MLflow's registry has no ."),
        ("tracking.policy_name=' '", "tracking.policy_name: it is blank"),
        ("tracking.policy_name=rein-reward", "tracking: reward_name and policy_name are both rein-reward"),
        ("tracking.experiment=' '", "tracking.experiment: "),
        ("reward.num_epochs=.inf", "reward.num_epochs: Input should be a finite number"),
        ("tuning.kl={kind: fixed, coef: .nan}", "tuning.kl.coef: Input should be a finite number"),
        ("seed=12345678901234567890", "seed: Input should be less than 9223372036854775808"),
        ("seed=-1", "seed: Input should be greater than or equal to 0"),
    ],
)
def test_what_would_fail_after_the_training_is_refused_before(preset, override, complaint):
    with pytest.raises(ConfigError) as caught:
        load_config(preset(MINIMAL), [override])
    assert f"  {complaint}" in str(caught.value)

"""What a form asks for, and the configuration that comes of what is filled in."""

import pytest
from pydantic import ValidationError

from models.errors import ConfigError
from models.settings.forms.by_flow import CollectForm, EvaluateForm, IterateForm, RetrainForm, RewardForm, RlhfForm
from models.settings.forms.form import Form, presets
from models.settings.pipeline import PipelineConfig
from models.settings.presets import load_config
from tests.test_presets import PRESETS, TINY


def filled_in(**fields: object) -> RlhfForm:
    return RlhfForm.model_validate({"preset": "tiny"} | fields)


def refusal(**fields: object) -> str:
    with pytest.raises(ConfigError) as caught:
        filled_in(**fields).config()
    return str(caught.value)


def asked(form: type[Form]) -> list[str]:
    return list(form.model_json_schema()["properties"])


def test_an_empty_form_is_the_preset():
    assert filled_in().config() == load_config(TINY)


def test_what_is_filled_in_goes_before_places_and_preset_and_overrides_before_all():
    form = filled_in(
        **{"tuning.kl.coef": 0.1, "seed": 1, "tuning.num_updates": 7},
        places="""'storage.root="/kept: here"' seed=8 tuning.num_updates=8""",
        overrides="""tuning.num_updates=9 'labels={kind: store, criterion: "two words"}'""",
    )
    said = ["storage.root='/kept: here'", "seed=1", "tuning.kl.coef=0.1", "tuning.num_updates=9"]
    assert form.config() == load_config(TINY, [*said, "labels={kind: store, criterion: two words}"])


def test_each_form_asks_for_what_its_flow_reads_and_a_text_for_the_rest():
    of_data = ["prompts.num_prompts", "generation.num_completions", "sampling.max_new_tokens"]
    of_reward = ["reward.num_epochs", "reward.learning_rate"]
    of_tuning = ["tuning.num_updates", "tuning.learning_rate", "tuning.kl.coef", "evaluation.num_prompts"]
    rest = ["overrides", "places"]
    assert asked(CollectForm) == ["preset", "seed", *of_data, *rest]
    assert asked(RlhfForm) == ["preset", "seed", *of_data, *of_reward, *of_tuning, *rest]
    assert asked(IterateForm) == ["preset", "seed", "iteration.num_rounds", *asked(RlhfForm)[2:]]
    assert asked(RewardForm) == ["preset", "seed", *of_reward, *rest]
    learning = ["sampling.max_new_tokens", *of_reward, *of_tuning, *rest]
    assert asked(RetrainForm) == ["preset", "seed", "retraining.min_new_judgements", *learning]
    assert asked(EvaluateForm) == ["preset", "seed", "sampling.max_new_tokens", "evaluation.num_prompts", *rest]


def settings_of(key: str) -> list[dict]:
    """The JSON schemas of the setting with this key, one of each kind of settings that has it."""
    whole = PipelineConfig.model_json_schema()
    found = [whole]
    for part in key.split("."):
        found = [
            one["properties"][part]
            for node in found
            for one in variants(node, whole["$defs"])
            if part in one.get("properties", {})
        ]
    return found


def variants(node: dict, defined: dict) -> list[dict]:
    if "$ref" in node:
        node = defined[node["$ref"].rpartition("/")[2]]
    inside = [*node.get("anyOf", ()), *node.get("oneOf", ())]
    return [one for variant in inside for one in variants(variant, defined)] if inside else [node]


def test_a_field_has_the_text_and_the_bounds_of_its_setting():
    for form in (IterateForm, RetrainForm):
        for key, field in form.model_json_schema()["properties"].items():
            if key in ("preset", "overrides", "places"):
                continue
            assert field.pop("title") == key
            declared = [
                {name: value for name, value in one.items() if name not in ("default", "title")}
                for one in settings_of(key)
            ]
            assert field in declared, key


def test_a_choice_is_offered_of_the_presets_that_are_shipped_and_of_ones_own(monkeypatch, tmp_path):
    assert Form.model_json_schema()["properties"]["preset"]["enum"] == [file.stem for file in PRESETS]
    (tmp_path / "mine.yaml").write_text(TINY.read_text().replace("num_updates: 60", "num_updates: 61"))
    monkeypatch.setenv("REIN_PRESETS", str(tmp_path))
    assert Form.model_json_schema()["properties"]["preset"]["enum"] == [*(file.stem for file in PRESETS), "mine"]
    assert filled_in(preset="mine").config().tuning.num_updates == 61
    (tmp_path / "mine.yaml").rename(tmp_path / "tiny.yaml")
    assert filled_in().config().tuning.num_updates == 61, "one's own goes first"
    assert presets().keys() == {file.stem for file in PRESETS}


@pytest.mark.parametrize("name", ["mine", "../deployments/tiny", "/etc/passwd", "tiny.yaml"])
def test_a_preset_is_one_of_the_offered_and_no_path(name):
    assert refusal(preset=name).startswith(f"preset: there is no {name!r} here; there are ai, e2e-smollm2, ")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"sampling.max_new_tokens": 64},
            "preset tiny, as changed, does not fit: base.context_length must exceed sampling.max_new_tokens",
        ),
        (
            {"overrides": "tuning.num_minibatches=7"},
            "preset tiny, as changed, does not fit: tuning: num_minibatches must divide batch_size",
        ),
        (
            {"overrides": "tuning.clip=-1 tuning.clipp=1"},
            "preset tiny, as changed, does not fit: tuning.clip: Input should be greater than 0; "
            "tuning.clipp: no such key; did you mean tuning.clip? (`rein fields` lists all)",
        ),
        (
            {"overrides": "labels={kind: store seed=1"},
            "overrides: override 'labels={kind: store seed=1': the value is not YAML",
        ),
        ({"overrides": "seed"}, "overrides: override 'seed': expected key.path=value, such as tuning.kl.coef=0.1"),
        ({"overrides": "'seed=1"}, "overrides: no closing quotation; a quote needs its end"),
        ({"places": "seed.deeper=1 seed.deeper.still=2"}, "places: seed.deeper.still: deeper has no keys below it"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(fields, sentence):
    assert refusal(**fields) == sentence


@pytest.mark.parametrize(
    "text", ["labels={kind: store} seed=1", "'labels={kind: store}' seed=1", "labels={kind: store}\nseed=1"]
)
def test_overrides_are_cut_as_a_shell_does_but_not_inside_of_braces(text):
    config = filled_in(**{"overrides": text, "seed": 2, "tuning.kl.coef": 1}).config()
    assert (config.labels.kind, config.seed, config.tuning.kl.coef) == ("store", 1, 1)
    judges = (
        filled_in(overrides="evaluation.judges=[{kind: household_rule}, {kind: own_reward}] sft=null")
        .config()
        .evaluation.judges
    )
    assert [judge.kind for judge in judges] == ["household_rule", "own_reward"]
    assert filled_in(overrides="tuning={kind: dpo}", **{"tuning.num_updates": 3}).config().tuning.kind == "dpo"


def test_nothing_in_a_form_is_expanded(monkeypatch):
    """A preset may say `${NAME}`, and that is read where the run runs; what somebody fills in is taken as it stands."""
    monkeypatch.setenv("MY_SECRET", "hunter2")
    form = filled_in(
        overrides="tracking.experiment='${MY_SECRET}' tracking.policy_name='${MY_SECRET}'",
        places="storage.root=${MY_SECRET}",
    )
    config = form.config()
    assert (config.tracking.experiment, config.tracking.policy_name) == ("${MY_SECRET}", "${MY_SECRET}")
    assert config.storage.root == "${MY_SECRET}" and "hunter2" not in config.model_dump_json()
    monkeypatch.setenv("REIN_DATA", "/some/where")
    assert filled_in(preset="rankme").config().base.model == "/some/where/models/stories260k"
    monkeypatch.delenv("REIN_DATA")
    assert refusal(preset="rankme") == "environment variable REIN_DATA is not set, but a setting uses ${REIN_DATA}"


@pytest.mark.parametrize("field", ["promotion.own_reward_suffices", "tuning.clip", "seeds", "num_prompts"])
def test_another_key_is_refused(field):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        filled_in(**{field: 1})


def test_what_was_changed_is_told_without_places():
    form = filled_in(
        **{"seed": 12345678, "tuning.learning_rate": 1e-5}, overrides="tuning.clip=0.1", places="storage.root=/x"
    )
    assert form.changes == ["seed=12345678", "tuning.learning_rate=1e-05", "tuning.clip=0.1"]
    assert filled_in().changes == []
    assert filled_in(overrides="'seed=1").changes == ["'seed=1"], "what cannot be read is told as it stands"

"""What settings of language models that judge refuse, and which of them are found."""

import pytest

from models.errors import ConfigError
from models.settings.asked.labels import asked_models
from models.settings.presets import load_config
from tests.test_presets import SMOKE


def model(name: str) -> str:
    return f"{{kind: endpoint, address: 'http://host/v1', model: {name}}}"


LABELS = f"labels={{kind: ai, labelers: [{{name: j, model: {model('m')}}}]}}"
JUDGES = f"evaluation.judges=[{{kind: ai, model: {model('m')}}}]"
PARTS = f"reward={{kind: mixture, parts: {{a: {{reward: {{kind: judge, model: {model('m')}}}}}, b: {{}}}}}}"
PART_LABELS = f"reward={{kind: mixture, parts: {{a: {{}}, b: {{{LABELS.replace('labels=', 'labels: ')}}}}}}}"


@pytest.mark.parametrize("taught", [LABELS, f"reward={{kind: judge, model: {model('m')}}}", PARTS, PART_LABELS])
def test_no_model_judges_what_it_has_taught(taught):
    with pytest.raises(ConfigError, match=r"evaluation\.judges, kind ai: m labels, or is the reward, too"):
        load_config(SMOKE, [taught, JUDGES])
    load_config(SMOKE, [taught, JUDGES.replace("model: m", "model: other")])


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (f"{{kind: ai, labelers: [{{name: j, model: {model('a')}}}, {{name: j, model: {model('b')}}}]}}", "same name"),
        (
            f"{{kind: ai, labelers: [{{name: j, model: {model('a')}}}], beside: {{kind: simulated}}}}",
            "no kind 'simulated'",
        ),
        ("{kind: ai, labelers: []}", "at least 1 item"),
        ("{kind: ai, labelers: [{name: j}]}", "labels.labelers.0.model: Field required"),
    ],
)
def test_labels_that_do_not_fit(labels, complaint):
    with pytest.raises(ConfigError, match=complaint):
        load_config(SMOKE, [f"labels={labels}"])


def test_whoever_asks_a_model_is_found():
    """The labelers of a part of the reward are asked for their labels, with those of the run."""
    config = load_config(SMOKE, [LABELS, PARTS, JUDGES.replace("model: m", "model: other")])
    assert [one.model.named for one in asked_models(config.labels)] == ["m"]
    assert [one.model.named for one in asked_models(config.reward)] == ["m"]
    assert [one.model.named for one in asked_models(config.evaluation)] == ["other"]
    assert list(asked_models(load_config(SMOKE, [PART_LABELS]).reward)) == []

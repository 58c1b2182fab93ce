"""prefect.yaml and the form that Prefect makes of a flow's parameter."""

import importlib
import os

import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from deployments.presets import PLACES, load, load_places
from deployments.register import deployments_that_fit
from flows.rlhf import rlhf
from models.errors import ConfigError
from tests.test_presets import PROJECT

DEPLOYMENTS = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_a_deployment_names_a_flow_and_a_preset_that_fits(deployment, monkeypatch):
    monkeypatch.setenv("REIN_DATA", os.environ.get("REIN_DATA", "data"))
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
    path, name = deployment["entrypoint"].split(":")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert getattr(module, name).name == deployment["name"] == name
    flow = getattr(module, name)
    for (step, inputs), *_ in (list(step.items()) for step in deployment["build"]):
        given = {key: value for key, value in inputs.items() if key != "id"}
        if step == "deployments.presets.load_places":
            flow.validate_parameters({"request": load_places()["settings"] | {"made_by": "ann", "reason": "better"}})
        else:
            flow.validate_parameters(load(**given))


def test_a_nightly_retraining_is_there_and_off():
    (schedule,) = next(one for one in DEPLOYMENTS if one["name"] == "retrain")["schedules"]
    assert schedule["active"] is False and schedule["slug"] == "nightly"


def test_places_of_the_environment_go_before_those_of_the_preset(monkeypatch):
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    assert not {"storage", "tracking", "feedback"} & load("deployments/smoke.yaml")["config"].keys()
    monkeypatch.setenv("REIN_ROOT", "/kept: here")
    monkeypatch.setenv("REIN_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("REIN_STORE", "sqlite:////kept/feedback.db")
    config = load("deployments/smoke.yaml")["config"]
    assert config["storage"] == {"root": "/kept: here"}
    assert config["tracking"] == {"uri": "http://127.0.0.1:5000"}
    assert config["feedback"] == {"url": "sqlite:////kept/feedback.db"}


def test_a_deployment_that_cannot_be_read_is_left_out_and_says_why(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("REIN_DATA", raising=False)
    assert deployments_that_fit(PROJECT / "prefect.yaml") == [
        "rlhf",
        "collect",
        "iterate",
        "reward",
        "retrain",
        "evaluate",
        "promote",
    ]
    (line,) = capsys.readouterr().out.splitlines()
    assert line == (
        "deployment learn is left out: environment variable REIN_DATA is not set, but a setting uses ${REIN_DATA}"
    )
    with pytest.raises(ConfigError, match=r"none\.yaml: no such file"):
        deployments_that_fit(tmp_path / "none.yaml")


def of_kind(kind: str, schema: dict) -> dict:
    """The settings of a kind at a seam; there are more kinds where something has named those of others (REIN_KINDS)."""
    variants = [one["properties"] for one in schema.get("anyOf", [schema])]
    (found,) = [one for one in variants if one["kind"]["const"] == kind]
    return found


def test_the_form_begins_with_what_people_change_and_shows_the_keys_of_presets():
    definitions = parameter_schema(rlhf).model_dump()["definitions"]
    assert list(definitions["PipelineConfig"]["properties"])[:3] == ["seed", "tuning", "reward"]
    assert list(definitions["PipelineConfig"]["properties"])[-2:] == ["storage", "tracking"]
    tuning = of_kind("ppo", definitions["PipelineConfig"]["properties"]["tuning"])
    assert {"num_updates", "kl"} < set(list(tuning)[:5])
    for definition in definitions.values():
        assert all(setting.get("title", key) == key for key, setting in definition["properties"].items())


def test_the_form_shows_texts_bounds_and_choices():
    definitions = parameter_schema(rlhf).model_dump()["definitions"]
    ppo = of_kind("ppo", definitions["PipelineConfig"]["properties"]["tuning"])
    assert ppo["clip"]["description"] == "eps of the policy loss."
    assert ppo["clip"]["exclusiveMinimum"] == 0 and ppo["lam"]["maximum"] == 1
    assert set(ppo["kl"]["discriminator"]["mapping"]) == {"fixed", "adaptive"}
    assert (
        definitions["GenerationConfig"]["properties"]["num_completions"] | {"maximum": 9, "minimum": 2}
        == (definitions["GenerationConfig"]["properties"]["num_completions"])
    )
    assert definitions["Compute"]["properties"]["device"]["enum"] == ["auto", "cpu", "cuda"]

"""prefect.yaml and the form that Prefect makes of a flow's parameter."""

import importlib
import os

import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from deployments.presets import load
from flows.rlhf import rlhf
from tests.test_presets import PROJECT

DEPLOYMENTS = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_a_deployment_names_a_flow_and_a_preset_that_fits(deployment, monkeypatch):
    monkeypatch.setenv("REIN_DATA", os.environ.get("REIN_DATA", "data"))
    path, name = deployment["entrypoint"].split(":")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert getattr(module, name).name == deployment["name"] == name
    (step,) = deployment["build"]
    parameters = load(step["deployments.presets.load"]["path"])
    getattr(module, name).validate_parameters(parameters)


def test_the_form_shows_texts_bounds_and_choices():
    definitions = parameter_schema(rlhf).model_dump()["definitions"]
    ppo = definitions["PPOConfig"]["properties"]
    assert ppo["clip"]["description"] == "eps of the policy loss."
    assert ppo["clip"]["exclusiveMinimum"] == 0 and ppo["lam"]["maximum"] == 1
    assert set(ppo["kl"]["discriminator"]["mapping"]) == {"fixed", "adaptive"}
    assert (
        definitions["GenerationConfig"]["properties"]["num_completions"] | {"maximum": 9, "minimum": 2}
        == (definitions["GenerationConfig"]["properties"]["num_completions"])
    )
    assert definitions["Compute"]["properties"]["device"]["enum"] == ["auto", "cpu", "cuda"]

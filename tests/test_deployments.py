"""prefect.yaml and the form that Prefect makes of a flow's parameter."""

import importlib
import os

import pytest
import yaml
from prefect.utilities.callables import parameter_schema

from deployments.presets import PLACES, load, load_places
from deployments.register import deployments_that_fit
from models.errors import ConfigError
from models.settings.forms.by_flow import RlhfForm
from models.settings.presets import load_config
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
            flow.validate_parameters(load(**given))["form"].config()


def test_a_nightly_retraining_is_there_and_off():
    (schedule,) = next(one for one in DEPLOYMENTS if one["name"] == "retrain")["schedules"]
    assert schedule["active"] is False and schedule["slug"] == "nightly"


def test_places_of_the_environment_go_before_those_of_the_preset(monkeypatch):
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    assert load("deployments/smoke.yaml") == {"form": {"preset": "smoke"}}
    monkeypatch.setenv("REIN_ROOT", "/kept: here")
    monkeypatch.setenv("REIN_TRACKING_URI", "http://127.0.0.1:5000")
    monkeypatch.setenv("REIN_STORE", "sqlite:////kept/the feedback.db")
    form = load("deployments/smoke.yaml")["form"]
    assert form["places"].split()[2] == "tracking.uri=http://127.0.0.1:5000"
    config = RlhfForm.model_validate(form).config()
    assert config.storage.root == "/kept: here"
    assert config.tracking.uri == "http://127.0.0.1:5000"
    assert config.feedback.url == "sqlite:////kept/the feedback.db"


def test_overrides_of_a_deployment_stand_in_its_form_and_may_name_variables(monkeypatch):
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MY_FOLDER", "/my folder")
    overrides = ["labels={kind: folder, path: '${MY_FOLDER}'}", "seed=3"]
    form = load("deployments/smoke.yaml", overrides)["form"]
    assert form["overrides"].endswith(" seed=3") and "${" not in form["overrides"]
    assert RlhfForm.model_validate(form).config() == load_config("deployments/smoke.yaml", overrides)


def test_a_preset_that_no_form_offers_says_how_it_would_be(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text((PROJECT / "deployments" / "smoke.yaml").read_text())
    with pytest.raises(ConfigError, match=r"mine\.yaml: forms offer the presets of .* that REIN_PRESETS names; set it"):
        load(str(tmp_path / "mine.yaml"))
    monkeypatch.setenv("REIN_PRESETS", str(tmp_path))
    assert load(str(tmp_path / "mine.yaml"))["form"]["preset"] == "mine"
    (tmp_path / "smoke.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"smoke\.yaml: forms offer"):
        load("deployments/smoke.yaml")


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


@pytest.mark.parametrize(
    "deployment", [one for one in DEPLOYMENTS if one["name"] != "promote"], ids=lambda one: one["name"]
)
def test_the_form_of_a_deployment_fits_on_a_screen_or_two(deployment):
    """A field takes 114 pixels of Prefect's page. What has a choice between kinds, or null, would be a tab, or raw JSON."""
    path, name = deployment["entrypoint"].split(":")
    schema = parameter_schema(getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name))
    (form,) = schema.definitions.values()
    fields = form["properties"]
    assert len(fields) <= 14 and form["required"] == ["preset"]
    assert [*fields][:2] == ["preset", "seed"] and [*fields][-2:] == ["overrides", "places"]
    assert all(field["title"] == key and field["description"] for key, field in fields.items())
    assert not [key for key, field in fields.items() if "type" not in field or "anyOf" in field or "default" in field]
    assert "smoke" in fields["preset"]["enum"]
    assert not [key for key in fields if key.startswith("promotion")]

"""No address among the settings holds a secret: refused by the settings, and by the schema that forms are checked with."""

import json
import shlex

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import is_valid_schema, validate
from pydantic import ValidationError

from flows.forms import rlhf
from models.errors import ConfigError
from models.settings.pipeline import TrackingConfig
from models.settings.presets import load_config
from tests.calling import call_rein
from tests.test_presets import SMOKE

SECRETS = [
    ("tracking", "uri", "https://ann:hunter2@mlflow.example", "MLFLOW_TRACKING_PASSWORD"),
    ("tracking", "uri", "HTTPS://hunter2@mlflow.example", "MLFLOW_TRACKING_PASSWORD"),
    ("tracking", "uri", "postgresql://db/mlflow?user=a&password=hunter2", "MLFLOW_TRACKING_PASSWORD"),
    ("feedback", "url", "postgresql+psycopg://ann:hunter2@db/rein", "PGPASSWORD"),
    ("feedback", "url", "postgresql+psycopg://ann:hun@ter2@db/rein", "PGPASSWORD"),
    ("feedback", "url", "postgresql+psycopg://db/rein?sslpassword=hunter2", "PGPASSWORD"),
    ("generation", "runner", {"kind": "ray", "address": "ray://ann:hunter2@head:10001"}, "RAY_AUTH_TOKEN"),
    ("storage", "mirror", "s3://key:hunter2@bucket/rein", "AWS_SECRET_ACCESS_KEY"),
]
PLAIN = [
    ("tracking", "uri", "https://mlflow.example:5000/path"),
    ("feedback", "url", "postgresql+psycopg://ann@db:5432/rein?host=/run/postgresql"),
    ("feedback", "url", "sqlite:////srv/rein/feedback.db"),
    ("generation", "runner", {"kind": "ray", "address": "ray://head:10001"}),
    ("storage", "mirror", "s3://bucket/rein"),
    ("storage", "mirror", "file:///mnt/share"),
]
SCHEMA = parameter_schema(rlhf).model_dump()
AMONG = ("{}", "seed=1 {}", "seed=1\n{}\nseed=2", "tracking.uri=http://127.0.0.1:5000 {}")
"""Where in a text of a form a setting may stand."""


def with_setting(section: str, name: str, value: object, field: str = "overrides", among: str = "{}") -> dict:
    """A form in which somebody has set this in a text."""
    return {"form": {"preset": "smoke", field: among.format(shlex.quote(f"{section}.{name}={json.dumps(value)}"))}}


@pytest.mark.parametrize(("section", "name", "value", "instead"), SECRETS)
def test_a_secret_is_refused_and_not_repeated(section, name, value, instead):
    with pytest.raises(ConfigError, match=instead) as caught:
        load_config(SMOKE, [f"{section}.{name}={value}"])
    assert f"{section}.{name}" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    form = rlhf.validate_parameters(with_setting(section, name, value))["form"]
    with pytest.raises(ConfigError, match=instead) as caught:
        form.config()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("field", ["overrides", "places"])
@pytest.mark.parametrize(("section", "name", "value"), [one[:3] for one in SECRETS])
def test_prefects_server_refuses_it_before_it_is_stored(section, name, value, field):
    assert is_valid_schema(SCHEMA) is None
    for among in AMONG:
        with pytest.raises(Exception, match=r"does not match"):
            validate(with_setting(section, name, value, field, among), SCHEMA, raise_on_error=True)


@pytest.mark.parametrize("field", ["overrides", "places"])
@pytest.mark.parametrize(("section", "name", "value"), PLAIN)
def test_an_address_without_a_secret_is_taken(section, name, value, field):
    for among in AMONG:
        parameters = with_setting(section, name, value, field, among)
        assert validate(parameters, SCHEMA, raise_on_error=False) == []
    form = rlhf.validate_parameters(with_setting(section, name, value, field))["form"]
    assert section in form.config().model_fields_set


@pytest.mark.parametrize("mirror", ["/mnt/share", "simplecache::file:///etc", "s3://a::file:///etc"])
def test_a_mirror_is_one_address_with_its_kind(mirror):
    with pytest.raises(ConfigError, match=r"storage\.mirror: expected one address"):
        load_config(SMOKE, [f"storage.mirror={mirror}"])


def test_a_parameter_of_a_flow_reads_nothing_from_the_environment(monkeypatch):
    """Presets may say `${NAME}`; what comes through a form is taken as it stands."""
    monkeypatch.setenv("MY_SECRET", "hunter2")
    config = rlhf.validate_parameters(with_setting("tracking", "experiment", "${MY_SECRET}"))["form"].config()
    assert config.tracking.experiment == "${MY_SECRET}"
    assert load_config(SMOKE, ["tracking.experiment=${MY_SECRET}"]).tracking.experiment == "hunter2"


def test_an_option_of_the_command_holds_no_secret_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call_rein("withdraw", "ann", "--tracking-uri", "https://ann:hunter2@mlflow.example")
    assert done.returncode == 1
    assert "ConfigError: uri: holds a password" in done.stderr and "hunter2" not in done.stderr


def test_an_error_of_the_settings_does_not_repeat_what_was_given():
    with pytest.raises(ValidationError) as caught:
        TrackingConfig(uri="https://ann:hunter2@mlflow.example")
    assert "hunter2" not in str(caught.value)

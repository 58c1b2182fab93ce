"""Versions of the policy in MLflow's registry: what each was made from, and which of them is champion or challenger."""

import functools
import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from mlflow.entities import LoggedModelOutput
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList

from models.errors import ConfigError, DataError
from models.records import Artifact
from models.settings.pipeline import TrackingConfig
from tasks.tracking.mlflow_model import describe_model
from tasks.tracking.model_files import keep_model
from tasks.tracking.patience import Patient
from tasks.tracking.tracked_run import TrackedRun, connect

NOT_THERE = "RESOURCE_DOES_NOT_EXIST"
"""MLflow's error code."""
ORIGIN = "rein.origin"
"""Tag of a policy's version: JSON with handles of the policy and of what it was made from, and the digest of the snapshot."""


@dataclass(frozen=True)
class RegisteredPolicy:
    """A version of the registered policy, with what it was made from. `snapshot`: None where its feedback came from elsewhere."""

    version: int
    reward_version: int
    policy: Artifact
    reward: Artifact
    base: Artifact
    feedback: Artifact
    pairs: Artifact
    snapshot: str | None


HANDLES = tuple(field.name for field in fields(RegisteredPolicy) if field.type is Artifact)
"""Names of the artifacts that a version was made from."""


def note_origin(config: TrackingConfig, registered: RegisteredPolicy) -> None:
    """Writes into the registry what a version was made from, for those who will compare it with others or promote it."""
    origin = {name: getattr(registered, name).model_dump() for name in HANDLES}
    origin |= {"reward_version": registered.reward_version, "snapshot": registered.snapshot}
    connect(config).set_model_version_tag(config.policy_name, str(registered.version), ORIGIN, json.dumps(origin))


def find_policy(config: TrackingConfig, which: str) -> RegisteredPolicy | None:
    """The version with this alias (`champion`, `challenger`) or number; None where no version has the alias.

    Raises ConfigError for a version that does not exist, or that Rein did not register.
    """
    client, name = connect(config), config.policy_name
    number = str(which) if str(which).isdigit() else (aliases_of(client, name) or {}).get(which)
    if number is None:
        return None
    if (version := _version(client, name, number)) is None:
        known = sorted(int(one.version) for one in search_versions(client, f"name = '{name}'"))
        raise ConfigError(f"{name}: there is no version {which}; there are {', '.join(map(str, known)) or 'none'}")
    origin = version.tags.get(ORIGIN)
    if origin is None:
        raise ConfigError(f"{name} version {number} does not say what it was made from: it was not registered by Rein")
    made_from = json.loads(origin)
    artifacts = {field: Artifact.model_validate(made_from[field]) for field in HANDLES}
    return RegisteredPolicy(int(number), made_from["reward_version"], **artifacts, snapshot=made_from["snapshot"])


def require_policy(config: TrackingConfig, which: str) -> RegisteredPolicy:
    """As above. Raises ConfigError where there is none, too."""
    if (found := find_policy(config, which)) is not None:
        return found
    if aliases_of(connect(config), config.policy_name) is None:
        raise ConfigError(config.nothing_registered)
    raise ConfigError(f"{config.policy_name}: no version has the alias {which}; name a version by its number")


def _version(client: Patient, name: str, number: str) -> ModelVersion | None:
    try:
        return client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code == NOT_THERE:
            return None
        raise


def crown(config: TrackingConfig, registered: RegisteredPolicy) -> None:
    """Moves the alias `champion` to a policy and to the reward model that it was tuned on; it is challenger no more."""
    client = connect(config)
    for name, version in (
        (config.reward_name, registered.reward_version),
        (config.policy_name, registered.version),
    ):
        aliases = aliases_of(client, name) or {}
        client.set_registered_model_alias(name, "champion", str(version))
        if str(aliases.get("challenger")) == str(version):
            client.delete_registered_model_alias(name, "challenger")


def register_challenger(run: TrackedRun, name: str, artifact: Artifact, description: str = "") -> int:
    """The version of the registered model `name` that holds this artifact, newly registered unless it is there already.

    The alias `challenger` is moved to it, and `run` is linked to it; versions are told apart by the artifact's digest. A new
    version gets the description, which is Markdown.
    """
    client = run.client
    if same := search_versions(client, f"name = '{name}' AND tags.`rein.sha256` = '{artifact.sha256}'"):
        version = max(same, key=lambda version: int(version.version))
    else:
        tags = {"rein.sha256": artifact.sha256, "rein.run_id": artifact.run_id}
        model_id = _store_model(run, name, artifact, tags)
        if aliases_of(client, name) is None:
            client.create_registered_model(name)
        version = client.create_model_version(
            name, f"models:/{model_id}", tags=tags, description=description, model_id=model_id
        )
    client.set_registered_model_alias(name, "challenger", version.version)
    run.log_output(version.source.removeprefix("models:/"))
    return int(version.version)


def _store_model(run: TrackedRun, name: str, artifact: Artifact, tags: Mapping[str, str]) -> str:
    """The id of a new LoggedModel with the artifact's model folder, made by the run that made the artifact; by `run` when this
    tracking server has never heard of that one (a new database, say)."""
    client, run_id, experiment_id = run.client, run.run_id, run.experiment_id
    with suppress(MlflowException):
        experiment_id = client.get_run(artifact.run_id).info.experiment_id
        run_id = artifact.run_id
    model = client.create_logged_model(experiment_id, name, source_run_id=run_id, tags=dict(tags))
    keep_model(client, model, artifact.folder / "model")
    with tempfile.TemporaryDirectory() as beside:
        describe_model(artifact.folder / "model", Path(beside), model.model_id)
        client.log_model_artifacts(model.model_id, beside)
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return model.model_id


def registered_versions(config: TrackingConfig, sha256s: set[str]) -> dict[str, list[str]]:
    """Digest of a model artifact -> its versions in the registry, such as `rein-policy v3 (challenger)`."""
    client = connect(config)
    named = functools.cache(lambda name: aliases_of(client, name) or {})
    found: dict[str, list[str]] = {}
    for version in search_versions(client, "tags.`rein.sha256` LIKE '%'"):
        if (sha256 := version.tags["rein.sha256"]) in sha256s:
            aliases = [alias for alias, number in named(version.name).items() if str(number) == str(version.version)]
            text = f"{version.name} v{version.version}" + (f" ({', '.join(aliases)})" if aliases else "")
            found.setdefault(sha256, []).append(text)
    return found


def search_versions(client: Patient, wanted: str) -> list[ModelVersion]:
    """All versions of registered models that a filter finds; MLflow gives them in pages."""
    found: list[ModelVersion] = []
    page: PagedList | None = None
    while page is None or page.token:
        page = client.search_model_versions(wanted, page_token=page.token if page else None)
        found += page
    return found


def aliases_of(client: Patient, name: str) -> dict[str, str] | None:
    """Alias -> version of a registered model; None where there is no model of this name."""
    try:
        return client.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == NOT_THERE:
            return None
        raise


def digest_of_version(config: TrackingConfig, name: str, version: str) -> str:
    """The digest of the artifact in a registered version, by its number or alias. Raises DataError where there is none."""
    client = connect(config)
    try:
        if version.isdecimal():
            return client.get_model_version(name, version).tags["rein.sha256"]
        return client.get_model_version_by_alias(name, version).tags["rein.sha256"]
    except (MlflowException, KeyError):
        raise DataError(
            f"{name}@{version}: {config.uri} has no model of this name with this version or alias"
        ) from None


def tag_version(run: TrackedRun, name: str, version: int, tags: Mapping[str, str]) -> None:
    """Tags of a registered version, which MLflow's UI shows beside it."""
    for key, value in tags.items():
        run.client.set_model_version_tag(name, str(version), key, value)

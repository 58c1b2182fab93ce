"""Versions of the policy in MLflow's registry: what each was made from, and which of them is champion or challenger."""

import json
from dataclasses import dataclass, fields

from models.errors import ConfigError
from models.records import Artifact
from models.settings.pipeline import TrackingConfig
from tasks.tracking.tracked_run import connect

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
    models = {model.name: model for model in client.search_registered_models()}
    aliases = models[name].aliases if name in models else {}
    number = str(which) if str(which).isdigit() else aliases.get(which)
    if number is None:
        return None
    versions = {str(one.version): one for one in client.search_model_versions(f"name = '{name}'")}
    if str(number) not in versions:
        raise ConfigError(
            f"{name}: there is no version {which}; there are {', '.join(sorted(versions, key=int)) or 'none'}"
        )
    origin = versions[str(number)].tags.get(ORIGIN)
    if origin is None:
        raise ConfigError(f"{name} version {number} does not say what it was made from: it was not registered by Rein")
    made_from = json.loads(origin)
    artifacts = {field: Artifact.model_validate(made_from[field]) for field in HANDLES}
    return RegisteredPolicy(int(number), made_from["reward_version"], **artifacts, snapshot=made_from["snapshot"])


def crown(config: TrackingConfig, registered: RegisteredPolicy) -> None:
    """Moves the alias `champion` to a policy and to the reward model that it was tuned on; it is challenger no more."""
    client = connect(config)
    for name, version in (
        (config.reward_name, registered.reward_version),
        (config.policy_name, registered.version),
    ):
        aliases = client.get_registered_model(name).aliases
        client.set_registered_model_alias(name, "champion", str(version))
        if str(aliases.get("challenger")) == str(version):
            client.delete_registered_model_alias(name, "challenger")

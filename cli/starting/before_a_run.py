"""What is seen of a run before anything heavy is imported and before Prefect's server starts: most mistakes end here, in a line.

The flows look at the same once more: they are started from Prefect's form, too.
"""

import tempfile
from pathlib import Path

from cli.starting.defaults import make_folder, set_defaults
from cli.starting.rows import all_labels, require_rows
from labeling.sources.hub import pin_revisions
from models.base_files import require_there
from models.errors import ConfigError
from models.settings.allowed_roots import local_places, require_allowed
from models.settings.asked.labels import AILabels, require_at_once, require_existing, require_rounds, require_stored
from models.settings.base import Settings
from models.settings.labels import LabelKind, StoredFeedback
from models.settings.pipeline import UNREAD_BY_REWARD, PipelineConfig, TrackingConfig
from models.settings.presets import require_files
from models.settings.training import PretrainedBase

WITH_PROMPTS = ("rlhf", "collect", "iterate")
"""Flows that sample prompts."""
OF_A_DATABASE = b"SQLite format 3\0"


def make_ready(flow_name: str, config: PipelineConfig) -> PipelineConfig:
    """The configuration, datasets pinned to their commits, once its places are made and all that it names is there.

    Raises ConfigError or DataError as the flow would. Sets the environment of what is imported next.
    """
    require_allowed(config)
    _require_fit(flow_name, config)
    unread = UNREAD_BY_REWARD if flow_name == "reward" else ()
    read = config.model_copy(update=dict.fromkeys(unread))
    require_all_there(read)
    if flow_name != "evaluate":
        require_rows(read, of_labels=flow_name != "collect", of_prompts=flow_name in WITH_PROMPTS)
    if flow_name in ("collect", "retrain"):
        _require_store(config)
    if flow_name in ("learn", "reward"):
        for labels in all_labels(config):
            require_said(labels, config)
    return pin_revisions(read).model_copy(update={name: getattr(config, name) for name in unread})


def require_all_there(config: PipelineConfig) -> None:
    """Raises ConfigError for places that cannot be written and a base that is not there, DataError for files that are missing or empty."""
    set_defaults(Path(config.storage.root).resolve())
    _require_places(config)
    require_files(config)
    if isinstance(config.base, PretrainedBase):
        require_there(config.base)


def require_said(labels: LabelKind, config: PipelineConfig) -> None:
    """Raises DataError where these labels are those of the feedback store, and nobody has said anything yet."""
    if isinstance(labels, AILabels):
        labels = labels.beside or labels
    if isinstance(labels, StoredFeedback):
        from labeling.store.database import FeedbackStore
        from labeling.store.snapshots import require_judgements

        with FeedbackStore(config.feedback.url) as store, store.read() as session:
            require_judgements(session, labels.criterion, labels.batches)


def _require_store(config: PipelineConfig) -> None:
    """Raises ConfigError for a feedback store that cannot be opened: a batch would be published into it when all is written."""
    from labeling.store.database import FeedbackStore

    FeedbackStore(config.feedback.url).close()


def require_registered(tracking: TrackingConfig, *versions: str) -> None:
    """Raises ConfigError for a version of the policy that MLflow does not have."""
    if not all(database.exists() for database in _databases(tracking.uri, tracking)):  # MLflow would make it, in 10 s
        raise ConfigError(tracking.nothing_registered)
    from tasks.tracking.registry import require_policy

    for version in versions:
        require_policy(tracking, version)


def _require_fit(flow_name: str, config: PipelineConfig) -> None:
    """Raises ConfigError for settings that this flow cannot do anything with."""
    if flow_name in WITH_PROMPTS:
        _ = config.required_prompts
    if flow_name == "rlhf":
        for labels in all_labels(config):
            require_at_once(labels)
    if flow_name == "iterate":
        require_rounds(config.labels)
    if flow_name in ("learn", "reward"):
        require_existing(config.labels)
    if flow_name == "retrain":
        require_stored(config.labels)


def _require_places(config: PipelineConfig) -> None:
    places = [("storage.root", Path(config.storage.root))]
    for key, address, settings in (
        ("tracking.uri", config.tracking.uri, config.tracking),
        ("feedback.url", config.feedback.url, config.feedback),
    ):
        for database in _databases(address, settings):
            _require_database(key, database)
            places.append((key, database.parent))
    for key, folder in places:
        make_folder(key, folder)
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ConfigError(
                f"{key}: nothing can be written into {folder}: {error.strerror}; name another place"
            ) from None


def _databases(address: str, settings: Settings) -> list[Path]:
    """The file of the SQLite database that an address names; none where it names something else."""
    return [Path(path) for _, path in local_places(settings)] if address.startswith("sqlite:") else []


def _require_database(key: str, path: Path) -> None:
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            begins = file.read(len(OF_A_DATABASE))
    except OSError as error:
        raise ConfigError(f"{key}: {path}: cannot be read: {error.strerror}") from None
    if begins not in (b"", OF_A_DATABASE):
        raise ConfigError(f"{key}: {path}: there is such a file, and it is no SQLite database; name another place")

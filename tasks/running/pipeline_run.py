"""One run of a flow: its config, its MLflow parent run, and what its stages made."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import prefect.runtime
import yaml
from prefect.artifacts import create_markdown_artifact

from labeling.sources.hub import pin_revisions
from models.records import Artifact
from models.settings.allowed_roots import require_allowed
from models.settings.pipeline import PLACES, PipelineConfig
from models.settings.presets import require_files
from tasks.tracking.tracked_run import TrackedRun, parameter_text, send_what_was_kept

COUNT = "count/"
"""Before the name of a stage: the parameter of a run in MLflow that says how much the stage made (pairs, steps, ...)."""


@dataclass(frozen=True)
class StageOutcome:
    """What one stage gave: its artifact, whether it came from the cache, its final numbers, whether it is data from outside, and the
    seconds that making it took, now or when it was made."""

    name: str
    artifact: Artifact
    cached: bool
    metrics: dict[str, Any]
    reads_data: bool
    seconds: float


@dataclass
class PipelineRun:
    """Handed from stage to stage by a flow."""

    config: PipelineConfig
    flow_name: str
    flow_run_id: str
    flow_run_name: str
    flow_run_url: str | None
    tracked: TrackedRun
    changed: str | None = None
    """What is set otherwise than in the run before it: `tuning.clip 0.2 → 0.1, since rlhf calm-owl`."""
    started: float = field(default_factory=time.monotonic)
    outcomes: list[StageOutcome] = field(default_factory=list)
    snapshot: str | None = None
    """The digest of the feedback store's snapshot that it learns from, if it does."""
    prefix: str = ""
    """What stands before the names of stages and of what they tell."""
    before_making: Callable[[], None] = lambda: None
    """Called before anything is made that is not in the cache; raises where that would be in vain."""

    def part(self, name: str) -> "PipelineRun":
        """The same run, for the stages of a part of its reward, of a tuning before another, or of a round: their names, figures and curves begin with this name."""
        return replace(self, prefix=f"{self.prefix}{name}/")

    @property
    def root(self) -> Path:
        """The folder below which artifacts, cached results and reports lie."""
        return Path(self.config.storage.root).resolve()

    @property
    def report_folder(self) -> Path:
        """Where this flow run's report and resolved config are written."""
        return self.root / "reports" / self.flow_run_id

    @property
    def metrics(self) -> dict[str, Any]:
        """The final numbers of all stages so far, whether they ran or came from the cache."""
        return {name: value for outcome in self.outcomes for name, value in outcome.metrics.items()}


@contextmanager
def open_run(config: PipelineConfig, flow_name: str, unread: tuple[str, ...] = ()) -> Iterator[PipelineRun]:
    """The run that a flow's stages belong to: opens the MLflow parent run, links it with Prefect, and closes it truly.

    Refuses a config that names files that do not exist, or that REIN_ALLOWED_ROOTS does not allow. `unread`: the settings that this
    flow does not read; the files and datasets that they name may be away. Writes the resolved config to the report folder and to
    MLflow. An exception ends the MLflow run as FAILED, a cancel as KILLED. What earlier runs could not tell MLflow is sent first.
    """
    require_allowed(config)
    read = config.model_copy(update=dict.fromkeys(unread))
    require_files(read)
    config = pin_revisions(read).model_copy(update={name: getattr(config, name) for name in unread})
    flow_run_id = str(prefect.runtime.flow_run.id)
    flow_run_name = str(prefect.runtime.flow_run.name)
    tags = {
        "rein.flow": flow_name,
        "prefect.flow_run_id": flow_run_id,
        "prefect.flow_run_name": flow_run_name,
    }
    address = str(prefect.runtime.flow_run.ui_url)
    url = address if address.startswith("http") else None  # a temporary server has no address that lasts
    if url:
        tags["prefect.flow_run_url"] = url
    root = Path(config.storage.root).resolve()
    send_what_was_kept(config.tracking, root)
    with (
        TrackedRun.start(config.tracking, f"{flow_name} {flow_run_name}", tags, root) as tracked,
        tracked.watch_machine(),
    ):
        run = PipelineRun(config, flow_name, flow_run_id, flow_run_name, url, tracked)
        run.report_folder.mkdir(parents=True, exist_ok=True)
        resolved = run.report_folder / "config.yaml"
        resolved.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
        tracked.log_file(resolved)
        settings = {key: parameter_text(value) for key, value in flatten(config.model_dump(mode="json")).items()}
        if before := tracked.newest_before(flow_name):
            run.changed = describe_changes(settings, *before)
            tracked.set_tags({"rein.changed": run.changed})
        tracked.log_parameters(settings)
        create_markdown_artifact(_mlflow_link(config, tracked), key="mlflow-run", description="This flow run in MLflow")
        yield run


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"tuning": {"clip": .2}}` -> `{"tuning.clip": .2}`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def describe_changes(settings: dict[str, str], name: str, before: dict[str, str]) -> str:
    """`key old → new, ..., since <name>`; a key that one side lacks is `unset` there. Where things are kept is no change."""
    changes = [
        f"{key} {before.get(key, 'unset')} → {settings.get(key, 'unset')}"
        for key in sorted(settings.keys() | before.keys())
        if settings.get(key) != before.get(key) and not key.startswith((*PLACES, COUNT))
    ]
    return f"{', '.join(changes) or 'nothing'}, since {name}"


def _mlflow_link(config: PipelineConfig, tracked: TrackedRun) -> str:
    if config.tracking.uri.startswith("http"):
        url = f"{config.tracking.uri}/#/experiments/{tracked.experiment_id}/runs/{tracked.run_id}"
        return f"[MLflow run {tracked.run_id}]({url})"
    return f"MLflow run `{tracked.run_id}`: `mlflow ui --backend-store-uri {config.tracking.uri}`"

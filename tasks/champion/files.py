"""The files of registered policies, which may have been made in another folder or on another machine."""

from dataclasses import replace

from tasks.running.mirror import bring_artifact
from tasks.running.pipeline_run import PipelineRun
from tasks.tracking.registry import RegisteredPolicy


def with_files(run: PipelineRun, policy: RegisteredPolicy, *names: str) -> RegisteredPolicy:
    """The policy, its artifacts of these names where they lie now: below `storage.root`, fetched from `storage.mirror`, or in the
    folder that they were made in. Raises ArtifactError where one is nowhere."""
    storage = run.config.storage
    return replace(policy, **{name: bring_artifact(getattr(policy, name), run.root, storage.mirror) for name in names})

"""Where a run's models come from, left for people: a page beside the report, tags in MLflow, an artifact in Prefect."""

from collections.abc import Mapping

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from models.errors import PipelineError
from models.records import Artifact
from tasks.lineage.provenance import Provenance, trace_artifact
from tasks.lineage.tree import as_markdown
from tasks.running.pipeline_run import PipelineRun
from tasks.tracking.registry import tag_version

MAX_TAG_CHARACTERS = 5000


def report_lineage(run: PipelineRun, versions: Mapping[tuple[str, int], Artifact]) -> None:
    """Writes lineage.md beside report.json, about the first of these registered versions (name and number -> artifact), and
    `rein.lineage.<stage>` tags on the run, of the same one, and on each version.

    A damaged artifact of some other run does not end this one: it is named in the log, and the page is left out.
    """
    try:
        traces = {version: _trace(run, artifact) for version, artifact in versions.items()}
    except PipelineError as error:
        get_run_logger().warning("no lineage: %s", error)
        return
    for (name, number), found in traces.items():
        tag_version(run.tracked, name, number, lineage_tags(found))
    shown = next(iter(traces.values()))
    run.tracked.set_tags(lineage_tags(shown))
    path = run.report_folder / "lineage.md"
    path.write_text(as_markdown(shown), encoding="utf-8")
    run.tracked.log_file(path)
    create_markdown_artifact(path.read_text(encoding="utf-8"), key="lineage", description="Where the model comes from")


def lineage_tags(found: Provenance) -> dict[str, str]:
    """`rein.lineage.<stage>` -> the digests of what that stage made and the model comes from; `rein.lineage.labelers`."""
    by_stage: dict[str, list[str]] = {}
    for content, manifest in found.behind.items():
        if manifest is not None:
            by_stage.setdefault(manifest.made.stage, []).append(content.sha256)
    named = by_stage | {"labelers": list(found.labelers)}
    return {f"rein.lineage.{name}": ", ".join(values)[:MAX_TAG_CHARACTERS] for name, values in named.items()}


def _trace(run: PipelineRun, artifact: Artifact) -> Provenance:
    return trace_artifact(artifact, run.root, run.config.feedback.url, run.config.tracking)

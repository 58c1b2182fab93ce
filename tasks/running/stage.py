"""`@stage`: turns a function that fills a folder into a cached Prefect task with an artifact and a nested MLflow run.

A stage body is `body(work, **inputs) -> rows`. It reads its inputs (config slices, artifacts, numbers), writes files into
`work.folder`, leaves its final numbers in `work.metrics`, and returns how many records or steps it made. Called from a flow as
`name(run, **inputs)`, it gives back an `Artifact`:

- the cache key is made of the stage's name, the values of its inputs (an artifact counts by its content, or by that of the files
  which `reads` names; a file path by the file's content), the digest of the project code that the stage's module reaches, and the
  versions of the packages, device and precision that compute it;
- on a hit the artifact's files are verified, and a damaged or missing one is fetched from `storage.mirror`, or made again; without a
  hit, the artifact is looked for by its cache key here and there, since another machine may have made it;
- two runs that ask for the same artifact at once make it once: the second waits;
- a training loop keeps checkpoints in `<root>/checkpoints/<cache key>`: a stage that was killed goes on from there when it is
  called again, and the folder is removed once the artifact is made;
- its final numbers and the curves of its training steps are copied to the flow's MLflow run, so that runs compare whether a
  stage ran or was cached.
"""

import fcntl
import functools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed, State
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.errors import ArtifactError
from models.records import Artifact, StepMetrics, write_records
from models.written_numbers import duration
from tasks.running.cache_key import artifacts_of, cache_key
from tasks.running.making import making_of
from tasks.running.mirror import find_artifact, keep_in_mirror
from tasks.running.pipeline_run import PipelineRun, StageOutcome
from tasks.running.progress import ToldProgress
from tasks.running.storage import (
    STEPS,
    Manifest,
    StageTraits,
    publish,
    read_manifest,
    read_steps,
    scratch_folder,
    verify,
)
from tasks.tracking.tracked_run import TrackedRun

if TYPE_CHECKING:
    from models.training.checkpoints import Checkpoints  # loads torch


@dataclass
class Work:
    """What a stage body works with."""

    stage: str
    folder: Path
    tracked: TrackedRun
    checkpoint_folder: Path
    metrics: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, markdown: str) -> None:
        """Adds a paragraph to what a person reads about this stage in Prefect."""
        self.notes.append(markdown)

    def checkpoints(self, every: int) -> "Checkpoints":
        """What a training loop keeps its state with, so that the same stage, killed and called again, goes on."""
        from models.training.checkpoints import Checkpoints

        return Checkpoints(self.checkpoint_folder, every, get_run_logger())

    def follow(self, steps: Iterator[StepMetrics]) -> list[StepMetrics]:
        """Runs a training loop to its end: each step's numbers to MLflow and a file, progress to the terminal and to Prefect."""
        logger = get_run_logger()
        taken: list[StepMetrics] = []
        progress = ToldProgress(self.stage)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[numbers]}")) as bar:
            shown = bar.add_task(self.stage, total=None, numbers="")
            for step in steps:
                taken.append(step)
                self.tracked.log_metrics(step.values, step.step)
                bar.update(shown, completed=step.step + 1, total=step.num_steps, numbers=_headline(step))
                progress.tell(100 * (step.step + 1) / step.num_steps)
        progress.end()
        write_records(self.folder / STEPS, taken)
        logger.info("%s: %d steps, at the end %s", self.stage, len(taken), _headline(taken[-1]) if taken else "none")
        return taken


def stage(
    name: str,
    kind: str,
    *,
    unit: str = "rows",
    curves: str | None = None,
    reads: Mapping[str, tuple[str, ...]] | None = None,
    reads_data: bool = False,
    registered: bool = False,
) -> Callable[[Callable[..., int]], Callable[..., Artifact]]:
    """Decorator: makes a body that fills a folder into a stage that gives an artifact of `kind`. See the module's text.

    `unit`: what its rows are. `curves`: what stands before the names of its steps' numbers in the flow's MLflow run (by default the
    stage's name and a slash). `reads`: input name -> the files of that artifact which the body reads; the others do not count for
    caching, and of an artifact that is not named all files do. `reads_data`: what it gives is data from outside, which MLflow shows as such. `registered`: it is
    registered as a model.
    """
    traits = StageTraits(
        name, kind, unit, f"{name}/" if curves is None else curves, reads or {}, reads_data, registered
    )

    def decorate(body: Callable[..., int]) -> Callable[..., Artifact]:
        @task(
            name=name,
            cache_key_fn=lambda context, parameters: parameters["key"],
            persist_result=True,
            result_serializer="json",
        )
        def execute(key: str, run: PipelineRun, inputs: dict[str, Any]) -> Artifact | State:
            if artifact := find_artifact(_artifact_folder(run.root, key), run.config.storage.mirror):
                return Completed(name="Cached", data=artifact)  # made here before, or on another machine
            return _execute(body, traits, key, run, inputs)

        @functools.wraps(body)
        def call(run: PipelineRun, **inputs: Any) -> Artifact:
            key = cache_key(name, body.__module__, inputs, traits.reads)
            prefect_task = execute.with_options(result_storage=_result_storage(run.root))
            with _turn(run.root, key):
                state = prefect_task(key, run, inputs, return_state=True)
                if state.name == "Cached" and (damage := _damage(_lying(run.root, key, state))):
                    get_run_logger().warning("%s is sought elsewhere or made again: %s", name, damage)
                    state = prefect_task.with_options(refresh_cache=True)(key, run, inputs, return_state=True)
                artifact, cached = _lying(run.root, key, state), state.name == "Cached"
                if run.config.storage.mirror:
                    keep_in_mirror(artifact, run.config.storage.mirror, is_new=not cached)
                shutil.rmtree(_checkpoint_folder(run.root, key), ignore_errors=True)
            manifest, named = read_manifest(artifact), f"{run.prefix}{name}"
            told = {f"{run.prefix}{figure}": value for figure, value in manifest.metrics.items()}
            run.outcomes.append(StageOutcome(named, artifact, cached, told, reads_data, manifest.seconds))
            get_run_logger().info("%s", _line(named, manifest, cached))
            run.tracked.log_metrics(_numbers(told))
            for step in read_steps(artifact):
                curves = {f"{run.prefix}{traits.curves}{number}": value for number, value in step.values.items()}
                run.tracked.log_metrics(curves, step.step)
            run.tracked.set_tags({f"rein.stage.{named}": f"{'cached' if cached else 'run'} {artifact.run_id}"})
            return artifact

        vars(call)["traits"] = traits
        return call

    return decorate


def _line(named: str, manifest: Manifest, cached: bool) -> str:
    """`completions: 6,400 completions, 30 s`."""
    took = "from the cache" if cached else duration(manifest.seconds)
    return f"{named}: {manifest.artifact.rows:,} {manifest.made.unit}, {took}"


def _result_storage(root: Path) -> Path:
    folder = root / "results"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _artifact_folder(root: Path, key: str) -> Path:
    return root / "artifacts" / key


def _lying(root: Path, key: str, state: State) -> Artifact:
    """What a task gave, where it lies below this root: a result that was cached before the root was moved names the old place."""
    return cast(Artifact, state.result()).model_copy(update={"uri": str(_artifact_folder(root, key))})


def _checkpoint_folder(root: Path, key: str) -> Path:
    return root / "checkpoints" / key


@contextmanager
def _turn(root: Path, key: str) -> Iterator[None]:
    """Lets one process at a time make an artifact; another one waits, and then finds it in the cache.

    Two would write each other's checkpoints. The system frees the lock of a process that dies.
    """
    (root / "locks").mkdir(parents=True, exist_ok=True)
    with (root / "locks" / key).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _damage(artifact: Artifact) -> str:
    """What is wrong with a cached artifact's files; empty when nothing is."""
    try:
        verify(artifact)
    except ArtifactError as error:
        return str(error)
    return ""


def _execute(
    body: Callable[..., int], traits: StageTraits, key: str, run: PipelineRun, inputs: dict[str, Any]
) -> Artifact:
    run.before_making()
    artifacts = artifacts_of(inputs)
    name, made = traits.name, making_of(traits, body.__module__, inputs)
    tags = {"rein.stage": name, "rein.cache_key": key, "prefect.flow_run_id": run.flow_run_id}
    started = time.monotonic()
    with TrackedRun.start(run.config.tracking, name, tags, run.root, run.tracked.run_id) as tracked:
        tracked.log_inputs(artifacts)  # before the work: after it nothing is left that MLflow must answer
        destination = _artifact_folder(run.root, key)
        with scratch_folder(destination.parent) as folder:
            work = Work(name, folder, tracked, _checkpoint_folder(run.root, key))
            rows = body(work, **inputs)
            seconds = time.monotonic() - started
            artifact = publish(folder, destination, traits.kind, rows, tracked.run_id, work.metrics, made, seconds)
        tracked.log_metrics(_numbers(work.metrics) | {"stage_seconds": seconds})
        tracked.set_tags({"rein.artifact": artifact.uri, "rein.sha256": artifact.sha256})
        create_markdown_artifact(
            _describe(work, artifact, traits.unit), key=name, description=f"What stage {name} made"
        )
    return artifact


def _numbers(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if isinstance(value, int | float)}


def _headline(step: StepMetrics) -> str:
    """The few numbers of a step that fit beside a progress bar."""
    wanted = ("loss", "accuracy", "objective/scores", "objective/kl", "val/end_rate")
    return "  ".join(f"{name.split('/')[-1]} {step.values[name]:z.3f}" for name in wanted if name in step.values)


def _describe(work: Work, artifact: Artifact, unit: str) -> str:
    shown = {name: value for name, value in work.metrics.items() if not isinstance(value, list | dict)}
    numbers = "\n".join(f"| {name} | {_shown(value)} |" for name, value in shown.items())
    table = f"| figure | value |\n|---|---|\n{numbers}\n" if numbers else ""
    parts = [
        f"# {work.stage}",
        f"{artifact.rows} {unit} of `{artifact.kind}`, SHA-256 `{artifact.sha256[:16]}`, in `{artifact.uri}`",
        f"MLflow run `{artifact.run_id}`",
        table,
        *work.notes,
    ]
    return "\n\n".join(part for part in parts if part)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

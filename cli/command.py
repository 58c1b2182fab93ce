"""The command `rein`: the same flows and the same settings as in Prefect, from a terminal."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from pydantic import ValidationError

from cli.defaults import set_defaults
from cli.printed import print_batch, print_report
from cli.store_option import DEFAULT_STORE, Store
from cli.temporary_server import start_prefect_server
from models.errors import PipelineError
from models.evaluation.promotion import PromotionRequest
from models.footprint import NetworkSize
from models.records import collector_paused, describe_validation
from models.settings.batch import FeedbackConfig
from models.settings.pipeline import PipelineConfig, StorageConfig, TrackingConfig
from models.settings.presets import load_config
from models.settings.training import PretrainedBase
from tasks.running.run_name import name_by_changes
from tasks.running.space import describe_needs

if TYPE_CHECKING:
    from prefect import Flow

app = App(name="rein", help="Turns human rankings into a better language model.", version_flags=[])

Overrides = Annotated[tuple[str, ...], Parameter(help="key.path=value, such as tuning.kl.coef=0.1 (see `rein fields`)")]
All = Annotated[bool, Parameter(name="--all", negative="", help="Print all figures, not only those that say most.")]
Check = Annotated[bool, Parameter(negative="", help="Only check the settings; run nothing.")]


@app.command
def rlhf(preset: Path, *overrides: str, check: Check = False, everything: All = False) -> None:
    """From prompts to a tuned policy, with simulated labelers."""
    _run("rlhf", preset, overrides, check, everything)


@app.command
def collect(preset: Path, *overrides: str, check: Check = False) -> None:
    """Prompts and completions, as a batch for people to rank."""
    _run("collect", preset, overrides, check)


@app.command
def learn(preset: Path, *overrides: str, check: Check = False, everything: All = False) -> None:
    """From rankings to a tuned policy."""
    _run("learn", preset, overrides, check, everything)


@app.command
def iterate(preset: Path, *overrides: str, check: Check = False, everything: All = False) -> None:
    """Rounds of both: each asks about what the policy of the round before writes. With people (labels.kind=store) a round a call."""
    _run("iterate", preset, overrides, check, everything)


@app.command
def reward(preset: Path, *overrides: str, check: Check = False, everything: All = False) -> None:
    """From rankings to a reward model and how good it is; `learn` goes on from there."""
    _run("reward", preset, overrides, check, everything)


@app.command
def retrain(preset: Path, *overrides: str, check: Check = False, everything: All = False) -> None:
    """Learns from what people have said since, and keeps the better of champion and challenger."""
    _run("retrain", preset, overrides, check, everything)


@app.command
def evaluate(
    preset: Path, *overrides: str, policy: str = "challenger", opponent: str = "champion", everything: All = False
) -> None:
    """Two registered versions of the policy on the same held-out prompts.

    Parameters
    ----------
    policy
        A version's number in the model registry, or its alias.
    opponent
        The version that it meets.
    """
    config = load_config(preset, overrides)
    set_defaults(Path(config.storage.root).resolve())
    wait_for_server = start_prefect_server()
    from flows.evaluate import evaluate as compare

    wait_for_server()
    print_report(config, compare(config, policy, opponent), everything)


@app.command
def promote(
    version: str = "challenger",
    *,
    by: str,
    reason: str,
    roll_back: Annotated[bool, Parameter(negative="")] = False,
    store: Store = DEFAULT_STORE,
    tracking_uri: str = TrackingConfig().uri,
) -> None:
    """Makes a version of the policy champion.

    Parameters
    ----------
    version
        Its number in the model registry, or `challenger`.
    by
        Who decides; kept with the move.
    reason
        Why; kept with the move.
    roll_back
        Take the last promotion back instead: the champion before this one is champion again.
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    set_defaults(Path(StorageConfig().root).resolve())
    wait_for_server = start_prefect_server()
    from flows.promote import promote as move

    wait_for_server()
    action = "roll_back" if roll_back else "promote"
    where = {"tracking": TrackingConfig(uri=tracking_uri), "feedback": FeedbackConfig(url=store)}
    champion = move(PromotionRequest(action=action, version=version, made_by=by, reason=reason, **where))
    print(f"champion: version {champion}")


@app.command
def watch() -> None:
    """Starts the deployment `retrain` whenever enough new judgements have come in. Runs until it is stopped."""
    set_defaults(Path(StorageConfig().root).resolve())
    from cli.watch import watch as look

    look()


for command, name, text in (
    ("label", "label", "Serves the labelling page."),
    ("labelers", "labelers", "Who may sign in to the labelling page."),
    ("label_studio", "label-studio", "Labelling in Label Studio; its token is taken from LABEL_STUDIO_TOKEN."),
    ("import_feedback", "import", "Imports feedback into the store; doing it again changes nothing."),
    ("export_feedback", "export", "Writes rankings, consensus, Elo ratings and pairs to a new folder."),
):  # named, not imported: what these need takes a second to load
    app.command(f"cli.feedback_commands:{command}", name=name, help=text)
app.command(
    "cli.standings:compare",
    name="compare",
    help="Lays runs side by side on one page: settings, figures, curves, what each wrote to the same prompts.",
)
app.command("cli.fields:fields", name="fields", help="Every setting, what it means and its default.")
app.command("cli.fetch_commands:fetch", name="fetch", help="Published rankings and a small model, into a folder.")
app.command(
    "cli.check:check",
    name="check",
    help="Loads the base of a preset and says how it reads the prompts, and what a run takes.",
)
app.command("cli.scoring:score", name="score", help="Scores texts in a file with a reward model.")
app.command("cli.chat:chat", name="chat", help="Tries a policy in the terminal, beside its base.")
app.command(
    "cli.standings:standings", name="standings", help="Elo ratings of policies, and of systems that people ranked."
)
app.command("cli.storage_commands:forget", name="forget", help="The next run makes anew what a stage has made.")
app.command(
    "cli.storage_commands:prune",
    name="prune",
    help="What no registered model was made from, and what killed stages left.",
)


@app.command
def withdraw(
    name: str,
    *,
    reason: str = "",
    store: Store = DEFAULT_STORE,
    root: str = StorageConfig().root,
    tracking_uri: str = TrackingConfig().uri,
) -> None:
    """Takes a labeler's judgements out of all later snapshots, and lists the models that have learned from them.

    Parameters
    ----------
    name
        The labeler.
    reason
        Kept with the withdrawal.
    root
        The folder of the artifacts (`storage.root`).
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    set_defaults(Path(root).resolve())
    from tasks.lineage.withdrawal import learned_from, withdraw_labeler

    tracking = TrackingConfig(uri=tracking_uri)
    snapshots = withdraw_labeler(store, name, reason)
    print(f"{name} has withdrawn; what they said is kept, and no later snapshot holds it.")
    print(f"snapshots that hold it: {', '.join(one[:16] for one in snapshots) or 'none'}", flush=True)
    try:
        learned = learned_from(store, name, Path(root).resolve(), tracking)
    except PipelineError as error:
        later = f"rein lineage labeler:{name}"
        raise PipelineError(
            f"this is recorded, but what learned from it cannot be listed now: {error}; later: {later}"
        ) from None
    for one in learned:
        print(f"learned from it: {one.artifact.kind} {one.artifact.uri} {', '.join(one.versions) or 'not registered'}")
    if not learned:
        print("No reward model or policy has learned from it.")


@app.command
def lineage(
    asked: str,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    store: Store = DEFAULT_STORE,
    root: str = StorageConfig().root,
    tracking_uri: str = TrackingConfig().uri,
) -> None:
    """Where a model or any artifact comes from, whose judgements are behind it, and what was made from it.

    Parameters
    ----------
    asked
        policy@champion, policy@3, reward@champion; labeler:NAME; a digest or its first characters; an artifact's folder.
    as_json
        For programs: everything that is known, as JSON.
    root
        The folder of the artifacts (`storage.root`).
    tracking_uri
        Where models are registered (`tracking.uri`).
    """
    set_defaults(Path(root).resolve())
    from tasks.lineage.provenance import trace
    from tasks.lineage.tree import answer, as_tree, branches_after, branches_behind

    found = trace(asked, Path(root).resolve(), store, TrackingConfig(uri=tracking_uri))
    if as_json:
        print(json.dumps(found.as_json(), indent=1, ensure_ascii=False))
        return
    from rich.console import Console

    console = Console()
    for line in answer(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    trees = ("What it was made from", branches_behind(found)), ("What was made from it", branches_after(found))
    for heading, branches in trees:
        if branches:
            console.print()
            console.print(as_tree(branches, heading))


def _run(flow_name: str, preset: Path, overrides: tuple[str, ...], check: bool, everything: bool = False) -> None:
    config = load_config(preset, overrides)
    if check:
        _check_base(config)
        print(f"{preset}: fits")
        if size := NetworkSize.of(config.base):
            print("\n".join(describe_needs(config, size)))
        return
    set_defaults(Path(config.storage.root).resolve())
    wait_for_server = start_prefect_server()
    with collector_paused():  # what is imported stays
        flow = _imported(flow_name).with_options(flow_run_name=lambda: name_by_changes(preset.stem, overrides))
        wait_for_server("models.network.networks", "models.tuning.ppo.tune", "models.evaluation.matches")
    done = flow(config, return_state=True)
    if done.name == "Skipped":
        print(f"skipped: {done.message}")
        return
    result = done.result()
    if "path" in result:
        print_report(config, result, everything)
    if "batch" in result:
        print_batch(config, result, then="iterate" if flow_name == "iterate" else "learn")


def _check_base(config: PipelineConfig) -> None:
    """Raises ConfigError where the config.json of a model in a folder says already that it cannot be learned."""
    if isinstance(config.base, PretrainedBase) and Path(config.base.model).is_dir():
        from models.network.base import require_known

        require_known(config.base)


def _imported(flow_name: str) -> "Flow":
    if flow_name == "collect":
        from flows.collect import collect as flow
    elif flow_name == "iterate":
        from flows.iterate import iterate as flow
    elif flow_name == "learn":
        from flows.learn import learn as flow
    elif flow_name == "reward":
        from flows.reward import reward as flow
    elif flow_name == "retrain":
        from flows.retrain import retrain as flow
    else:
        from flows.rlhf import rlhf as flow
    return flow


def main() -> None:
    """Runs `rein`; an error that Rein raised on purpose is shown as one message, exit status 1."""
    try:
        app()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ValidationError as error:  # of an option; what a preset says wrong is a ConfigError by then
        print(f"\nConfigError: {describe_validation(error)}", file=sys.stderr)
        sys.exit(1)
    except PipelineError as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

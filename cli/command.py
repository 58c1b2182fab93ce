"""The command `rein`: the same flows and the same settings as in Prefect, from a terminal."""

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from pydantic import ValidationError

from cli.doctor import installed
from cli.printed import print_batch, print_report
from cli.starting.before_a_run import make_ready, require_registered
from cli.starting.defaults import set_defaults
from cli.starting.endings import leave_the_end_to_the_command, stoppable
from cli.starting.presets import Overrides, Preset, read_config
from cli.starting.temporary_server import start_prefect_server
from cli.starting.typed import example
from cli.store_option import DEFAULT_STORE, Store
from models.base_files import require_there
from models.errors import PipelineError, describe_validation
from models.evaluation.promotion import PromotionRequest
from models.footprint import NetworkSize
from models.records import collector_paused
from models.settings.batch import FeedbackConfig
from models.settings.pipeline import PipelineConfig, StorageConfig, TrackingConfig
from models.settings.training import PretrainedBase
from tasks.running.run_name import name_by_changes
from tasks.running.space import describe_needs

if TYPE_CHECKING:
    from prefect import Flow

app = App(
    name="rein",
    help="Turns human rankings into a better language model.",
    version=lambda: f"rein {installed('rein')}",
    version_flags=["--version"],
    help_epilogue=example("rlhf tiny"),
)
app.register_install_completion_command(
    help="Lets the shell complete `rein` (bash, zsh or fish).", help_epilogue=example("--install-completion")
)

All = Annotated[bool, Parameter(name="--all", negative="", help="Print all figures, not only those that say most.")]
Check = Annotated[bool, Parameter(negative="", help="Only check the settings; run nothing.")]


@app.command(help_epilogue=example("rlhf tiny seed=1"))
def rlhf(preset: Preset, *overrides: Overrides, check: Check = False, everything: All = False) -> None:
    """From prompts to a tuned policy, with simulated labelers."""
    _run("rlhf", preset, overrides, check, everything)


@app.command(help_epilogue=example("collect tiny prompts.num_prompts=50"))
def collect(preset: Preset, *overrides: Overrides, check: Check = False) -> None:
    """Prompts and completions, as a batch for people to rank."""
    _run("collect", preset, overrides, check)


@app.command(help_epilogue=example("learn tiny 'labels={kind: store}'"))
def learn(preset: Preset, *overrides: Overrides, check: Check = False, everything: All = False) -> None:
    """From rankings to a tuned policy."""
    _run("learn", preset, overrides, check, everything)


@app.command(help_epilogue=example("iterate tiny iteration.num_rounds=2"))
def iterate(preset: Preset, *overrides: Overrides, check: Check = False, everything: All = False) -> None:
    """Rounds of both: each asks about what the policy of the round before writes. With people (labels.kind=store) a round a call."""
    _run("iterate", preset, overrides, check, everything)


@app.command(help_epilogue=example("reward tiny 'labels={kind: store}'"))
def reward(preset: Preset, *overrides: Overrides, check: Check = False, everything: All = False) -> None:
    """From rankings to a reward model and how good it is; `learn` goes on from there."""
    _run("reward", preset, overrides, check, everything)


@app.command(help_epilogue=example("retrain tiny 'labels={kind: store}'"))
def retrain(preset: Preset, *overrides: Overrides, check: Check = False, everything: All = False) -> None:
    """Learns from what people have said since, and keeps the better of champion and challenger."""
    _run("retrain", preset, overrides, check, everything)


@app.command(help_epilogue=example("evaluate tiny --policy 2 --opponent 1"))
def evaluate(
    preset: Preset,
    *overrides: Overrides,
    policy: str = "challenger",
    opponent: str = "champion",
    everything: All = False,
) -> None:
    """Two registered versions of the policy on the same held-out prompts.

    Parameters
    ----------
    policy
        A version's number in the model registry, or its alias.
    opponent
        The version that it meets.
    """
    with stoppable():
        config = make_ready("evaluate", read_config(preset, overrides))
        require_registered(config.tracking, policy, opponent)
        wait_for_server = start_prefect_server()
        from flows.evaluate import evaluate as compare

        wait_for_server()
        leave_the_end_to_the_command()
        report = compare(config, policy, opponent)
    print_report(config, report, everything)


@app.command(help_epilogue=example("promote 2 --by ann --reason 'kinder answers'"))
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
    action = "roll_back" if roll_back else "promote"
    where = {"tracking": TrackingConfig(uri=tracking_uri), "feedback": FeedbackConfig(url=store)}
    request = PromotionRequest(action=action, version=version, made_by=by, reason=reason, **where)
    set_defaults(Path(StorageConfig().root).resolve())
    require_registered(request.tracking, *(() if roll_back else (version,)))
    wait_for_server = start_prefect_server()
    from flows.promote import promote as move

    wait_for_server()
    leave_the_end_to_the_command()
    champion = move(request)
    print(f"champion: version {champion}")


@app.command(help_epilogue=example("watch"))
def watch() -> None:
    """Starts the deployment `retrain` whenever enough new judgements have come in. Runs until it is stopped."""
    set_defaults(Path(StorageConfig().root).resolve())
    from cli.watch import watch as look

    look()


for place, name, text, words in (
    (
        "check:check",
        "check",
        "Loads the base of a preset and says how it reads the prompts, and what a run takes.",
        "check tiny sampling.max_new_tokens=32",
    ),
    (
        "doctor:doctor",
        "doctor",
        "What is installed, what this machine has, what is reached, and what would be slow.",
        "doctor",
    ),
    ("fields:fields", "fields", "Every setting, what it means and its default.", "fields tuning.kl"),
    ("feedback_commands:label", "label", "Serves the labelling page.", "label --port 8301"),
    (
        "feedback_commands:import_feedback",
        "import",
        "Imports feedback into the store; doing it again changes nothing.",
        "import pairs pairs.jsonl",
    ),
    (
        "feedback_commands:export_feedback",
        "export",
        "Writes rankings, consensus, Elo ratings and pairs to a new folder.",
        "export feedback",
    ),
    (
        "lineage_commands:withdraw",
        "withdraw",
        "Takes a labeler's judgements out of all later snapshots, and lists what has learned from them.",
        "withdraw ann --reason 'asked to'",
    ),
    (
        "lineage_commands:lineage",
        "lineage",
        "Where a model comes from, whose judgements are behind it, and what was made from it.",
        "lineage policy@champion",
    ),
    ("standings:standings", "standings", "Elo ratings of policies, and of systems that people ranked.", "standings"),
    (
        "standings:compare",
        "compare",
        "Lays runs side by side on one page: settings, figures, curves, what each wrote to the same prompts.",
        "compare calm-owl brave-hare",
    ),
    (
        "scoring:score",
        "score",
        "Scores texts in a file with a reward model.",
        "score champion texts.jsonl --to scored.jsonl",
    ),
    ("chat:chat", "chat", "Tries a policy in the terminal, beside its base.", "chat champion"),
    ("storage_commands:forget", "forget", "The next run makes anew what a stage has made.", "forget tuning"),
    (
        "storage_commands:prune",
        "prune",
        "What no registered model was made from, and what killed stages left.",
        "prune --days 7",
    ),
):  # named, not imported: what these need takes a second to load
    app.command(f"cli.{place}", name=name, help=text, help_epilogue=example(words))
for place, name, text in (
    ("fetch_commands:fetch", "fetch", "Published rankings and a small model, into a folder."),
    ("feedback_commands:labelers", "labelers", "Who may sign in to the labelling page."),
    (
        "feedback_commands:label_studio",
        "label-studio",
        "Labelling in Label Studio; its token is taken from LABEL_STUDIO_TOKEN.",
    ),
):  # groups of commands, which say themselves what their example is
    app.command(f"cli.{place}", name=name, help=text)


def _run(flow_name: str, preset: str, overrides: tuple[str, ...], check: bool, everything: bool = False) -> None:
    config = read_config(preset, overrides)
    if check:
        for line in _checked(preset, config):
            print(line)
        return
    with stoppable():
        config = make_ready(flow_name, config)
        wait_for_server = start_prefect_server()
        with collector_paused():  # what is imported stays
            called = partial(
                name_by_changes, Path(preset).stem, overrides
            )  # asked within the run, of which it reads the name
            flow = _imported(flow_name).with_options(flow_run_name=called)
            wait_for_server("models.network.networks", "models.tuning.ppo.tune", "models.evaluation.matches")
        leave_the_end_to_the_command()
        done = flow(config, return_state=True)
        if done.name == "Skipped":
            print(f"skipped: {done.message}")
            return
        result = done.result()
    if "path" in result:
        print_report(config, result, everything)
    if "batch" in result:
        print_batch(config, result, () if flow_name == "iterate" else ("learn", preset, *overrides))


def _checked(preset: str, config: PipelineConfig) -> Iterator[str]:
    """Lines for people. Raises ConfigError where what lies in a model's folder says already that it cannot be learned."""
    if isinstance(config.base, PretrainedBase):
        if Path(config.base.model).exists():
            from models.network.base import require_known

            require_known(config.base)
            require_there(config.base)
        else:
            yield f"base.model {config.base.model}: not looked at, since it is on the hub; `rein check` loads it"
    yield f"{preset}: fits"
    if size := NetworkSize.of(config.base):
        yield from describe_needs(config, size)


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

"""The commands about people's feedback: the page, labelers, imports and exports."""

import json
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators
from sqlalchemy import select

from cli.starting.typed import example, typed
from cli.store_option import DEFAULT_STORE, Store
from labeling.exporters.tables import export_consensus, export_elo, export_pairs, export_raw, export_standings
from labeling.feedback import describe
from labeling.importers.read_feedback import read_feedback
from labeling.label_studio.client import LabelStudio, pull_annotations, push_tasks
from labeling.label_studio.export import rankings_as_shown
from labeling.sources.hub import pin_revisions
from labeling.store import accounts
from labeling.store.batches import read_batch
from labeling.store.database import FeedbackStore
from labeling.store.intake import take_in
from labeling.store.schema import Labeler, Withdrawal
from labeling.store.snapshots import take_snapshot
from models.errors import ConfigError
from models.plain_text import printable
from models.preferences.consensus import agree
from models.preferences.pairs import make_pairs
from models.settings.labels import FeedbackFiles, LabelStudioExport
from models.settings.pipeline import ConsensusConfig, PairsConfig
from models.settings.presets import parse_import

labelers = App(
    name="labelers", help="Who may sign in to the labelling page.", help_epilogue=example("labelers add ann")
)
label_studio = App(
    name="label-studio",
    help="Labelling in Label Studio; its token is taken from LABEL_STUDIO_TOKEN.",
    help_epilogue=example("label-studio pull http://127.0.0.1:8080 1 said.json"),
)


HOST, PORT = "127.0.0.1", 8300
Port = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=65535))]
PAGE = f"http://{HOST}:{PORT}"
"""Where `rein label` serves the page unless told otherwise."""


def label(
    *, host: str = HOST, port: Port = PORT, allow_host: tuple[str, ...] = (), store: Store = DEFAULT_STORE
) -> None:
    """Serves the labelling page.

    Parameters
    ----------
    host
        The address to listen on.
    port
        The port to listen on.
    allow_host
        A further name under which browsers may ask for the page, such as that of a proxy before it.
    """
    from labeling.page.app import LOCAL_HOSTS
    from labeling.page.serve import serve

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from None
    with FeedbackStore(store) as opened, opened.read() as session:
        if session.scalar(select(Labeler.id).where(Labeler.token_sha256.is_not(None)).limit(1)) is None:
            print(
                f"Nobody can sign in yet; this gives a labeler a token: {typed('labelers', 'add', 'ann', store=store)}"
            )
    print(f"labelling page: http://{host}:{port}", flush=True)
    serve(store, host=host, port=port, allowed_hosts=(*LOCAL_HOSTS, host, *allow_host))


@labelers.command(name="add", help_epilogue=example("labelers add ann"))
def add_labeler(
    name: str, *, overseer: Annotated[bool, Parameter(negative="")] = False, store: Store = DEFAULT_STORE
) -> None:
    """Adds a labeler and prints the token to sign in with, which is shown once; on standard output the token alone.

    Parameters
    ----------
    overseer
        May also see the overseer's page: progress, agreement and everybody's judgements.
    """
    with FeedbackStore(store) as opened, opened.write() as session:
        token = accounts.add_labeler(session, name, overseer, datetime.now(UTC))
    _show(name, token, store)


@labelers.command(name="renew", help_epilogue=example("labelers renew ann"))
def renew_token(name: str, *, store: Store = DEFAULT_STORE) -> None:
    """Prints a new token for a labeler; the old one stops working."""
    with FeedbackStore(store) as opened, opened.write() as session:
        token = accounts.renew_token(session, name)
    _show(name, token, store)


def _show(name: str, token: str, store: str) -> None:
    renewing = typed("labelers", "renew", name, store=store)
    print(f"page:  {PAGE} (once it is served: {typed('label', store=store)})", file=sys.stderr)
    print(f"name:  {printable(name)}", file=sys.stderr)
    print(f"token, shown once (a new one: {renewing}):", file=sys.stderr, flush=True)
    print(token)


@labelers.command(name="list", help_epilogue=example("labelers list"))
def list_labelers(*, store: Store = DEFAULT_STORE) -> None:
    """Lists everybody who has labelled or may."""
    with FeedbackStore(store) as opened, opened.read() as session:
        withdrawn = set(session.scalars(select(Withdrawal.labeler_id)))
        for labeler in session.scalars(select(Labeler).order_by(Labeler.name)):
            state = "withdrawn" if labeler.id in withdrawn else "can sign in" if labeler.token_sha256 else "imported"
            print(f"{labeler.name}\t{'overseer' if labeler.is_overseer else 'labeler'}\t{state}")


def import_feedback(
    kind: str,
    path: Path,
    *settings: str,
    source: str | None = None,
    complete: Annotated[bool, Parameter(negative="")] = False,
    set_aside: Path | None = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Imports a file or folder of feedback into the store; doing it again changes nothing.

    Parameters
    ----------
    kind
        folder, annotated, pairs, thumbs or label_studio, as in `labels.kind`.
    path
        The file or folder; of pairs, thumbs and annotated also the folder of a dataset (see `labels.dataset`).
    settings
        key=value of this kind, and of `split` and `seed`, such as criterion=quality or split.test=0.1 (see `rein fields`).
    source
        The name under which the store remembers this source; by default the kind and the file with its folder.
    complete
        The file is all that the source holds: what an earlier import had and it lacks is taken back.
    set_aside
        Write bad rows to this file with their reasons, and import the others. Otherwise bad rows stop the import.
    """
    chosen = pin_revisions(parse_import(kind, str(path), settings))
    if not isinstance(chosen.labels, FeedbackFiles):
        raise ConfigError(f"kind {kind} is no file; import folder, annotated, pairs, thumbs or label_studio")
    if chosen.labels.bad_rows == "set_aside" and set_aside is None:
        raise ConfigError("bad_rows=set_aside: say where to, with --set-aside FILE")
    feedback = read_feedback(chosen.labels, chosen.split, chosen.seed, set_aside)
    if feedback.class_votes:
        raise ConfigError(
            f"{path}: votes that come counted say nothing of who voted, and the store keeps nothing else; learn from the file"
        )
    with FeedbackStore(store) as opened, opened.write() as session:
        done = take_in(session, feedback, source or f"{kind}:{path.resolve()}", complete, datetime.now(UTC))
    print(describe(feedback))
    print(
        f"new: {done.num_new}, edited: {done.num_edited}, taken back: {done.num_taken_back}, unchanged: {done.num_unchanged}"
    )
    if isinstance(chosen.labels, LabelStudioExport):
        for line in rankings_as_shown(chosen.labels):
            print(f"as shown: {line}")
    if set_aside is not None and set_aside.exists():
        print(f"bad rows: {len(set_aside.read_bytes().splitlines())}, set aside in {set_aside}")


@label_studio.command(name="push", help_epilogue=example("label-studio push http://127.0.0.1:8080 batch-1"))
def push(url: str, batch: str, *, store: Store = DEFAULT_STORE) -> None:
    """Makes a Label Studio project of a batch of rankings and prints its number; pushing again adds only what is missing.

    Parameters
    ----------
    url
        The address of Label Studio.
    batch
        The batch's id, as `rein collect` printed it.
    """
    with FeedbackStore(store) as opened, opened.read() as session:
        published = read_batch(session, batch)
    with LabelStudio(url) as client:
        project = push_tasks(
            client,
            f"rein {batch}",
            published.criterion,
            published.instructions,
            published.prompts,
            published.completions,
            published.labelers_per_prompt,
        )
    print(project)


@label_studio.command(name="pull", help_epilogue=example("label-studio pull http://127.0.0.1:8080 1 said.json"))
def pull(url: str, project: int, file: Path) -> None:
    """Writes what people said in a Label Studio project to a new JSON file; `rein import label_studio FILE` reads it.

    Parameters
    ----------
    url
        The address of Label Studio.
    project
        The number of the project.
    file
        Must not exist yet.
    """
    if file.exists():
        raise ConfigError(f"{file}: is there already; name a new file")
    with LabelStudio(url) as client:
        annotations = pull_annotations(client, project)
    file.write_text(json.dumps(annotations, ensure_ascii=False), encoding="utf-8")
    print(f"tasks: {len(annotations)}")
    print("next: " + typed("import", "label_studio", str(file), "--complete", "--source", f"label-studio-{project}"))


def export_feedback(
    folder: Path, *, criterion: str = "helpfulness", batch: tuple[str, ...] = (), store: Store = DEFAULT_STORE
) -> None:
    """Writes raw rankings, consensus, Elo ratings and pairs to a new folder, as JSON Lines and Parquet.

    Parameters
    ----------
    folder
        Must not exist yet.
    criterion
        Only judgements by this criterion.
    batch
        Only of these batches; by default all.
    """
    if folder.exists():
        raise ConfigError(f"{folder}: is there already; name a new folder")
    with FeedbackStore(store) as opened, opened.read() as session:
        feedback = take_snapshot(session, criterion, batch)
    folder.mkdir(parents=True)
    export_raw(feedback, folder)
    print(f"rankings: {len(feedback.rankings)}, ratings: {len(feedback.ratings)}")
    if not feedback.rankings:
        return
    agreed, report = agree(feedback.rankings, ConsensusConfig(), feedback.ratings)
    (folder / "agreement.json").write_text(report.model_dump_json(indent=1), encoding="utf-8")
    export_consensus(agreed, folder)
    export_elo(feedback.rankings, folder)
    export_standings(feedback.rankings, feedback.systems, folder)
    pairs, _ = make_pairs(agreed, feedback.completions, PairsConfig())
    done = export_pairs(pairs, feedback, folder)
    print(f"pairs: {done.num_pairs} (and {done.num_ties} ties, which the pair form cannot say)")

"""Where rankings come from: the settings that name labelers, or files with what people said."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from models.labeler_names import LabelerName
from models.settings.base import Count, Fraction, Kind, OneOf, Settings
from models.settings.sources import HubDataset


class LabelerKind(Kind):
    """One labeler that is no person. Its module promises `open_labeler` (labeling/labelers/labeler.py)."""

    name: LabelerName
    """How it appears in rankings and reports."""


class SimulatedLabeler(LabelerKind):
    """A simulated labeler of the tiny world. Simulated: a rule and a random number generator, not a person."""

    code = "labeling.labelers.simulated"
    kind: Literal["simulated"] = "simulated"
    behaviour: Literal["careful", "noisy", "ties", "upside_down"] = "careful"
    """careful: follows the rule with little noise; noisy: with much; ties: calls small differences equal; upside_down: worst first."""
    goes_by: Literal["helpfulness", "brevity"] = "helpfulness"
    """helpfulness: the rule of the tiny world; brevity: a word less is half a step better, whatever it says."""


class SimulatedAnnotator(LabelerKind):
    """A simulated annotator of the tiny world, who says yes or no to each completion. Simulated, not a person."""

    code = "labeling.labelers.simulated_annotator"
    kind: Literal["simulated_annotator"] = "simulated_annotator"
    goes_by: Literal["politeness", "helpfulness"] = "politeness"
    """politeness: yes to what is not rude; helpfulness: yes to what is usable and does nothing but help."""
    error_rate: Fraction = 0.1
    """Share of its answers that are wrong."""


Labeler = Annotated[LabelerKind, OneOf(LabelerKind, default="simulated")]


class LabelKind(Kind):
    """Where rankings come from."""


class SimulatedLabels(LabelKind):
    """Labelers that are no people, asked in the run itself. For trials of the machinery; never a stand-in for people."""

    kind: Literal["simulated"] = "simulated"
    labelers: Annotated[tuple[Labeler, ...], Field(min_length=1)]
    """Who ranks, or says yes or no. Every labeler is asked about every prompt."""
    criterion: str = "helpfulness"
    """What they judge by, as written into each ranking and rating."""

    @model_validator(mode="after")
    def _names_differ(self) -> "SimulatedLabels":
        if len({labeler.name for labeler in self.labelers}) < len(self.labelers):
            raise ValueError("two labelers have the same name")
        return self


class FeedbackFiles(LabelKind):
    """What all that are files or folders share. Their modules promise `read(settings, split, seed, bad)` (labeling/importers/read_feedback.py)."""

    local_fields = ("path",)
    path: str | None
    """The file or folder. `${NAME}` is replaced from the environment."""
    bad_rows: Literal["refuse", "set_aside"] = "refuse"
    """refuse: a bad row stops the import; set_aside: it goes to rejected.jsonl with its reasons, and the good rows are taken."""

    @property
    def place(self) -> str:
        """What messages call it."""
        return str(self.path)


class FeedbackRows(FeedbackFiles):
    """What all share that have rows, in a file or in a dataset."""

    path: str | None = None
    """The file; its ending (.jsonl, .json, .csv, .tsv, .parquet) says the format. `${NAME}` is replaced from the environment."""
    dataset: HubDataset | None = None
    """Instead of a file: a dataset on the Hugging Face hub, or a local folder of one."""

    @property
    def place(self) -> str:
        """What messages call it."""
        return self.dataset.name if self.dataset else str(self.path)

    @model_validator(mode="after")
    def _has_one_place(self) -> "FeedbackRows":
        if (self.path is None) == (self.dataset is None):
            raise ValueError("say one of `path` and `dataset`")
        return self


class FeedbackFolder(FeedbackFiles):
    """A folder with prompts.jsonl, completions.jsonl (as `collect` publishes them) and what people said: rankings.jsonl,
    ratings.jsonl or both."""

    code = "labeling.importers.feedback_folder"
    kind: Literal["folder"] = "folder"
    path: str
    """The folder. `${NAME}` is replaced from the environment."""
    criterion: str = "helpfulness"
    """Only rankings and ratings by this criterion are taken."""


class AnnotatedColumns(Settings):
    """What the file calls its columns."""

    prompt: str = "prompt"
    """What was asked."""
    completions: str = "completions"
    """Where a row is a prompt: the list of its completions …"""
    annotations: str = "annotations"
    """… and the list of what annotators said."""
    completion: str = "completion"
    """Where a row is a prompt, completion and annotator: the completion …"""
    annotator: str = "annotator"
    """… who said it …"""
    rank: str = "rank"
    """… and its rank …"""
    score: str = "score"
    """… or score."""


class AnnotatedFile(FeedbackRows):
    """Completions that several annotators ranked or scored.

    One row per prompt: `prompt`, `completions` (list) and `annotations` (list of {annotator, ranks} or {annotator, scores}). In CSV and TSV
    one row per prompt, completion and annotator: `prompt`, `completion`, `annotator` and `rank` or `score`.
    """

    code = "labeling.importers.annotated_file"
    kind: Literal["annotated"] = "annotated"
    columns: AnnotatedColumns = AnnotatedColumns()
    """What the file calls its columns, where it calls them otherwise."""
    by: Literal["ranks", "scores"] = "ranks"
    """ranks: 1 is best; scores: higher is better. Equal ones tie."""
    where: dict[str, str] = Field(default_factory=dict)
    """Take only rows whose columns have these values."""
    criterion: str
    """What the annotators ranked by."""
    session_column: str | None = None
    """A column that tells apart the sessions in which one person was asked about the same completions. It stays one labeler."""
    systems_column: str | None = None
    """A column that says which system wrote each completion (beside a list of completions a list of names): `rein standings` rates them."""
    identical_texts: Literal["refuse", "mean"] = "refuse"
    """Of identical completions that one annotator gives different ranks or scores. refuse: the row is bad; mean: they have the mean."""
    held_out_column: str | None = None
    """A column of whole numbers that decides the split; left out, the prompt's text decides, as `split` says. With the column …"""
    held_out_modulus: Count = 10
    """… its remainder after division by this decides:"""
    held_out_below: Count = 3
    """remainders below this are the test split; of the rest, `split.validation` is for validation, by the prompt's text."""

    @property
    def is_table(self) -> bool:
        """Whether a row is a prompt, completion and annotator, and not a prompt."""
        return self.path is not None and self.path.endswith((".csv", ".tsv"))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read."""
        if self.is_table:
            return "prompt", "completion", "annotator", self.by.removesuffix("s")
        return "prompt", "completions", "annotations"

    @model_validator(mode="after")
    def _columns_are_read(self) -> "AnnotatedFile":
        for name, column in self.columns:
            if column != name and name not in self.names:
                what = "a dataset" if self.path is None else f"a {self.path[self.path.rfind('.') :]} file"
                raise ValueError(f"columns.{name}: {what} is read by {', '.join(self.names)}")
        return self


class PairColumns(Settings):
    """What the file calls its columns."""

    prompt: str = "prompt"
    """What was asked; not needed where the others are whole dialogues."""
    chosen: str = "chosen"
    """The first completion, the better one unless a column says otherwise."""
    rejected: str = "rejected"
    """The second."""


class PairFile(FeedbackRows):
    """One preference a row: `prompt`, `chosen`, `rejected`.

    Texts, or lists of messages {role, content}. Without `prompt`, chosen and rejected are whole dialogues that differ in their last
    turn alone. A column `winner` or `label` says where it is a tie, or the other one is better; in words, or as the probability that
    the first is.
    """

    code = "labeling.importers.pair_file"
    kind: Literal["pairs"] = "pairs"
    columns: PairColumns = PairColumns()
    """What the file calls its columns, where it calls them otherwise."""
    criterion: str = "helpfulness"
    """What was chosen by, as written into each ranking."""
    labeler: LabelerName = "unnamed"
    """Who chose, where no column says so."""
    labeler_column: str | None = None
    """The column that says who chose."""
    first_system_column: str | None = None
    """The column that says which system wrote the first, where one does: `rein standings` rates systems."""
    second_system_column: str | None = None
    """The column that says which system wrote the second."""
    winner_column: str | None = None
    """The column that says which is better. Left out: `winner`, or else `label`, in rows that have it; empty: none does."""
    first_wins: tuple[str, ...] = ("first", "chosen", "a", "model_a", "1", "1.0", "true")
    """What stands there when the first is better, as text in any case."""
    second_wins: tuple[str, ...] = ("second", "rejected", "b", "model_b", "0", "0.0", "false")
    """What stands there when the second is."""
    tie: tuple[str, ...] = ("tie", "equal", "0.5")
    """What stands there when neither is."""
    degree_column: str | None = None
    """The column that says by how much: significantly, slightly or negligibly better, or better. Left out: `degree`, in rows that have it; empty: none does."""

    @model_validator(mode="after")
    def _words_differ(self) -> "PairFile":
        words = [word.lower() for word in (*self.first_wins, *self.second_wins, *self.tie)]
        twice = sorted({word for word in words if words.count(word) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} stands in more than one of first_wins, second_wins and tie")
        return self


class ThumbColumns(Settings):
    """What the file calls its columns."""

    prompt: str = "prompt"
    """What was asked."""
    completion: str = "completion"
    """What was judged."""
    label: str = "label"
    """Thumbs up or down."""


class ThumbFile(FeedbackRows):
    """One completion a row: `prompt`, `completion` and `label` (true: thumbs up, false: down).

    Prompt and completion are texts or lists of messages {role, content}.
    """

    code = "labeling.importers.thumb_file"
    kind: Literal["thumbs"] = "thumbs"
    columns: ThumbColumns = ThumbColumns()
    """What the file calls its columns, where it calls them otherwise."""
    criterion: str = "helpfulness"
    """What was judged, as written into each rating."""
    labeler: LabelerName = "unnamed"
    """Who judged, where no column says so."""
    labeler_column: str | None = None
    """The column that says who judged."""


class ClassColumns(Settings):
    """What the file calls its columns."""

    text: str = "text"
    """What was put into a class."""
    prompt: str | None = None
    """What the text completes; left out, texts stand by themselves."""


class ClassVoteFile(FeedbackRows):
    """One text a row, and how many people put it into each class, or the one class that it was put into."""

    code = "labeling.importers.class_vote_file"
    kind: Literal["class_votes"] = "class_votes"
    columns: ClassColumns = ClassColumns()
    """What the file calls its columns."""
    votes: dict[str, str] = Field(default_factory=dict)
    """Class -> the column with its number of votes; or else …"""
    class_column: str | None = None
    """… the column that names the class of a row. Rows of one text are votes for it."""
    names: dict[str, str] = Field(default_factory=dict)
    """What stands in `class_column`, as text -> the class that it means, as for numbers; left out, it is the class itself."""

    @model_validator(mode="after")
    def _says_where_classes_stand(self) -> "ClassVoteFile":
        if bool(self.votes) == (self.class_column is not None):
            raise ValueError("say one of `votes` and `class_column`")
        if len(self.votes) == 1:
            raise ValueError("votes: one class is none to tell from another; name all columns of votes")
        if self.names and self.class_column is None:
            raise ValueError("names goes with class_column")
        return self


class LabelStudioExport(FeedbackFiles):
    """A JSON export of a Label Studio project."""

    code = "labeling.label_studio.export"
    kind: Literal["label_studio"] = "label_studio"
    path: str
    """The file. `${NAME}` is replaced from the environment."""
    criterion: str = "helpfulness"
    """What was ranked by, as written into each ranking."""


class StoredFeedback(LabelKind):
    """What the feedback store holds when flow `learn` starts: a snapshot of it."""

    kind: Literal["store"] = "store"
    criterion: str = "helpfulness"
    """Only rankings and ratings by this criterion are taken."""
    batches: tuple[str, ...] = ()
    """Only these batches, by their ids; empty: all."""


LabelSource = Annotated[LabelKind, OneOf(LabelKind)]

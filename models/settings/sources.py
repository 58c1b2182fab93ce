"""Where text, demonstrations and prompts come from: the settings that name a source.

The module of a source promises `texts(source, seed, feedback)`, `demonstrations(source, seed, feedback)` and
`prompts(source, seed, bad)`: those of the seams that its settings stand at (labeling/sources/read_source.py).
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from models.settings.base import Count, Kind, OneOf, Settings


class HubDataset(Settings):
    """A dataset on the Hugging Face hub, or a local folder of one."""

    local_fields = ("name",)
    name: str
    """The dataset's name on the hub, or a local folder that `save_to_disk` of `datasets` wrote or its `load_dataset` reads."""
    revision: str | None = None
    """Commit, tag or branch on the hub; left out, its main branch. A run resolves it to the commit, which counts for the cache and stands in its config."""
    subset: str | None = None
    """The dataset's configuration, where it has several."""
    split: str = "train"
    """The dataset's own split to read from. Rein's splits by prompt are made afterwards."""


class SourceKind(Kind):
    """What all sources share."""

    from_feedback: ClassVar[bool] = False
    """Whether it gives what people have judged, so that there is nothing to read before they have."""


class TextSourceKind(SourceKind):
    """A source of raw text to pretrain on."""


class DemonstrationSourceKind(SourceKind):
    """A source of prompts with completions to imitate."""


class PromptSourceKind(SourceKind):
    """A source of prompts."""


class Household(TextSourceKind, DemonstrationSourceKind, PromptSourceKind):
    """The project's own tiny world of household problems, written by its own code (labeling/worlds/household.py)."""

    code = "labeling.worlds.household_source"
    kind: Literal["household"] = "household"
    num_rows: Count = 2000
    """How many texts to draw."""


class RudeHousehold(TextSourceKind, DemonstrationSourceKind):
    """The tiny world with a share of texts that are rude to whoever asks (labeling/worlds/rudeness.py). Its prompts are those of `household`."""

    code = "labeling.worlds.rudeness"
    kind: Literal["rude_household"] = "rude_household"
    num_rows: Count = 2000
    """How many texts to draw."""
    rude_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Share of them that are rude."""


class TextFile(TextSourceKind, PromptSourceKind):
    """One column of a JSON, CSV, TSV, Parquet or plain text file."""

    code = "labeling.sources.file"
    local_fields = ("path",)
    kind: Literal["file"] = "file"
    path: str
    """The file; its ending (.jsonl, .json, .csv, .tsv, .parquet, .txt) says the format. `${NAME}` is replaced from the environment."""
    column: str = "text"
    """The column that holds the text (`text` for plain text files)."""


class TextHub(HubDataset, TextSourceKind, PromptSourceKind):
    """One column of a dataset on the Hugging Face hub (or of a local dataset folder)."""

    code = "labeling.sources.hub"
    kind: Literal["hub"] = "hub"
    column: str = "text"
    """The column that holds the text."""


class DemonstrationFile(DemonstrationSourceKind):
    """Two columns, prompt and completion, of a JSON, CSV, TSV or Parquet file."""

    code = "labeling.sources.file"
    local_fields = ("path",)
    kind: Literal["file"] = "file"
    path: str
    """The file; its ending (.jsonl, .json, .csv, .tsv, .parquet) says the format. `${NAME}` is replaced from the environment."""
    prompt_column: str = "prompt"
    """The column that holds the prompt."""
    completion_column: str = "completion"
    """The column that holds the completion to imitate; the prompt's own where it holds whole dialogues."""


class DemonstrationHub(HubDataset, DemonstrationSourceKind):
    """Two columns, prompt and completion, of a dataset on the Hugging Face hub."""

    code = "labeling.sources.hub"
    kind: Literal["hub"] = "hub"
    prompt_column: str = "prompt"
    """The column that holds the prompt."""
    completion_column: str = "completion"
    """The column that holds the completion to imitate; the prompt's own where it holds whole dialogues."""


class SelfInstruct(DemonstrationSourceKind, PromptSourceKind):
    """Tasks in the form of Self-Instruct (Wang et al. 2022): `instruction`, and `instances`, a list of {input, output}.

    A prompt is the instruction, and below a blank line the input where there is one; the completion is the output. A row without
    `instances` has `input` and `output` itself, as in Alpaca.
    """

    code = "labeling.sources.self_instruct"
    local_fields = ("path",)
    kind: Literal["self_instruct"] = "self_instruct"
    path: str
    """The file; its ending (.jsonl, .json, .csv, .tsv, .parquet) says the format. `${NAME}` is replaced from the environment."""


class FromFeedback(TextSourceKind, DemonstrationSourceKind):
    """The prompts and completions of the feedback itself, training split only (flow `learn`)."""

    code = "labeling.sources.from_feedback"
    from_feedback = True
    kind: Literal["feedback"] = "feedback"


TextSource = Annotated[TextSourceKind, OneOf(TextSourceKind)]
DemonstrationSource = Annotated[DemonstrationSourceKind, OneOf(DemonstrationSourceKind)]
PromptSource = Annotated[PromptSourceKind, OneOf(PromptSourceKind)]

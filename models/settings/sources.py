"""Where text, demonstrations and prompts come from: the settings that name a source."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        field_title_generator=lambda name, _: name,  # a form shows the key that presets and the command line use
    )

    local_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that may name a file or folder on this machine: for caching, what it holds counts, not its name."""

    place_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that say where something is kept, as a folder or an address. (models/settings/allowed_roots.py checks both kinds of field.)"""

    uncounted_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that change nothing in what is made: they do not count for caching."""


class Household(Settings):
    """The project's own tiny world of household problems, written by its own code (labeling/worlds/household.py)."""

    kind: Literal["household"] = "household"
    num_rows: Count = 2000
    """How many texts to draw."""


class TextFile(Settings):
    """One column of a JSONL, CSV, Parquet or plain text file."""

    local_fields = ("path",)
    kind: Literal["file"] = "file"
    path: str
    """The file; its ending (.jsonl, .csv, .parquet, .txt) says the format. `${NAME}` is replaced from the environment."""
    column: str = "text"
    """The column that holds the text (`text` for plain text files)."""


class TextHub(Settings):
    """One column of a dataset on the Hugging Face hub (or of a local dataset folder)."""

    local_fields = ("name",)
    kind: Literal["hub"] = "hub"
    name: str
    """The dataset's name on the hub, or a local folder that `datasets.load_dataset` reads."""
    subset: str | None = None
    """The dataset's configuration, where it has several."""
    split: str = "train"
    """The dataset's own split to read from. Rein's splits by prompt are made afterwards."""
    column: str = "text"
    """The column that holds the text."""


class DemonstrationFile(Settings):
    """Two columns, prompt and completion, of a JSONL, CSV or Parquet file."""

    local_fields = ("path",)
    kind: Literal["file"] = "file"
    path: str
    """The file; its ending (.jsonl, .csv, .parquet) says the format. `${NAME}` is replaced from the environment."""
    prompt_column: str = "prompt"
    """The column that holds the prompt."""
    completion_column: str = "completion"
    """The column that holds the completion to imitate."""


class DemonstrationHub(Settings):
    """Two columns, prompt and completion, of a dataset on the Hugging Face hub."""

    local_fields = ("name",)
    kind: Literal["hub"] = "hub"
    name: str
    """The dataset's name on the hub, or a local folder that `datasets.load_dataset` reads."""
    subset: str | None = None
    """The dataset's configuration, where it has several."""
    split: str = "train"
    """The dataset's own split to read from."""
    prompt_column: str = "prompt"
    """The column that holds the prompt."""
    completion_column: str = "completion"
    """The column that holds the completion to imitate."""


class FromFeedback(Settings):
    """The prompts and completions of the feedback itself, training split only (flow `learn`)."""

    kind: Literal["feedback"] = "feedback"


TextSource = Annotated[Household | TextFile | TextHub | FromFeedback, Field(discriminator="kind")]
DemonstrationSource = Annotated[
    Household | DemonstrationFile | DemonstrationHub | FromFeedback, Field(discriminator="kind")
]
PromptSource = Annotated[Household | TextFile | TextHub, Field(discriminator="kind")]

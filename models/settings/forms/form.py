"""What one fills in to start a run from Prefect's pages: a preset, the settings that people change most, and a text for any other.

An empty field stays as the preset has it. The preset is read where the run runs, and `${NAME}` in it is replaced from the environment
there; nothing that stands in a form is ever replaced.
"""

import os
import shlex
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from models.errors import ConfigError
from models.settings.addresses import SettingsText
from models.settings.base import Seed, Settings
from models.settings.pipeline import PipelineConfig
from models.settings.presets import apply_override, expand, put, read_preset, validate

VARIABLE = "REIN_PRESETS"
SHIPPED = Path(__file__).resolve().parents[3] / "deployments"


def presets() -> dict[str, Path]:
    """Name -> file of every preset that a form offers: those shipped, and those of the folder that REIN_PRESETS names, which go first."""
    own = os.environ.get(VARIABLE)
    folders = [SHIPPED, *([Path(own)] if own else [])]
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}


ORDER = (
    *("preset", "seed", "iteration.num_rounds", "retraining.min_new_judgements"),
    *("prompts.num_prompts", "generation.num_completions", "sampling.max_new_tokens"),
    *("reward.num_epochs", "reward.learning_rate"),
    *("tuning.num_updates", "tuning.learning_rate", "tuning.kl.coef"),
    *("evaluation.num_prompts", "overrides", "places"),
)
"""Of the fields in a form: the way of the data, from prompts to what is made of them."""


class Form(BaseModel):
    """What all forms ask for. No settings themselves: these come of it."""

    model_config = Settings.model_config | ConfigDict(
        field_title_generator=lambda name, field: getattr(field, "alias", None) or name
    )

    preset: str
    """The settings to start from: a file in deployments/, or in the folder that REIN_PRESETS names."""
    seed: Seed | None = None
    """Every random choice derives from this number."""
    overrides: SettingsText | None = None
    """Any other settings, as on the command line: tuning.clip=0.1 labels={kind: store}. `rein fields` lists them. No passwords here."""
    places: SettingsText | None = None
    """Where the run writes, and where the feedback store is. No passwords here."""

    def config(self) -> PipelineConfig:
        """The configuration: the preset, then `places`, then the fields that are filled in, then `overrides`.

        Raises ConfigError with one sentence that names every wrong key.
        """
        known = presets()
        if self.preset not in known:
            raise ConfigError(f"preset: there is no {self.preset!r} here; there are {', '.join(known)}")
        try:
            tree = expand(read_preset(known[self.preset]))
            _apply(tree, "places", self.places)
            for key, value in self.filled.items():
                put(tree, key, value)
            _apply(tree, "overrides", self.overrides)
            return validate(PipelineConfig, tree, f"preset {self.preset}, as changed,")
        except ConfigError as error:
            first, *complaints = str(error).replace("(whole config): ", "").splitlines()
            raise ConfigError(" ".join([first, "; ".join(line.strip() for line in complaints)]).strip()) from None

    @property
    def filled(self) -> dict[str, Any]:
        """Dotted key -> value of the fields that are filled in."""
        return self.model_dump(by_alias=True, exclude_none=True, exclude={"preset", "overrides", "places"})

    @property
    def changes(self) -> list[str]:
        """What is otherwise than in the preset, such as `seed=1`; places are no change."""
        try:
            texts = _words("overrides", self.overrides)
        except ConfigError:  # which `config` raises, too
            texts = [self.overrides or ""]
        return [*(f"{key}={value}" for key, value in self.filled.items()), *texts]

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """One plain field for each setting, where pydantic would offer a choice between a number and null."""
        shown = handler.resolve_ref_schema(reference := handler(schema))
        fields = shown["properties"]
        for field in fields.values():
            field.pop("default", None)
            field.update(next(iter(field.pop("anyOf", ())), {}))
        fields["preset"]["enum"] = list(presets())
        shown["properties"] = {key: fields[key] for key in ORDER if key in fields}
        shown["description"] = "An empty field stays as the preset has it."
        return reference


def _words(field: str, text: str | None) -> list[str]:
    """The text cut as a shell would, but not inside of a value in braces or brackets. Raises ConfigError for a quote without its end."""
    words: list[str] = []
    try:
        pieces = shlex.split(text or "")
    except ValueError as error:
        raise ConfigError(f"{field}: {str(error).lower()}; a quote needs its end") from None
    for piece in pieces:
        if words and _is_open(words[-1]):
            words[-1] += f" {piece}"
        else:
            words.append(piece)
    return words


def _is_open(override: str) -> bool:
    value = override.partition("=")[2]
    return value[:1] in ("{", "[") and any(value.count(opening) > value.count(end) for opening, end in ("{}", "[]"))


def _apply(tree: dict[str, Any], field: str, text: str | None) -> None:
    for override in _words(field, text):
        try:
            apply_override(tree, override)
        except ConfigError as error:
            raise ConfigError(f"{field}: {error}") from None

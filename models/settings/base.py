"""What all settings are made of; and kinds, which is how something new comes in.

A *seam* is a base class such as `RewardKind`. A *kind* is a subclass of it with a `kind` of its own; its settings stand in the class,
and `code` names the module that carries it out (by default the one that the class stands in), with the functions that the seam
promises (docs/architecture.md). A kind is found once the module of its class is imported: those of Rein are, and those of others are
named, separated by commas, in the environment variable REIN_KINDS. No preset and no web form can have a module imported.
"""

import importlib
import os
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from models.errors import ConfigError

VARIABLE = "REIN_KINDS"

Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what every generator takes


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        field_title_generator=lambda name, _: name,  # a form shows the key that presets and the command line use
    )

    local_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that may name a file or folder on this machine: for caching, what it holds counts, not its name."""

    place_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that say where something is kept, as a folder or an address. (models/settings/allowed_roots.py checks both kinds of field.)"""

    uncounted_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that do not count for caching: they say by what means the same numbers are computed (which may differ in rounding), or
    when a person is told. docs/decisions/0031 has the rule."""

    counts_whole: ClassVar[bool] = False
    """Whether all fields count for caching, those of settings inside too: what is made keeps them, and goes by them later."""


class Kind(Settings):
    """Settings of one kind at a seam. See the module's text."""

    code: ClassVar[str]
    """The module that carries it out."""

    if TYPE_CHECKING:
        kind: str

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        if "code" not in cls.__dict__:
            cls.code = cls.__module__

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules whose code counts for caching: the one that carries it out, and what its settings name."""
        return (self.code,)

    @classmethod
    def load_module(cls) -> ModuleType:
        """The module that carries it out, imported now."""
        return importlib.import_module(cls.code)


Seam = TypeVar("Seam", bound=Kind)


def kinds_of(seam: type[Seam]) -> dict[str, type[Seam]]:
    """`kind` -> class, of all kinds at a seam that are known.

    Raises ConfigError for a module that cannot be imported, and for two classes of one kind.
    """
    _import_named_kinds(os.environ.get(VARIABLE, ""))
    found: dict[str, type[Seam]] = {}
    for one in _subclasses(seam):
        if "kind" in one.model_fields and found.setdefault(one.model_fields["kind"].default, one) is not one:
            kind = one.model_fields["kind"].default
            raise ConfigError(f"two classes are of kind {kind!r}: {found[kind].__qualname__} and {one.__qualname__}")
    return found


class OneOf:
    """Annotation of a field that holds settings of any kind at a seam but those `apart`; without `kind` they are of the kind `default`."""

    def __init__(self, seam: type[Kind], default: str | None = None, apart: tuple[str, ...] = ()) -> None:
        self.seam, self.default, self.apart = seam, default, apart

    def kinds(self) -> dict[str, type[Kind]]:
        """`kind` -> class, of those that may stand there."""
        return {kind: one for kind, one in kinds_of(self.seam).items() if kind not in self.apart}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        whole = core_schema.plain_serializer_function_ser_schema(
            lambda value, info: value.model_dump(mode=info.mode), info_arg=True
        )
        return core_schema.no_info_plain_validator_function(self._validate, serialization=whole)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        variants = [handler(one.__pydantic_core_schema__) for one in self.kinds().values()]
        return variants[0] if len(variants) == 1 else {"anyOf": variants}

    def _validate(self, value: Any) -> Kind:
        if isinstance(value, self.seam):
            return value
        if not isinstance(value, Mapping):
            raise PydanticCustomError("kind", "expected keys and values, one of them `kind`")
        known, kind = self.kinds(), value.get("kind", self.default)
        if kind is None:
            raise PydanticCustomError("kind", "say which `kind` it is: {known}", {"known": ", ".join(known)})
        if kind not in known:
            message = "there is no kind {kind}; there are {known}"
            raise PydanticCustomError("kind", message, {"kind": repr(kind), "known": ", ".join(known)})
        return known[kind].model_validate(dict(value))


def _subclasses(seam: type[Seam]) -> Iterator[type[Seam]]:
    for one in seam.__subclasses__():
        yield one
        yield from _subclasses(one)


@cache
def _import_named_kinds(names: str) -> None:
    for name in filter(None, (one.strip() for one in names.split(","))):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"{VARIABLE}: module {name!r} cannot be imported: {error}") from None

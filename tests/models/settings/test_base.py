"""Kinds at a seam: found by themselves, chosen by name, and refused in one line."""

from typing import Annotated, Literal

import pytest
from pydantic import ValidationError

from models.errors import ConfigError
from models.settings import base
from models.settings.base import Count, Kind, OneOf, Settings, kinds_of


class Drink(Kind):
    """A seam of this test."""


class Tea(Drink):
    kind: Literal["tea"] = "tea"
    minutes: Count = 3
    """How long it draws."""


class Water(Drink):
    code = "somewhere.else"
    kind: Literal["water"] = "water"


class Table(Settings):
    first: Annotated[Drink, OneOf(Drink, default="tea")] = Tea()
    """A drink."""
    more: tuple[Annotated[Drink, OneOf(Drink)], ...] = ()
    """More drinks."""


def complaints(**settings) -> list[tuple[tuple, str]]:
    with pytest.raises(ValidationError) as caught:
        Table.model_validate(settings)
    return [(one["loc"], one["msg"]) for one in caught.value.errors()]


def test_a_kind_is_chosen_by_its_name_and_keeps_its_settings():
    table = Table.model_validate({"first": {"minutes": 5}, "more": [{"kind": "water"}, Tea(minutes=2)]})
    assert table == Table(first=Tea(minutes=5), more=(Water(), Tea(minutes=2)))
    assert Table.model_validate(table.model_dump()) == table
    assert Table.model_validate_json(table.model_dump_json()) == table
    assert (Tea.code, Water.code) == (__name__, "somewhere.else")


def test_what_is_wrong_is_named_by_its_place():
    assert complaints(first={"minutes": 0, "milk": True}) == [
        (("first", "minutes"), "Input should be greater than or equal to 1"),
        (("first", "milk"), "Extra inputs are not permitted"),
    ]
    assert complaints(first={"kind": "wine"}) == [(("first",), "there is no kind 'wine'; there are tea, water")]
    assert complaints(more=[{}]) == [(("more", 0), "say which `kind` it is: tea, water")]
    assert complaints(first=3) == [(("first",), "expected keys and values, one of them `kind`")]


def test_the_schema_shows_each_kind():
    drinks = Table.model_json_schema()["properties"]["first"]["anyOf"]
    assert [one["properties"]["kind"]["const"] for one in drinks] == ["tea", "water"]
    assert drinks[0]["properties"]["minutes"]["description"] == "How long it draws."


def test_two_classes_of_one_kind_are_refused():
    class Seam(Kind):
        pass

    class One(Seam):
        kind: Literal["same"] = "same"

    class Other(Seam):
        kind: Literal["same"] = "same"

    with pytest.raises(ConfigError, match=r"two classes are of kind 'same': .*One and .*Other"):
        kinds_of(Seam)


def test_kinds_from_outside_are_imported_by_the_environment_alone(tmp_path, monkeypatch):
    (tmp_path / "somebodys_juice.py").write_text(
        f"from typing import Literal\nfrom {__name__} import Drink\n\n\n"
        'class Juice(Drink):\n    kind: Literal["juice"] = "juice"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert complaints(first={"kind": "juice"})
    monkeypatch.setenv(base.VARIABLE, "somebodys_juice")
    assert Table.model_validate({"first": {"kind": "juice"}}).first.code == "somebodys_juice"
    monkeypatch.setenv(base.VARIABLE, "not_there, somebodys_juice")
    with pytest.raises(ConfigError, match="REIN_KINDS: module 'not_there' cannot be imported"):
        kinds_of(Drink)

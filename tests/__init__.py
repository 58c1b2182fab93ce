"""The tests mirror the folders that they test."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""How the nightly run checks types: as beartype does, and a whole number is a number, as it is to a type checker."""

"""JSON Schemas of event data: compiled once, and what they say against an event in words that hold none of its values."""

from collections.abc import Mapping, Sequence
from typing import NoReturn

import jsonschema_rs

_HIDDEN = "the value"


class SchemaProblem(Exception):
    """A JSON Schema does not compile; `path` leads to the place inside it."""

    def __init__(self, path: Sequence[str | int], message: str) -> None:
        super().__init__(message)
        self.path = tuple(path)


def compile_schema(schema: object) -> jsonschema_rs.Validator:
    """Compile. References must stay inside the schema.

    Raises:
        SchemaProblem: it is no valid JSON Schema, or refers to something outside of itself.
    """
    if not isinstance(schema, dict):
        raise SchemaProblem((), "a schema is a mapping, like {type: object}")
    try:
        jsonschema_rs.meta.validate(schema)
        return jsonschema_rs.validator_for(schema, mask=_HIDDEN, retriever=_refuse)
    except jsonschema_rs.ValidationError as error:
        raise SchemaProblem(error.instance_path, error.message) from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise SchemaProblem((), str(error)) from None


def violation(validator: jsonschema_rs.Validator, data: Mapping[str, object]) -> str | None:
    """The first thing wrong with `data`: JSON pointer and rule, never a value. None: nothing is."""
    if validator.is_valid(data):
        return None
    first = next(validator.iter_errors(data))
    return f"data{pointer(first.instance_path)}: {first.message}"


def pointer(path: Sequence[str | int]) -> str:
    """The JSON pointer (RFC 6901) of a path of keys and indices; empty for the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"the schema refers to {uri}; put what it needs under `$defs` inside the schema")

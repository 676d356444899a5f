"""Sample data for an event type, out of its JSON Schema: its own examples, else made up from what it demands. Pure."""

from collections.abc import Mapping

Json = dict[str, object]

_BY_FORMAT = {
    "uri": "https://example.com/sample",
    "url": "https://example.com/sample",
    "email": "ada@example.com",
    "date": "2026-03-01",
    "date-time": "2026-03-01T12:00:00Z",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_DEEPEST = 8


def samples(schema: object) -> list[Json]:
    """The schema's own ``examples``; else one with every property and one with the required ones alone.

    Without a schema any data is right, so a template has to bear none at all.
    """
    if not isinstance(schema, Mapping):
        return [{}]
    own = schema.get("examples")
    if isinstance(own, list) and own:
        return [dict(example) for example in own if isinstance(example, Mapping)]
    made = [_object(schema, schema, 0, required_only=only) for only in (False, True)]
    return made if made[0] != made[1] else made[:1]


def _object(schema: Mapping[str, object], root: Mapping[str, object], depth: int, *, required_only: bool) -> Json:
    properties, required = schema.get("properties"), schema.get("required")
    found: Json = {}
    if isinstance(properties, Mapping):
        for name, part in properties.items():
            if not required_only or (isinstance(required, list) and name in required):
                found[str(name)] = _value(part, root, depth + 1, required_only=required_only)
    if isinstance(required, list):
        for name in required:
            found.setdefault(str(name), "sample")
    return found


def _value(schema: object, root: Mapping[str, object], depth: int, *, required_only: bool) -> object:
    schema = _resolved(schema, root)
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return "sample"
    if (given := _given(schema)) is not None:
        return given
    for choice in ("oneOf", "anyOf", "allOf"):
        options = schema.get(choice)
        if isinstance(options, list) and options:
            return _value(options[0], root, depth + 1, required_only=required_only)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object" or "properties" in schema:
        return _object(schema, root, depth, required_only=required_only)
    if kind == "array":
        count = max(1, _number(schema.get("minItems"), 1))
        return [_value(schema.get("items"), root, depth + 1, required_only=required_only) for _ in range(int(count))]
    return _scalar(kind, schema)


def _given(schema: Mapping[str, object]) -> object:
    examples, choices = schema.get("examples"), schema.get("enum")
    if isinstance(examples, list) and examples:
        return examples[0]
    if "const" in schema:
        return schema["const"]
    if isinstance(choices, list) and choices:
        return choices[0]
    return schema.get("default")


def _scalar(kind: object, schema: Mapping[str, object]) -> object:
    if kind == "boolean":
        return True
    if kind in ("integer", "number"):
        return _number(schema.get("minimum"), 1)
    if kind == "null":
        return None
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and pattern.startswith("^http"):
        return _BY_FORMAT["uri"]
    text = _BY_FORMAT.get(str(schema.get("format")), "sample")
    shortest, longest = _number(schema.get("minLength"), 0), _number(schema.get("maxLength"), 10_000)
    return text.ljust(int(shortest), "x")[: int(longest)]


def _resolved(schema: object, root: Mapping[str, object]) -> object:
    """Follow references inside the schema; an endless one is cut off by the depth."""
    for _ in range(_DEEPEST):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        found: object = root
        for key in reference[2:].split("/"):
            found = found.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        schema = found
    return schema


def _number(value: object, otherwise: int) -> int | float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise

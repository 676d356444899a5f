"""The JSON Schema (draft 2020-12) of the canonical event, made from its Avro schema."""

from typing import Any

from pipeline.events.reader import MAX_ITEMS
from pipeline.events.releases import AvroSchema, expand

JsonSchema = dict[str, Any]


def event_schema(schema: AvroSchema) -> JsonSchema:
    """Fields without a default are required, and no other fields are allowed."""
    fields = expand(schema)["fields"]
    docs = {field["name"]: field.get("doc", "") for field in schema["fields"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": schema["name"],
        "description": schema.get("doc", ""),
        "type": "object",
        "properties": {f["name"]: {**_value(f["type"], f), "description": docs[f["name"]]} for f in fields},
        "required": [field["name"] for field in fields if "default" not in field],
        "additionalProperties": False,
    }


def _value(avro: Any, field: AvroSchema) -> JsonSchema:
    match avro:
        case ["null", some]:
            return _nullable(_value(some, field))
        case {"type": "enum", "symbols": symbols}:
            return {"enum": list(symbols)}
        case {"type": "array", "items": items}:
            return {"type": "array", "items": _value(items, {}), "maxItems": MAX_ITEMS}
        case {"logicalType": "timestamp-millis"}:
            return {"type": "string", "format": "date-time"}
        case "string" if field.get("contentMediaType") == "application/json":
            return {"type": "object"}
        case "string":
            return _text(field)
    raise NotImplementedError(f"Avro type {avro!r} in the canonical event")


def _text(field: AvroSchema) -> JsonSchema:
    limits = {key: field[key] for key in ("minLength", "maxLength") if key in field}
    return {"type": "string", **limits, "pattern": r"^[^\u0000]*$"}


def _nullable(schema: JsonSchema) -> JsonSchema:
    if "enum" in schema:
        return {"enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}

"""Makes the tables of ``docs/topics.md`` from ``topics/*.yaml`` and the Avro schemas, so that they are never old."""

import re
from collections.abc import Callable
from typing import Any

from pipeline.events.releases import AvroSchema
from pipeline.kafka.topology_files import Topic

_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
DAY_MS = 86_400_000


def render(page: str, topics: list[Topic], schema_of: Callable[[str], AvroSchema]) -> str:
    """`page` with what stands between its markers made anew: ``topics``, or the fields of the record of that name."""

    def block(match: re.Match[str]) -> str:
        name = match[2]
        table = topics_table(topics) if name == "topics" else fields_table(schema_of(name))
        return f"{match[1]}\n{table}\n\n{match[3]}"

    return _BLOCK.sub(block, page)


def topics_table(topics: list[Topic]) -> str:
    rows = [f"| `{t.name}` | {t.schema or '–'} | {t.partitions} | {_kept(t)} | {t.description} |" for t in topics]
    return "\n".join(["| Topic | Value | Partitions | Kept | What |", "|---|---|---|---|---|", *rows])


def _kept(topic: Topic) -> str:
    if topic.settings["cleanup.policy"] == "compact":
        return "last of each key"
    return f"{int(topic.settings['retention.ms']) // DAY_MS} d"


def fields_table(schema: AvroSchema) -> str:
    rows = [
        f"| `{field['name']}` | {_type(field['type'])}{_limit(field)} | {_default(field)} | {field.get('doc', '')} |"
        for field in schema["fields"]
    ]
    return "\n".join(["| Field | Type | Default | Meaning |", "|---|---|---|---|", *rows])


def _type(schema: Any) -> str:
    match schema:
        case ["null", some]:
            return f"{_type(some)} or null"
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "enum", "symbols": symbols}:
            return "enum: " + ", ".join(f"`{symbol}`" for symbol in symbols)
        case {"logicalType": "timestamp-millis"}:
            return "time (ms, UTC)"
        case {"type": "record", "name": name}:
            return f"record {name}"
    return str(schema).rpartition(".")[2]


def _limit(field: AvroSchema) -> str:
    if "maxLength" not in field:
        return ""
    return f", {field['minLength']}–{field['maxLength']}" if "minLength" in field else f", ≤ {field['maxLength']}"


def _default(field: AvroSchema) -> str:
    if "default" not in field:
        return "required"
    default = field["default"]
    return "null" if default is None else f"`{default!r}`" if default == "" else f"`{default}`"

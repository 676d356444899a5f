"""``pipeline templates preview``: one template as each channel would show it."""

import json
from collections.abc import Mapping
from pathlib import Path

from pipeline.config.failover import MAX_SEGMENTS
from pipeline.events.vocabulary import Channel
from pipeline.templates.layout import PARTS
from pipeline.templates.limits import measures, push_payload, too_large
from pipeline.templates.rendering import ChannelTemplate, Context

_FILES = {(Channel.EMAIL, "html"): "email.html", (Channel.EMAIL, "text"): "email.txt"}


def preview(template: ChannelTemplate, context: Context, *, max_segments: int = MAX_SEGMENTS) -> dict[str, object]:
    """Every part by its name, then ``payload`` (push), ``size`` (`measures`) and ``too_large`` where it is.

    `max_segments`: what an SMS may take (``sms.max_segments``).

    Raises:
        TemplateError: it cannot be rendered with this data.
    """
    parts = template.render(context)
    shown: dict[str, object] = dict(parts)
    if template.channel is Channel.PUSH:
        shown["payload"] = push_payload(parts)
    shown["size"] = taken = measures(template.channel, parts)
    if wrong := too_large(template.channel, taken, max_segments=max_segments):
        shown["too_large"] = wrong
    return shown


def for_people(shown: Mapping[str, object]) -> str:
    """A preview as text for a terminal."""
    lines = []
    for name, value in shown.items():
        if isinstance(value, Mapping) and name == "size":
            lines.append(
                "--- size\n" + ", ".join(f"{amount} {what.replace('_', ' ')}" for what, amount in value.items())
            )
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
            lines.append(f"--- {name}\n{text}")
    return "\n".join(lines)


def write_files(channel: Channel, shown: Mapping[str, object], folder: Path) -> list[Path]:
    """Each part as a file of its own; the names are those of the templates, without their source's ending."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for part in PARTS[channel]:
        if part.name in shown:
            name = _FILES.get((channel, part.name), part.file)
            written.append(_write(folder / name, str(shown[part.name])))
    if "payload" in shown:
        payload = json.dumps(shown["payload"], ensure_ascii=False, indent=2)
        written.append(_write(folder / f"{channel}.payload.json", payload + "\n"))
    return written


def _write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path

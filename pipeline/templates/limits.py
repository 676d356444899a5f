"""How much a channel carries, and how much of it a rendered template takes. Pure."""

import json
from collections.abc import Mapping

from pipeline.channels.segments import segments
from pipeline.config.failover import MAX_SEGMENTS
from pipeline.events.vocabulary import Channel

MAX_PUSH = 4096
"""Bytes of a push message: https://firebase.google.com/docs/cloud-messaging/customize-messages/set-message-type"""

PUSH_FRAME = 400
"""Bytes that the rest of a push message takes (ids, collapse key, platform options), with some to spare."""

CLIPPED_MAIL = 102 * 1024
"""Bytes of HTML after which Gmail hides the rest behind a link, and the unsubscribe link with it."""


def measures(channel: Channel, parts: Mapping[str, str]) -> dict[str, int]:
    """What a rendered template takes of the channel's limits, by name."""
    match channel:
        case Channel.SMS:
            text = parts["text"].strip()
            return {"characters": len(text), "segments": segments(text)}
        case Channel.PUSH:
            return {"bytes": len(json.dumps(push_payload(parts), ensure_ascii=False).encode()) + PUSH_FRAME}
        case Channel.EMAIL:
            return {"html_bytes": len(parts["html"].encode()), "text_bytes": len(parts["text"].encode())}
        case Channel.IN_APP:
            return {"bytes": sum(len(text.encode()) for text in parts.values())}


def push_payload(parts: Mapping[str, str]) -> dict[str, object]:
    """The part of a push message that the template makes."""
    title, body = " ".join(parts["title"].split()), parts["body"].strip()
    return {"notification": {"title": title, "body": body}}


def too_large(channel: Channel, taken: Mapping[str, int], *, max_segments: int = MAX_SEGMENTS) -> str:
    """What is wrong with these `measures`; empty: nothing. `max_segments` is the setting of SMS."""
    if channel is Channel.SMS and taken["segments"] > max_segments:
        return f"the SMS takes {taken['segments']} segments, {max_segments} are allowed: shorten it"
    if channel is Channel.PUSH and taken["bytes"] > MAX_PUSH:
        return f"the push message takes about {taken['bytes']} bytes, {MAX_PUSH} are allowed: truncate title and body"
    if channel is Channel.EMAIL and taken["html_bytes"] > CLIPPED_MAIL:
        return f"the HTML takes {taken['html_bytes']} bytes; Gmail clips a mail after {CLIPPED_MAIL}"
    return ""

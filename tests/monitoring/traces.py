"""An OpenTelemetry collector that keeps what it is sent."""

import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WHOLE_WAY = ("POST /v1/events", "route", "deliver", "send")
"""How the spans of an event begin that came over HTTP and was sent."""


class Kept(NamedTuple):
    """A span: its own and its parent's id, the service that made it."""

    name: str
    span: bytes
    parent: bytes
    service: str


class Collector:
    """Takes OTLP over HTTP on a free port. Use as a context manager."""

    def __init__(self) -> None:
        self.traces: defaultdict[bytes, list[Kept]] = defaultdict(list)
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.keep(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def keep(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    kept = Kept(span.name, span.span_id, span.parent_span_id, named["service.name"])
                    self.traces[span.trace_id].append(kept)

    def whole(self) -> list[list[Kept]]:
        """The traces in which a request, its decision, a delivery and a call hang below each other, from the top."""
        return [way for spans in list(self.traces.values()) if len(way := _way(spans)) == len(WHOLE_WAY)]


def _way(spans: list[Kept]) -> list[Kept]:
    way: list[Kept] = []
    for start in WHOLE_WAY:
        below = [s for s in spans if s.name.startswith(start) and (not way or s.parent == way[-1].span)]
        if start == "deliver":  # the turn in which it was sent
            parents = {s.parent for s in spans if s.name.startswith("send")}
            below = [s for s in below if s.span in parents]
        if not below:
            return way
        way.append(below[0])
    return way

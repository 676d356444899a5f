"""The front door: HTTP for services that do not speak Kafka, and for applications of end users.

An area (events, people, …) is a table of `pipeline.gateway.routes.Route`: method, path, typed handler, who may call
it. `pipeline.gateway.application` mounts the tables, and ``/openapi.json`` is made from the same handlers.
"""

"""The example page, for development: an inbox with a badge and toasts."""

from aiohttp import web

from pipeline.resources import resource_dir

FILES = {
    "/": ("index.html", "text/html"),
    "/inbox.js": ("inbox.js", "text/javascript"),
    "/inbox.css": ("inbox.css", "text/css"),
}
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src *; frame-ancestors 'none'"


def add_page(application: web.Application) -> None:
    """Serve ``examples/inbox/`` at ``/``."""
    folder = resource_dir("examples") / "inbox"
    texts = {path: ((folder / name).read_text(), content_type) for path, (name, content_type) in FILES.items()}

    async def answer(request: web.Request) -> web.Response:
        text, content_type = texts[request.path]
        return web.Response(text=text, content_type=content_type, headers={"Content-Security-Policy": POLICY})

    for path in FILES:
        application.router.add_get(path, answer)

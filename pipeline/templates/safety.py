"""What in a template's source is unsafe or cannot work, before any event comes: with lines. Pure."""

import re
from collections.abc import Iterator

from jinja2 import Environment, TemplateSyntaxError, meta, nodes

from pipeline.templates.mjml_lint import Mistake

VARIABLES = frozenset({"data", "event", "user", "unsubscribe_url", "preferences_url"})
"""What a template may read; `pipeline.templates.context`, and the link in mail."""

_LINK = re.compile(r"""\b(?:href|src|action)\s*=\s*["']?\s*\{\{(?P<code>.*?)\}\}""", re.IGNORECASE | re.DOTALL)
_OWN_LINK = re.compile(r"\s*(unsubscribe|preferences)_url\s*")


def unsafe_constructs(source: str, *, markup: bool) -> list[Mistake]:
    """Every finding, in order of lines. `markup`: the source is MJML or HTML.

    Raises:
        jinja2.TemplateSyntaxError: it cannot be parsed.
    """
    environment = Environment(autoescape=True)
    environment.filters["web_link"] = str
    tree = environment.parse(source)
    found = [*_unknown_names(tree), *_private_attributes(tree)]
    if markup:
        found += [*_unescaped(tree), *_links(source)]
    return sorted(found)


def unsafe_in(source: str, *, markup: bool) -> list[Mistake]:
    """As `unsafe_constructs`; nothing where the source cannot be parsed, which is told elsewhere."""
    try:
        return unsafe_constructs(source, markup=markup)
    except TemplateSyntaxError:
        return []


def _unknown_names(tree: nodes.Template) -> Iterator[Mistake]:
    unknown = meta.find_undeclared_variables(tree) - VARIABLES
    for name in tree.find_all(nodes.Name):
        if name.name in unknown:
            unknown.discard(name.name)
            known = ", ".join(sorted(VARIABLES))
            yield Mistake(name.lineno, f"there is no variable {name.name!r}; a template has {known}")


def _private_attributes(tree: nodes.Template) -> Iterator[Mistake]:
    for attribute in tree.find_all(nodes.Getattr):
        if attribute.attr.startswith("_"):
            yield Mistake(attribute.lineno, f"unsafe: the sandbox gives out no attribute {attribute.attr!r}")
    for use in tree.find_all(nodes.Filter):
        if use.name == "attr":
            yield Mistake(use.lineno, "unsafe: the filter attr reaches attributes by name; write them out")


def _unescaped(tree: nodes.Template) -> Iterator[Mistake]:
    for use in tree.find_all(nodes.Filter):
        if use.name == "safe":
            yield Mistake(use.lineno, "unsafe: the filter safe lets data into the mail as markup; leave it out")
    for scope in tree.find_all(nodes.EvalContextModifier):
        for option in scope.options:
            if option.key == "autoescape" and not _is_true(option.value):
                yield Mistake(scope.lineno, "unsafe: autoescape is turned off here; data would become markup")


def _is_true(value: nodes.Expr) -> bool:
    return isinstance(value, nodes.Const) and value.value is True


def _links(source: str) -> Iterator[Mistake]:
    """A link that begins with data may be ``javascript:``; ours, and those that `web_link` lets through, may not."""
    for match in _LINK.finditer(source):
        code = match["code"]
        if "web_link" not in code and not _OWN_LINK.fullmatch(code):
            line = source.count("\n", 0, match.start()) + 1
            yield Mistake(line, f"unsafe: a link made of data; write {{{{{code.rstrip()} | web_link }}}}")

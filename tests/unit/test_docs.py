import re
from pathlib import Path

import pytest

from pipeline.docs import PAGES, render, settings_reference
from pipeline.events.vocabulary import REASON_TEXT, Reason, Status

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:|#)([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_says_what_the_code_says(name: str) -> None:
    page = (DOCS / name).read_text(encoding="utf-8")
    assert page == render(page), "make it anew: .venv/bin/pipeline docs build"


def test_every_status_and_every_reason_stands_on_its_page() -> None:
    page = (DOCS / "reasons.md").read_text(encoding="utf-8")
    assert set(REASON_TEXT) == set(Reason)
    assert all(f"`{word}`" in page for word in (*Status, *Reason))


def test_a_setting_is_named_by_its_variable_with_type_default_and_unit() -> None:
    reference = settings_reference()
    assert "`PIPELINE_KAFKA__BOOTSTRAP_SERVERS` | text | `localhost:9092` |" in reference
    assert "`PIPELINE_DELIVERY__LEASE` | seconds | `30` |" in reference
    assert "`PIPELINE_PROVIDERS__FCM__SERVICE_ACCOUNT` | path, or none | none |" in reference
    assert "`PIPELINE_LOG__FORMAT` | `json`, `text` | `json` |" in reference


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *DOCS.rglob("*.md")], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_link_between_the_pages_leads_to_a_file(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert not broken

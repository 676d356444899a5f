from pathlib import Path

from pipeline.events.schemas import SchemaBook
from pipeline.kafka.names import ALL_TOPICS
from pipeline.kafka.topics_page import render
from pipeline.kafka.topology_files import load_topics

PAGE = Path(__file__).parents[3] / "docs" / "topics.md"


def test_the_page_of_topics_says_what_the_files_say() -> None:
    page = PAGE.read_text()
    assert page == render(page, load_topics(), SchemaBook.from_lock().schema_of), (
        "make it anew: pipeline topics docs docs/topics.md"
    )
    assert all(f"`{name}`" in page for name in ALL_TOPICS)
    assert "| `idempotency_key` | string, 1–255 | required |" in page

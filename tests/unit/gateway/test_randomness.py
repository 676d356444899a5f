"""Random ids drawn many at a time are as good as one at a time."""

import uuid

from pipeline.gateway.randomness import RandomIds


def test_every_id_is_another_and_a_uuid_of_version_four_also_beyond_what_is_drawn_at_once() -> None:
    ids = RandomIds()
    made = [ids.uuid() for _ in range(1_000)]
    assert len(set(made)) == 1_000
    for text in made:
        parsed = uuid.UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, uuid.RFC_4122)
    assert len({ids.hex() for _ in range(1_000)} | {text.replace("-", "") for text in made}) == 2_000

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.channels import segments as module
from pipeline.channels.segments import is_gsm, segments


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("é" * 160, 1),
        ("ё" * 70, 1),
        ("ё" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("a" * 69 + "😀", 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the euro would be cut in two, so the first part ends a unit early
        ("a" * 151 + "€" + "a" * 153, 2),
        ("ё" * 66 + "😀" + "ё" * 66, 3),
        ("ё" * 65 + "😀" + "ё" * 67, 2),
        ("ë" * 70, 1),
        ("ë" * 71, 2),
        ("", 1),
    ],
)
def test_segments_as_carriers_bill_them(text: str, count: int) -> None:
    assert segments(text) == count


def test_the_alphabet_is_that_of_the_standard() -> None:
    assert len(module._BASIC) == 127, "128 code points, one of which is the escape"
    assert len(module._EXTENDED) == 10
    assert not module._BASIC & module._EXTENDED
    assert is_gsm("Café costs 5 €")
    assert not is_gsm("Zoë")


GSM = st.text(st.sampled_from(sorted(module._GSM)), max_size=2000)


def parts_one_by_one(units: list[int], room: int) -> int:
    parts: list[int] = []
    for unit in units:
        if parts and parts[-1] + unit <= room:
            parts[-1] += unit
        else:
            parts.append(unit)
    return len(parts)


@settings(deadline=None)
@given(GSM)
def test_no_character_is_cut_in_two(text: str) -> None:
    units = [2 if c in module._EXTENDED else 1 for c in text]
    assert segments(text) == (1 if sum(units) <= 160 else parts_one_by_one(units, 153))


@settings(deadline=None)
@given(st.text(min_size=1, max_size=500))
def test_more_text_never_takes_fewer_segments(text: str) -> None:
    counts = [segments(text[:end]) for end in range(0, len(text) + 1, 7)]
    assert counts == sorted(counts)

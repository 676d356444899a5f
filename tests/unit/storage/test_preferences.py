import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.storage.preferences import seconds_of_day, time_of_day


@given(st.integers(0, 86_399))
def test_a_time_of_day_survives_the_way_to_the_database_and_back(seconds: int) -> None:
    assert seconds_of_day(time_of_day(seconds)) == seconds


@pytest.mark.parametrize("seconds", [-1, 86_400])
def test_what_is_no_time_of_day_is_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="hour must be"):
        time_of_day(seconds)

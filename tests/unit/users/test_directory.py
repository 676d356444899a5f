from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.users.directory import VERSION_DIGITS, Cached, _parse, encode
from pipeline.users.snapshot import UserSnapshot, unknown_user
from pipeline.users.synthetic import generate_users

SNAPSHOTS = st.sampled_from(generate_users(200, 1)) | st.text(min_size=1).map(unknown_user)


@given(SNAPSHOTS, st.integers(0, 2**53), st.integers(0, 10**13 - 1))
def test_a_cached_snapshot_reads_back_as_it_was_and_begins_with_its_version(
    user: UserSnapshot, version: int, until: int
) -> None:
    raw = encode(replace(user, version=version), until)
    assert _parse(raw) == Cached(replace(user, version=version), until)
    assert int(raw[:VERSION_DIGITS]) == version


@given(st.binary())
def test_no_bytes_in_the_cache_can_raise(raw: bytes) -> None:
    _parse(raw)

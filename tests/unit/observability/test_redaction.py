import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.observability.redaction import redact

PASSWORD = "hunter2xyz"


@pytest.mark.parametrize(
    "text",
    [
        f"cannot reach postgresql://app:{PASSWORD}@db:5432/notifications",
        f"redis://:{PASSWORD}@cache:6379/0",
        f"host=db user=app password={PASSWORD} dbname=x",
        f'{{"client_secret": "{PASSWORD}", "a": 1}}',
        f"https://provider.example/send?access_token={PASSWORD}&to=1",
        f"Authorization: Bearer {PASSWORD}",
        f"sent with bearer {PASSWORD}",
        f"sasl.password={PASSWORD}",
    ],
)
def test_a_credential_in_text_is_masked(text: str) -> None:
    assert PASSWORD not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "kafka at localhost:9092 is away",
        "http://localhost:8080/v1/events?since=10m",
        "idempotency_key=order-17 partition=3",
        "postgresql://db/notifications",
        "the basic plan",
    ],
)
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert redact(text) == text


@given(st.from_regex(r"[A-Za-z0-9]{8,20}", fullmatch=True), st.sampled_from(["postgresql", "redis", "smtps", "https"]))
def test_no_password_of_any_url_survives(password: str, scheme: str) -> None:
    assert f":{password}@" not in redact(f"x {scheme}://user:{password}@host:1/path y")

import pytest

from pipeline.channels.addresses import NO_COUNTRY, country_of, email_address, phone_number


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ada@example.com", "ada@example.com"),
        (" Ada.L+news@Example.com ", "Ada.L+news@Example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@localhost", "ada@localhost"),
        ("O'Neil@example.com", "O'Neil@example.com"),
    ],
)
def test_an_address_travels_in_ascii(text: str, address: str) -> None:
    assert email_address(text) == address


NO_ADDRESSES = (
    *(
        "",
        "@",
        "a@",
        "@b",
        "a b@c.de",
        "a@b c",
        "a@b..c",
        ".a@b.c",
        "a.@b.c",
        "jörg@example.com",
        "a@-b.c",
        "a@xn--\u200b.c",
    ),
    *("a@b\r\n.c", "a\r\nb@c.de", "<a@b.c>", "a@b@c.d", "a@b.c\x00", "x" * 65 + "@b.c", "a@" + "b" * 64 + ".c"),
    "a@" + "b." * 130 + "c",
)


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_could_end_a_command_or_reach_nobody_is_no_address(text: str) -> None:
    assert email_address(text) is None


@pytest.mark.parametrize("text", ["+1 500 555 0006", "+1-500-555-0006", "tel:+15005550006", "+15005550006"])
def test_a_number_travels_in_e164(text: str) -> None:
    assert phone_number(text) == "+15005550006"


@pytest.mark.parametrize("text", ["", "0170 1234567", "+1", "+999 123", "abc", "+1 500 555 00061234"])
def test_a_number_without_country_or_length_is_none(text: str) -> None:
    assert phone_number(text) is None


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+12025550100", "US"),
        ("+14165550100", "CA"),
        ("+15005550006", "US"),
        ("+447700900000", "GB"),
        ("+4915112345678", "DE"),
        ("+881612345678", NO_COUNTRY),
    ],
)
def test_a_number_has_the_country_of_its_plan_or_of_its_calling_code(number: str, country: str) -> None:
    assert country_of(number) == country

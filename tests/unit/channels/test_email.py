import email
import email.policy
from collections.abc import Callable
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pipeline.channels.base import Refused
from pipeline.channels.email import EmailPart, EmailSender
from pipeline.channels.mail_headers import mail_headers
from pipeline.channels.mime import MailContent, build_mail, parse_sender
from pipeline.channels.rendering import Renderer
from pipeline.channels.unsubscribe import Unsubscribe, verify
from pipeline.config import EmailSettings
from pipeline.errors import ConfigurationError
from pipeline.events.records import Dispatch
from pipeline.events.vocabulary import Channel, Reason
from pipeline.providers.base import Outcome, SendResult
from pipeline.providers.mail import MailMessage
from pipeline.users.snapshot import UserSnapshot

SECRET = "unsubscribe-secret"


class Relay:
    name = "smtp"

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, mail: MailMessage) -> SendResult:
        return SendResult(outcome=Outcome.ACCEPTED, provider="smtp")

    async def check(self) -> SendResult:
        return SendResult(outcome=Outcome.ACCEPTED, provider="smtp")


class SuppressionList:
    def __init__(self) -> None:
        self.added: list[tuple[object, ...]] = []

    async def add(self, *arguments: object) -> None:
        self.added.append(arguments)


@pytest.fixture
def make_sender(renderer: Callable[[Channel], Renderer]) -> Callable[..., EmailSender]:
    def make(secret: str = SECRET, suppressions: SuppressionList | None = None) -> EmailSender:
        settings = EmailSettings(unsubscribe_secret=SecretStr(secret))
        url = "https://notify.example.com/"
        return EmailSender(
            renderer(Channel.EMAIL), Relay(), suppressions or SuppressionList(), settings, public_url=url
        )

    return make


def prepared(sender: EmailSender, dispatch: Dispatch, user: UserSnapshot) -> tuple[MailMessage, EmailMessage]:
    (part,) = sender.prepare(dispatch, user)
    assert isinstance(part.payload, EmailPart)
    message = email.message_from_bytes(part.payload.mail.content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return part.payload.mail, message


def test_marketing_has_its_own_sender_and_one_click_unsubscribe(
    make_sender: Callable[..., EmailSender], make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    mail, message = prepared(make_sender(), make_dispatch(Channel.EMAIL, stream="marketing"), user)
    assert mail.sender == "news@news.example.com"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = str(message["List-Unsubscribe"])
    assert link.startswith("<https://notify.example.com/u/")
    token = link.rpartition("/")[2].rstrip(">")
    claim = verify(token, SECRET.encode())
    assert claim is not None
    assert claim == Unsubscribe("user_1", "orders", Channel.EMAIL, claim.reference)
    assert claim.reference is not None
    assert claim.reference.notification_id == mail.notification_id


def test_transactional_mail_can_be_unsubscribed_but_not_by_one_click(
    make_sender: Callable[..., EmailSender], make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    mail, message = prepared(make_sender(), make_dispatch(Channel.EMAIL), user)
    assert mail.sender == "notify@mail.example.com"
    assert "List-Unsubscribe" in message
    assert "List-Unsubscribe-Post" not in message


def test_without_a_secret_transactional_mail_goes_out_and_marketing_is_refused(
    make_sender: Callable[..., EmailSender], make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    _, message = prepared(make_sender(secret=""), make_dispatch(Channel.EMAIL), user)
    assert "List-Unsubscribe" not in message
    with pytest.raises(Refused) as refused:
        make_sender(secret="").prepare(make_dispatch(Channel.EMAIL, stream="marketing"), user)
    assert refused.value.reason is Reason.PROVIDER_CONFIGURATION


@pytest.mark.parametrize(
    "address", [None, "", "ada", "ada@", "@example.com", "jörg@example.com", "a@b\r\nRCPT TO:<x@y>"]
)
def test_an_address_that_cannot_be_written_to_is_refused_before_the_relay_sees_it(
    make_sender: Callable[..., EmailSender],
    make_dispatch: Callable[..., Dispatch],
    user: UserSnapshot,
    address: str | None,
) -> None:
    stranger = UserSnapshot(user_id="u", version=1, known=True, email=address)
    with pytest.raises(Refused) as refused:
        make_sender().prepare(make_dispatch(Channel.EMAIL), stranger)
    assert refused.value.reason is Reason.NO_ADDRESS
    assert not address or address not in refused.value.detail


async def test_a_dead_mailbox_is_suppressed_as_the_profile_writes_it(
    make_sender: Callable[..., EmailSender], make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    suppressions = SuppressionList()
    sender = make_sender(suppressions=suppressions)
    dispatch = make_dispatch(Channel.EMAIL)
    (part,) = sender.prepare(dispatch, user)
    await sender.prune(dispatch, part, SendResult(outcome=Outcome.INVALID_RECIPIENT, provider="smtp"))
    assert suppressions.added == [(Channel.EMAIL, "user_1", "Ada@Example.com", "*", "bounce")]


def test_a_sender_without_an_address_stops_the_start(renderer: Callable[[Channel], Renderer]) -> None:
    settings = EmailSettings(from_marketing="News")
    with pytest.raises(ConfigurationError, match=r"email\.from_marketing"):
        EmailSender(renderer(Channel.EMAIL), Relay(), SuppressionList(), settings, public_url="http://x")


@pytest.mark.parametrize("stream", ["transactional", "marketing"])
def test_every_mail_can_be_traced_counted_and_known_for_automatic(
    make_sender: Callable[..., EmailSender], make_dispatch: Callable[..., Dispatch], user: UserSnapshot, stream: str
) -> None:
    mail, message = prepared(make_sender(), make_dispatch(Channel.EMAIL, stream=stream), user)
    assert message["Message-ID"] == f"<{mail.notification_id}@{mail.sender.partition('@')[2]}>"
    assert message["X-Notification-ID"] == mail.notification_id
    assert message["Feedback-ID"] == f"orders:{stream}:notifications"
    assert message["Auto-Submitted"] == ("auto-generated" if stream == "transactional" else None)


def test_the_fields_for_http_providers_say_what_the_message_says(
    make_sender: Callable[..., EmailSender], make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    data = '{"title": "Zoë\\r\\nBcc: x@example.com", "text": "李雷"}'
    mail, message = prepared(make_sender(), make_dispatch(Channel.EMAIL, data=data, stream="marketing"), user)
    assert mail.subject == message["Subject"] == "Zoë Bcc: x@example.com"
    assert message["To"] == mail.recipient == "Ada@Example.com"
    assert message["From"] == f"{mail.sender_name} <{mail.sender}>"
    assert {name: message[name] for name, _ in mail.headers} == dict(mail.headers)
    assert mail.text == "李雷"
    assert mail.pool == mail.stream == "marketing"


def test_an_empty_subject_is_refused(
    make_sender: Callable[..., EmailSender], make_dispatch: Callable[..., Dispatch], user: UserSnapshot
) -> None:
    with pytest.raises(Refused) as refused:
        make_sender().prepare(make_dispatch(Channel.EMAIL, data='{"title": "\\n"}'), user)
    assert refused.value.reason is Reason.TEMPLATE_ERROR


WORD = st.text(max_size=60)


@given(notification_id=WORD, category=WORD, stream=WORD)
def test_no_field_of_a_record_can_add_a_header(notification_id: str, category: str, stream: str) -> None:
    headers = mail_headers(
        notification_id=notification_id,
        sender_domain="mail.example.com",
        category=category,
        stream=stream,
        feedback_sender="notifications",
        unsubscribe="https://notify.example.com/u/token",
    )
    sender = parse_sender("Shop <shop@mail.example.com>")
    assert sender
    content = MailContent("ada@example.com", "s", "t", "<p>h</p>", 0.0, headers)
    message = email.message_from_bytes(build_mail(sender, content), policy=email.policy.default)
    own = ["From", "To", "Subject", "Date", "MIME-Version", "Content-Type"]
    assert sorted(message.keys()) == sorted([*own, *(name for name, _ in headers)])
    assert all(value.isascii() and value.isprintable() for _, value in headers)


@given(st.text(max_size=200))
def test_a_header_value_with_a_line_break_of_its_own_builds_no_mail(value: str) -> None:
    sender = parse_sender("Shop <shop@mail.example.com>")
    assert sender
    try:
        mail = build_mail(sender, MailContent("a@b.c", "s", "t", "h", 0.0, (("X-Test", value),)))
    except ValueError:  # UnicodeEncodeError is one too
        return
    assert len(email.message_from_bytes(mail, policy=email.policy.default).keys()) == 7

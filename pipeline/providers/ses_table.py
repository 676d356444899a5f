"""What Amazon SES answers, by the name of the exception, else by HTTP status."""

import re
from functools import partial

import msgspec

from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.http import Answer
from pipeline.providers.table import Row

NAME = "ses"

_SEND = "https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors"
_COMMON = "https://docs.aws.amazon.com/ses/latest/APIReference-V2/CommonErrors.html"
_QUOTAS = "https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html"
_MESSAGES = "https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html"

ERROR_CODES: dict[str, Row] = {
    "MessageRejected": Row(Outcome.PERMANENT, _SEND),
    "BadRequestException": Row(Outcome.PERMANENT, _SEND),
    "AccountSuspendedException": Row(Outcome.CONFIGURATION, _SEND, Scope.ACCOUNT),
    "MailFromDomainNotVerifiedException": Row(Outcome.CONFIGURATION, _SEND, Scope.MESSAGE),
    "NotFoundException": Row(Outcome.CONFIGURATION, _SEND, Scope.MESSAGE),
    "SendingPausedException": Row(Outcome.TRANSIENT, _SEND, Scope.ACCOUNT),
    "LimitExceededException": Row(Outcome.THROTTLED, _SEND),
    "TooManyRequestsException": Row(Outcome.THROTTLED, _SEND),
    "ThrottlingException": Row(Outcome.THROTTLED, _QUOTAS),
    "InternalFailure": Row(Outcome.TRANSIENT, _COMMON),
    "InternalServiceErrorException": Row(Outcome.TRANSIENT, _COMMON),
    "RequestAbortedException": Row(Outcome.TRANSIENT, _COMMON),
    "RequestTimeoutException": Row(Outcome.TRANSIENT, _COMMON),
    "ServiceUnavailable": Row(Outcome.TRANSIENT, _COMMON),
    "RequestEntityTooLargeException": Row(Outcome.PERMANENT, _COMMON),
    "ValidationError": Row(Outcome.PERMANENT, _COMMON),
    "AccessDeniedException": Row(Outcome.CONFIGURATION, _COMMON),
    "ExpiredTokenException": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "IncompleteSignature": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "InvalidClientTokenId": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "InvalidSignatureException": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "MissingAuthenticationToken": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "NotAuthorized": Row(Outcome.CONFIGURATION, _COMMON),
    "OptInRequired": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "RequestExpired": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "SignatureDoesNotMatch": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "UnrecognizedClientException": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
}
"""By exception; comes before the HTTP status. `classify` says where a row has a condition.

A sender or configuration set that is not there concerns one stream's mail: the account goes on with the other's.
"""

STATUSES: dict[int, Row] = {
    400: Row(Outcome.PERMANENT, _COMMON),
    401: Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    403: Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    404: Row(Outcome.CONFIGURATION, _COMMON),
    408: Row(Outcome.TRANSIENT, _COMMON),
    413: Row(Outcome.PERMANENT, _COMMON),
    429: Row(Outcome.THROTTLED, _SEND),
    500: Row(Outcome.TRANSIENT, _COMMON),
    503: Row(Outcome.TRANSIENT, _COMMON),
}
"""By HTTP status, where the answer names no known exception."""

UNVERIFIED = re.compile(r"email address is not verified", re.IGNORECASE)
"""What a MessageRejected says that is about our identities or the sandbox, not about the mail (see `_MESSAGES`)."""


class _Reply(msgspec.Struct):
    message_id: str = msgspec.field(default="", name="MessageId")
    type: str = msgspec.field(default="", name="__type")
    message: str = ""


_decode = msgspec.json.Decoder(_Reply).decode


def classify(answer: Answer) -> SendResult:
    """What an answer means. `error` is the exception's name or the status: never the text, it quotes addresses."""
    try:
        reply = _decode(answer.body)
    except msgspec.DecodeError:
        reply = _Reply()
    if answer.status < 300:
        return _accepted(reply)
    result = partial(SendResult, provider=NAME, retry_after=answer.retry_after)
    code = exception(answer.headers.get("x-amzn-ErrorType") or reply.type)
    if code == "MessageRejected" and UNVERIFIED.match(reply.message):
        return result(outcome=Outcome.CONFIGURATION, error=code, scope=Scope.MESSAGE)
    if row := ERROR_CODES.get(code):
        return result(outcome=row.outcome, error=code, scope=row.scope)
    outcome, scope = _by_status(answer.status)
    return result(outcome=outcome, error=str(answer.status), scope=scope)


def exception(text: str) -> str:
    """The exception's name out of ``com.amazonaws.ses#MessageRejected:http://…``."""
    return text.partition(":")[0].rpartition("#")[2]


def _accepted(reply: _Reply) -> SendResult:
    """A success without a message id is not SES speaking: a proxy, perhaps after SES had accepted."""
    if reply.message_id:
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=reply.message_id)
    return SendResult(outcome=Outcome.AMBIGUOUS, provider=NAME, error="unreadable_answer")


def _by_status(status: int) -> tuple[Outcome, Scope]:
    if row := STATUSES.get(status):
        return row.outcome, row.scope
    if status >= 500:
        return Outcome.TRANSIENT, Scope.UNKNOWN
    return Outcome.PERMANENT if status >= 400 else Outcome.CONFIGURATION, Scope.UNKNOWN

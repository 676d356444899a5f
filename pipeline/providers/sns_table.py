"""What Amazon SNS answers, by the error's code, else by HTTP status."""

from functools import partial
from typing import NamedTuple
from xml.etree import ElementTree

from pipeline.providers.base import Outcome, Scope, SendResult
from pipeline.providers.http import Answer
from pipeline.providers.table import Row, by_status

NAME = "sns"
API_VERSION = "2010-03-31"

_PUBLISH = "https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors"
_COMMON = "https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html"
_ATTRIBUTES = "https://docs.aws.amazon.com/sns/latest/api/API_GetSMSAttributes.html#API_GetSMSAttributes_Errors"
_OPTED_OUT = "https://docs.aws.amazon.com/sns/latest/api/API_OptInPhoneNumber.html"

OPTED_OUT = "OptedOut"
"""The person has answered STOP. (As a rule SNS takes the message and drops it.)"""

INVALID_PARAMETER = "InvalidParameter"

ERROR_CODES: dict[str, Row] = {
    OPTED_OUT: Row(Outcome.INVALID_RECIPIENT, _OPTED_OUT),
    "EndpointDisabled": Row(Outcome.INVALID_RECIPIENT, _PUBLISH),
    "NotFound": Row(Outcome.INVALID_RECIPIENT, _PUBLISH),
    INVALID_PARAMETER: Row(Outcome.PERMANENT, _PUBLISH),
    "ParameterValueInvalid": Row(Outcome.PERMANENT, _PUBLISH),
    "ValidationException": Row(Outcome.PERMANENT, _PUBLISH),
    "ValidationError": Row(Outcome.PERMANENT, _COMMON),
    "Throttled": Row(Outcome.THROTTLED, _ATTRIBUTES),
    "Throttling": Row(Outcome.THROTTLED, _COMMON),
    "ThrottlingException": Row(Outcome.THROTTLED, _COMMON),
    "KMSThrottling": Row(Outcome.THROTTLED, _PUBLISH),
    "InternalError": Row(Outcome.TRANSIENT, _PUBLISH),
    "InternalFailure": Row(Outcome.TRANSIENT, _COMMON),
    "RequestTimeout": Row(Outcome.TRANSIENT, _COMMON),
    "ServiceUnavailable": Row(Outcome.TRANSIENT, _COMMON),
    "PlatformApplicationDisabled": Row(Outcome.CONFIGURATION, _PUBLISH),
    "AuthorizationError": Row(Outcome.CONFIGURATION, _PUBLISH),
    "InvalidSecurity": Row(Outcome.CONFIGURATION, _PUBLISH, Scope.ACCOUNT),
    "KMSAccessDenied": Row(Outcome.CONFIGURATION, _PUBLISH),
    "KMSDisabled": Row(Outcome.CONFIGURATION, _PUBLISH),
    "KMSInvalidState": Row(Outcome.CONFIGURATION, _PUBLISH),
    "KMSNotFound": Row(Outcome.CONFIGURATION, _PUBLISH),
    "KMSOptInRequired": Row(Outcome.CONFIGURATION, _PUBLISH),
    "AccessDenied": Row(Outcome.CONFIGURATION, _COMMON),
    "AccessDeniedException": Row(Outcome.CONFIGURATION, _COMMON),
    "ExpiredToken": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "IncompleteSignature": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "InvalidClientTokenId": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "MissingAuthenticationToken": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "NotAuthorized": Row(Outcome.CONFIGURATION, _COMMON),
    "OptInRequired": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "RequestExpired": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "SignatureDoesNotMatch": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    "UnrecognizedClientException": Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
}
"""By code; comes before the HTTP status. `classify` says where a row has a condition."""

STATUSES: dict[int, Row] = {
    400: Row(Outcome.PERMANENT, _COMMON),
    401: Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    403: Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    404: Row(Outcome.CONFIGURATION, _COMMON, Scope.ACCOUNT),
    408: Row(Outcome.TRANSIENT, _COMMON),
    413: Row(Outcome.PERMANENT, _COMMON),
    429: Row(Outcome.THROTTLED, _ATTRIBUTES),
    500: Row(Outcome.TRANSIENT, _COMMON),
    503: Row(Outcome.TRANSIENT, _COMMON),
}
"""By HTTP status, where the answer has no known code."""

UNREACHABLE = "Invalid parameter: PhoneNumber"
"""How an InvalidParameter begins that is about the number: it is none, or this region does not send to it.

https://repost.aws/knowledge-center/sns-troubleshoot-sms-message-delivery-failures
"""


def classify(answer: Answer, *, proven: bool) -> SendResult:
    """What an answer means. `error` is the code or the status: never the text, it quotes the number.

    `proven`: whether this account has had a message accepted. Before that a number which SNS does not send to is no
    verdict on the number: in a region without SMS every number gets this answer.
    """
    reply = read(answer.body)
    if answer.status < 300:
        return _accepted(reply)
    result = partial(SendResult, provider=NAME, retry_after=answer.retry_after)
    if reply.code == INVALID_PARAMETER and reply.message.startswith(UNREACHABLE):
        return result(outcome=Outcome.INVALID_RECIPIENT if proven else Outcome.CONFIGURATION, error="PhoneNumber")
    if row := ERROR_CODES.get(reply.code):
        return result(outcome=row.outcome, error=reply.code, scope=row.scope)
    outcome, scope = by_status(STATUSES, answer.status)
    return result(outcome=outcome, error=str(answer.status), scope=scope)


class _Reply(NamedTuple):
    message_id: str = ""
    code: str = ""
    message: str = ""


def read(body: bytes) -> _Reply:
    """The answer to ``Publish``; empty where it is none of SNS."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - AWS's, and expat bounds what entities expand to
    except ElementTree.ParseError:
        return _Reply()
    return _Reply(*(root.findtext(f".//{{*}}{name}") or "" for name in ("MessageId", "Code", "Message")))


def _accepted(reply: _Reply) -> SendResult:
    """A success without a message id is not SNS speaking: a proxy, perhaps after SNS had accepted."""
    if reply.message_id:
        return SendResult(outcome=Outcome.ACCEPTED, provider=NAME, message_id=reply.message_id)
    return SendResult(outcome=Outcome.AMBIGUOUS, provider=NAME, error="unreadable_answer")

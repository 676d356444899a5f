"""docs/providers.md lists every row of every error table, with its outcome."""

from pathlib import Path

import pytest

from pipeline.providers import (
    apns_table,
    fcm,
    mailgun,
    sendgrid,
    ses_table,
    smtp_table,
    sns_table,
    twilio,
    vonage_messages,
    vonage_sms,
    webpush_table,
)

DOCUMENT = (Path(__file__).parents[3] / "docs" / "providers.md").read_text("utf-8")
TABLES = {
    "FCM": fcm.ERROR_CODES | {str(status): row for status, row in fcm.STATUSES.items()},
    "APNs": apns_table.REASONS | {str(status): row for status, row in apns_table.STATUSES.items()},
    "Web push": {str(status): row for status, row in webpush_table.STATUSES.items()},
    "SMTP": smtp_table.ENHANCED | {str(code): row for code, row in smtp_table.BASIC.items()},
    "Amazon SES": ses_table.ERROR_CODES | {str(status): row for status, row in ses_table.STATUSES.items()},
    "SendGrid": {str(status): row for status, row in sendgrid.STATUSES.items()},
    "Mailgun": {str(status): row for status, row in mailgun.STATUSES.items()},
    "Vonage SMS": vonage_sms.STATUSES | {str(status): row for status, row in vonage_sms.HTTP_STATUSES.items()},
    "Vonage Messages": vonage_messages.ERROR_CODES
    | {str(status): row for status, row in vonage_messages.HTTP_STATUSES.items()},
    "Amazon SNS": sns_table.ERROR_CODES | {str(status): row for status, row in sns_table.STATUSES.items()},
    "Twilio": {str(code): row for code, row in (twilio.ERROR_CODES | twilio.STATUSES).items()},
}


@pytest.mark.parametrize("provider", TABLES)
def test_the_documented_table_is_the_one_in_force(provider: str) -> None:
    section = DOCUMENT.partition(f"\n## {provider}\n")[2].partition("\n## ")[0]
    rows: dict[str, str] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            codes, outcome = line.split("|")[1:3]
            rows |= {code.strip(" `"): outcome.strip() for code in codes.split(",")}
    assert rows == {code: row.outcome.name for code, row in TABLES[provider].items()}

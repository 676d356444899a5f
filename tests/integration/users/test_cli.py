import json
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from pipeline.cli.migrate import migrate
from pipeline.cli.users import app
from pipeline.resources import resource_dir
from pipeline.users.files import read_users

EXAMPLES = resource_dir("examples") / "users.yaml"


@pytest.fixture
def environment(database_dsn: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PIPELINE_POSTGRES__DSN", database_dsn)
    monkeypatch.setenv("PIPELINE_REDIS__URL", redis_url)
    return database_dsn


def test_migrate_and_load_say_what_they_did(environment: str, capsys: pytest.CaptureFixture[str]) -> None:
    migrate(as_json=True)
    assert json.loads(capsys.readouterr().out)["applied"][0] == "0001_users"
    migrate()
    assert capsys.readouterr().out == "up to date\n"

    users = read_users(EXAMPLES)
    for _ in range(2):
        result = CliRunner().invoke(app, ["load", str(EXAMPLES), "--json"])
        assert (result.exit_code, json.loads(result.stdout)) == (0, {"loaded": len(users)})
    with psycopg.connect(environment) as connection:
        row = connection.execute("SELECT (SELECT count(*) FROM users), count(*) FROM user_consents").fetchone()
    assert row == (len(users), sum(len(user.consents) for user in users))


def test_preferences_are_imported_and_bad_lines_are_told(environment: str, tmp_path: Path) -> None:
    migrate(as_json=True)
    file = tmp_path / "preferences.csv"
    lines = [
        "user_id,channel,type,enabled,consent,granted,at",
        "anna,email,orders,false,,,",
        "bernd,fax,,true,,,",
        "anna,email,orders,true,,,",
        "anna,,,,marketing,true,2026-01-31T12:00:00Z",
        "anna,,,,news,true,",
    ]
    file.write_text("\n".join(lines), "utf-8")
    refused = CliRunner().invoke(app, ["import-preferences", str(file), "--json"])
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["imported"] == 0
    assert "line 3: channel must be one of" in refused.stderr
    for _ in range(2):
        done = CliRunner().invoke(app, ["import-preferences", str(file), "--skip-bad", "--json"])
        report = json.loads(done.stdout)
        assert (done.exit_code, report["imported"], [bad["number"] for bad in report["bad"]]) == (1, 4, [3])
    with psycopg.connect(environment) as connection:
        rows = connection.execute("SELECT user_id, enabled, source FROM user_notification_preferences").fetchall()
        consents = connection.execute("SELECT category, source, at FROM user_consents ORDER BY category").fetchall()
    assert rows == [("anna", True, "import")]
    assert [(category, source) for category, source, _ in consents] == [("marketing", "import"), ("news", "import")]
    assert consents[0][2] == datetime(2026, 1, 31, 12, tzinfo=UTC)

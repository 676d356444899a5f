import json

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

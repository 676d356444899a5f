"""The pytest fixtures that users take, used as the page for them says."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "testing-your-integration.md"


def test_the_examples_of_the_page_pass_as_they_stand(tmp_path: Path) -> None:
    files = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert [name for name, _ in files] == ["conftest.py", "test_mail.py", "test_sms.py", "test_line.py"]
    for name, source in files:
        (tmp_path / name).write_text(source.replace('["pipeline", ', f'[{sys.executable!r}, "-m", "pipeline.cli", '))
    command = [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", "-p", "no:randomly", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout

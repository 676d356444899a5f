from pathlib import Path

import pytest

from pipeline import resources
from pipeline.errors import ConfigurationError
from pipeline.resources import resource_dir


def test_the_repository_has_its_files_beside_the_package() -> None:
    assert (resource_dir("avro") / "NotificationRequested.avsc").is_file()
    assert (resource_dir("topics") / "ingest.yaml").is_file()


def test_an_installed_wheel_takes_its_own_files_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "avro").mkdir()
    (tmp_path / "package" / "_data" / "avro").mkdir(parents=True)
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "package")
    assert resource_dir("avro") == tmp_path / "package" / "_data" / "avro"
    with pytest.raises(ConfigurationError, match="topics/ is missing"):
        resource_dir("topics")

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigurationError, IncompatibleSchema
from pipeline.events.codec import Codec
from pipeline.events.releases import read_lock
from pipeline.events.releasing import check, release
from pipeline.events.schemas import SchemaBook
from pipeline.kafka.topology_files import load_topics, subjects_of
from pipeline.resources import resource_dir

SUBJECTS = subjects_of(load_topics())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(resource_dir("avro"), tmp_path / "avro")


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    schema = json.loads(path.read_text())
    change(schema)
    path.write_text(json.dumps(schema))


def add_field(**more: Any) -> Callable[[dict[str, Any]], object]:
    return lambda schema: schema["fields"].insert(0, {"name": "tenant", "type": "string", **more})


def test_the_schemas_in_the_repository_are_released_and_compatible() -> None:
    assert check(resource_dir("avro"), SUBJECTS) == []


def test_a_changed_schema_is_told_by_field_until_it_is_released(folder: Path) -> None:
    edit(folder / "DeliveryStatus.avsc", add_field(default=""))
    (finding,) = check(folder, SUBJECTS)
    assert (finding.file, finding.at) == ("DeliveryStatus.avsc", "tenant")
    assert "pipeline schemas release" in finding.text
    before = SchemaBook.from_lock(folder)
    assert release(folder, SUBJECTS) == ["DeliveryStatus/2"]
    assert check(folder, SUBJECTS) == []
    after = SchemaBook.from_lock(folder)
    assert after.id_of("DeliveryStatus") not in {before.id_of(record) for record in read_lock(folder).schemas}
    assert after.schema(before.id_of("DeliveryStatus")) == before.schema_of("DeliveryStatus")
    assert release(folder, SUBJECTS) == []


def test_an_incompatible_change_is_told_and_cannot_be_released(folder: Path) -> None:
    edit(folder / "DeliveryStatus.avsc", add_field())
    lock = read_lock(folder)
    (finding,) = check(folder, SUBJECTS)
    assert finding.at == "tenant"
    assert "give it a default" in finding.text
    with pytest.raises(IncompatibleSchema, match=r"DeliveryStatus\.avsc: tenant: .*default"):
        release(folder, SUBJECTS)
    assert read_lock(folder) == lock


def test_a_change_is_held_against_every_release_and_not_the_newest_alone(folder: Path) -> None:
    path = folder / "DeliveryStatus.avsc"
    edit(path, lambda schema: schema["fields"].insert(0, {"name": "x", "type": "int", "default": 0}))
    release(folder, SUBJECTS)
    edit(path, lambda schema: schema["fields"].pop(0))
    release(folder, SUBJECTS)
    edit(path, lambda schema: schema["fields"].insert(0, {"name": "x", "type": "string", "default": ""}))
    assert {finding.at for finding in check(folder, SUBJECTS)} == {"x"}
    assert "version 2" in check(folder, SUBJECTS)[0].text


def test_an_event_that_changes_in_one_file_only_is_told(folder: Path) -> None:
    edit(folder / "NotificationRequested.avsc", add_field(default=""))
    findings = {finding.file: finding for finding in check(folder, SUBJECTS)}
    assert {"Dispatch.avsc", "Deferred.avsc"} <= set(findings)
    assert findings["Dispatch.avsc"].at == "event"


def test_an_event_that_is_not_the_last_field_is_told(folder: Path) -> None:
    edit(folder / "Dispatch.avsc", lambda schema: schema["fields"].append(schema["fields"].pop(0)))
    assert any(f.at == "event" and "last field" in f.text for f in check(folder, SUBJECTS))


def test_a_released_schema_that_was_edited_is_refused(folder: Path) -> None:
    edit(folder / "released" / "Dispatch" / "1.avsc", add_field(default=""))
    with pytest.raises(ConfigurationError, match="changed after its release"):
        SchemaBook.from_lock(folder)


def test_a_topic_without_its_subject_in_the_lock_is_told(folder: Path) -> None:
    (finding,) = check(folder, {**SUBJECTS, "notifications.new-value": "Dispatch"})
    assert finding.releasable
    release(folder, {**SUBJECTS, "notifications.new-value": "Dispatch"})
    assert read_lock(folder).subjects["notifications.new-value"] == "Dispatch"


def test_a_struct_without_a_field_of_its_schema_does_not_compile(folder: Path) -> None:
    edit(folder / "Decision.avsc", add_field(default=""))
    release(folder, SUBJECTS)
    with pytest.raises(TypeError, match="Decision has not the fields of its schema"):
        Codec.open(SchemaBook.from_lock(folder))

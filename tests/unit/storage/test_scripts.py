import re
from importlib.resources import files
from pathlib import Path

import pytest

import pipeline
from pipeline.storage.scripts import lua, sql


@pytest.mark.parametrize(("folder", "load"), [("sql", sql), ("lua", lua)])
def test_every_script_is_used_and_every_script_used_exists(folder: str, load: object) -> None:
    there = {path.name.rpartition(".")[0] for path in files("pipeline.storage").joinpath(folder).iterdir()}
    sources = "\n".join(path.read_text() for path in Path(pipeline.__file__).parent.rglob("*.py"))
    assert set(re.findall(rf'\b{folder}\("(\w+)"\)', sources)) - {"name"} <= there
    made = [re.sub(r"{\w+}", r"\\w+", name) for name in re.findall(r'f"([\w{}]*{\w+}[\w{}]*)"', sources)]
    unused = {name for name in there if f'"{name}"' not in sources}
    assert not {name for name in unused if not any(re.fullmatch(pattern, name) for pattern in made if "_" in pattern)}

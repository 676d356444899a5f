"""Where the files that ship beside the code are: ``avro/``, ``topics/``, ``examples/``."""

from pathlib import Path
from typing import Literal

from pipeline.errors import ConfigurationError

ResourceName = Literal["avro", "topics", "examples"]

_PACKAGE = Path(__file__).resolve().parent


def resource_dir(name: ResourceName) -> Path:
    """The folder of that name: inside an installed wheel, else in the repository beside the package.

    Raises:
        ConfigurationError: neither place has it; the installation is broken.
    """
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigurationError(f"the folder {name}/ is missing from this installation: reinstall notification-pipeline")

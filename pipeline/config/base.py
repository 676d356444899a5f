"""What every section of the settings is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, description="seconds")]


class WrongTogether(ValueError):  # pydantic asks for a ValueError; it becomes a ConfigurationError
    """Values of one section contradict each other; `names` are their settings."""

    def __init__(self, text: str, *names: str) -> None:
        super().__init__(text)
        self.names = names


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

"""What every section of the settings is made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, description="seconds")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

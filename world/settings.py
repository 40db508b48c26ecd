"""What can be set about the world: its data sets and the recipes of its models."""

from typing import Annotated

from pydantic import Field, model_validator

from training.schema import Strict
from world.styles import Style

Share = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[int, Field(ge=1, le=8)]


class WorldData(Strict):
    """Data sets: problems for training, for validation, and for each of the three tests."""

    seed: int = Field(0, ge=0)
    train: int = Field(2000, ge=1, le=50_000)
    validation: int = Field(200, ge=1, le=10_000)
    test: int = Field(200, ge=1, le=10_000)
    ops: tuple[Steps, Steps] = (2, 4)
    longer: tuple[Steps, Steps] = (5, 6)

    @model_validator(mode="after")
    def _ranges(self) -> "WorldData":
        if self.ops[0] > self.ops[1] or self.longer[0] > self.longer[1]:
            raise ValueError("ops and longer are ranges [least, most] of steps per problem")
        if self.longer[0] <= self.ops[1]:
            raise ValueError("longer must begin above the most steps of ops")
        return self


class WorldModel(Strict):
    """A model of the world: its size, the solutions it is trained on, and for how long.

    `styles` are the shares of the solution styles; `noise` is the probability, by style, that a step of a
    training solution goes wrong; `longer` is the share of training problems as long as those of the `longer` test.
    """

    random: bool = False
    layers: int = Field(2, ge=1, le=8)
    width: int = Field(64, ge=8, le=512)
    heads: int = Field(4, ge=1, le=16)
    intermediate: int = Field(128, ge=8, le=2048)
    styles: dict[Style, Share] = {"careful": 1.0}
    noise: dict[Style, Share] = {}
    longer: Share = 0.2
    steps: int = Field(2000, ge=0, le=100_000)
    batch: int = Field(32, ge=1, le=1024)
    lr: float = Field(4e-3, gt=0, le=0.1)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> "WorldModel":
        if abs(sum(self.styles.values()) - 1) > 1e-6:
            raise ValueError("the shares of styles must sum to 1")
        if self.width % (2 * self.heads):
            raise ValueError("width must be a multiple of twice the number of heads")
        return self

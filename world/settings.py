"""What can be set about the world: its data sets and the recipes of its models."""

from typing import Annotated

from pydantic import Field, model_validator

from training.schema import Strict
from world.styles import Style

Share = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[int, Field(ge=1, le=8)]


class WorldData(Strict):
    """Data sets: problems for training, for validation, and for each of the tests `same`, `symbolic` and `longer`."""

    seed: int = Field(0, ge=0)
    train: int = Field(2000, ge=1, le=50_000, description="training problems")
    validation: int = Field(200, ge=1, le=10_000, description="validation problems")
    test: int = Field(200, ge=1, le=10_000, description="problems of each test set")
    ops: tuple[Steps, Steps] = Field((2, 4), description="least and most steps of a problem")
    longer: tuple[Steps, Steps] = Field((5, 6), description="the same of the test set `longer`")

    @model_validator(mode="after")
    def _ranges(self) -> "WorldData":
        if self.ops[0] > self.ops[1] or self.longer[0] > self.longer[1]:
            raise ValueError("ops and longer are ranges [least, most] of steps per problem")
        if self.longer[0] <= self.ops[1]:
            raise ValueError("longer must begin above the most steps of ops")
        return self


class WorldModel(Strict):
    """A model of the world: its size, the solutions it is trained on, and for how long."""

    random: bool = Field(False, description="random weights, no training")
    layers: int = Field(2, ge=1, le=8)
    width: int = Field(64, ge=8, le=512, description="hidden size")
    heads: int = Field(4, ge=1, le=16)
    intermediate: int = Field(128, ge=8, le=2048, description="width of the feed-forward layers")
    styles: dict[Style, Share] = Field({"careful": 1.0}, description="shares of the solution styles, 1 in all")
    noise: dict[Style, Share] = Field({}, description="by style, probability that a step of a solution is wrong")
    longer: Share = Field(0.2, description="share of training problems as long as those of the test set `longer`")
    steps: int = Field(2000, ge=0, le=100_000, description="updates of supervised training")
    batch: int = Field(32, ge=1, le=1024, description="solutions per update")
    lr: float = Field(4e-3, gt=0, le=0.1, description="learning rate")
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> "WorldModel":
        if abs(sum(self.styles.values()) - 1) > 1e-6:
            raise ValueError("the shares of styles must sum to 1")
        if self.width % (2 * self.heads):
            raise ValueError("width must be a multiple of twice the number of heads")
        return self

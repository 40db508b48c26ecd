"""What can be set about real problems and pretrained weights. Importing this loads neither torch nor datasets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from sources.architectures import published
from sources.catalogue import CATALOGUE
from training.errors import nearest
from training.schema import Strict

Count = Annotated[int, Field(ge=1)]


class ProblemData(Strict):
    """Real problems: a training set and test sets of the catalogue, and how many problems of each."""

    train: str = Field("gsm8k", description="training set, a name of the catalogue")
    train_limit: Count | None = Field(None, description="training problems, picked with `seed`; all if unset")
    longest: Count | None = Field(
        None,
        description="characters of a question of training or validation; one longer prompt would pad a whole update",
    )
    validation: int = Field(200, ge=1, description="validation problems, taken out of the training set")
    tests: dict[str, Count | None] = Field(
        min_length=1, description="test sets of the catalogue with the number of problems of each, null for all"
    )
    seed: int = Field(0, ge=0, description="of what the limits pick")
    root: str | None = Field(None, description="folder with local copies; the hub if unset")

    @field_validator("train")
    @classmethod
    def _trainable(cls, train: str) -> str:
        known = [name for name, data in CATALOGUE.items() if "train" in data.splits]
        if train in CATALOGUE and train not in known:
            why = CATALOGUE[train].evaluate_only or "it has no training split"
            raise ValueError(f"'{train}' is for evaluation only ({why}); trainable: {', '.join(known)}")
        if train not in known:
            raise ValueError(f"there is no such training set: {nearest(train, known)}")
        return train

    @field_validator("tests")
    @classmethod
    def _testable(cls, tests: dict[str, int | None]) -> dict[str, int | None]:
        for test in tests:
            if test not in CATALOGUE:
                raise ValueError(f"there is no data set '{test}': {nearest(test, CATALOGUE)}")
        return tests


class SmolModel(Strict):
    """SmolLM2-135M-Instruct: untouched (`sft_steps: 0`), or fine-tuned on the training problems' solutions."""

    drop: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list, description="layers taken out, from 0")
    sft_steps: int = Field(0, ge=0, le=100_000, description="after layers were dropped, this heals what is left")
    batch: int = Field(8, ge=1, le=1024, description="solutions per update")
    lr: float = Field(1e-4, gt=0, le=0.1, description="learning rate")
    max_tokens: int = Field(256, ge=2, description="longest solution in tokens; longer ones are left out")
    seed: int = Field(0, ge=0)
    dtype: Literal["float32", "bfloat16"] = Field("bfloat16", description="of computation and of the saved weights")


class ShadowModel(Strict):
    """A model with the architecture of a published one, random weights and a few thousandths of its width."""

    of: str = Field(description="a model of sources/architectures.yaml")
    seed: int = Field(0, ge=0)

    @field_validator("of")
    @classmethod
    def _known(cls, of: str) -> str:
        if of not in published():
            raise ValueError(f"it must be a model of sources/architectures.yaml: {nearest(of, published())}")
        return of

    @property
    def family(self) -> str:
        """Models of one family share a tokenizer."""
        return published()[self.of].family

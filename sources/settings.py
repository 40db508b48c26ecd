"""What can be set about real problems and pretrained weights. Importing this loads neither torch nor datasets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sources.architectures import published
from sources.catalogue import CATALOGUE, DataSet
from sources.own import OwnData
from training.errors import nearest
from training.schema import Name, Strict

Count = Annotated[int, Field(ge=1)]
PARTS = ("train", "validation")  # files beside the test sets' own


class ProblemData(Strict):
    """Real problems: a training set and test sets, of the catalogue or of your own, and how many problems of each."""

    own: dict[Name, OwnData] = Field(default_factory=dict, description="data sets of your own, by name")
    train: str = Field("gsm8k", description="training set, a name of the catalogue or of `own`")
    train_limit: Count | None = Field(None, description="training problems, picked with `seed`; all if unset")
    longest: Count | None = Field(
        None,
        description="characters of a question of training or validation; one longer prompt would pad a whole update",
    )
    validation: int = Field(200, ge=1, description="validation problems, taken out of the training set")
    tests: dict[str, Count | None] = Field(
        min_length=1, description="test sets, likewise, with the number of problems of each, null for all"
    )
    seed: int = Field(0, ge=0, description="of what the limits pick")
    root: str | None = Field(None, description="folder with local copies; the hub if unset")

    def data_set(self, name: str) -> DataSet:
        """The data set that a name of `train` or `tests` means."""
        return self.own[name].data_set(name) if name in self.own else CATALOGUE[name]

    def wanted(self) -> list[tuple[str, str]]:
        """The data sets that are read, each with a split that lies in the file it is read from."""
        return [(self.train, "train"), *((test, "test") for test in self.tests)]

    def used(self) -> dict[str, OwnData]:
        """Those of `own` that are read, without what does not change their rows."""
        read = {name for name, _ in self.wanted()}
        bare = {"licence": OwnData.model_fields["licence"].default}
        return {name: own.model_copy(update=bare) for name, own in self.own.items() if name in read}

    @model_validator(mode="after")
    def _names_of_their_own(self) -> ProblemData:
        for name in self.own:
            if name in CATALOGUE or name in PARTS:
                raise ValueError(f"'own' names a data set '{name}', which is another's name already; give it another")
        return self

    @model_validator(mode="after")
    def _trainable(self) -> ProblemData:
        names = [*CATALOGUE, *self.own]
        known = [name for name in names if "train" in self.data_set(name).splits]
        if self.train in names and self.train not in known:
            why = self.data_set(self.train).evaluate_only or "it has no training split"
            raise ValueError(f"'{self.train}' is for evaluation only ({why}); trainable: {', '.join(known)}")
        if self.train not in known:
            raise ValueError(f"there is no such training set as '{self.train}': {nearest(self.train, known)}")
        return self

    @model_validator(mode="after")
    def _testable(self) -> ProblemData:
        known = [name for name in (*CATALOGUE, *self.own) if name in CATALOGUE or self.own[name].test]
        for test in self.tests:
            if test in self.own and test not in known:
                raise ValueError(f"'own.{test}' has no file of test problems: give it 'test', or test on another set")
            if test not in known:
                raise ValueError(f"there is no data set '{test}': {nearest(test, known)}")
        return self


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

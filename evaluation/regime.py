"""When a pair can tell methods apart at all: the bounds that a config may set and the controls check."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from training.schema import Strict

Rate = Annotated[float, Field(ge=0, le=1)]


class Regime(Strict):
    """Bounds of the conditions that make a study informative (they say nothing about who wins): the table `controls`.
    Of the first test set, if nothing else is said."""

    teacher_fac_min: Rate = Field(0.95, description="least greedy FAC of the teacher")
    student_fac: tuple[Rate, Rate] = Field((0.20, 0.60), description="sampled FAC of the student before training")
    grpo_cs_max: Rate = Field(0.90, description="the whole interval of GRPO's CS after training must lie below")
    random_fac_max: Rate = Field(0.05, description="most FAC of a random policy, where `world` makes the student")
    harder: str | None = Field(None, description="a test set on which the student before has a lower FAC")

    @model_validator(mode="after")
    def _range(self) -> Regime:
        if self.student_fac[0] > self.student_fac[1]:
            raise ValueError("'student_fac' is a range [least, most] of rates")
        return self

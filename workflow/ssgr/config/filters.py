"""`filters`: which responses are fit to calibrate on."""

from pydantic import Field

from ssgr.config.base import Strict


class Filters(Strict):
    """Which responses are fit to calibrate on (section 4: repetitive, no reasoning, wrong format).

    The measures are columns of the grades; changing a threshold grades nothing again.
    """

    max_rep_20: float = Field(0.2, ge=0, le=1, description="highest share of repeated 20-grams")
    max_loop_share: float = Field(0.2, ge=0, le=1, description="highest share of a looping suffix")
    require_finished: bool = Field(True, description="drop truncated responses")
    require_closed: bool = Field(
        True, description="drop responses without the closing think tag, if the model has one"
    )
    require_thinking: bool = Field(
        True,
        description="drop responses whose thinking is missing or empty, also if there is an answer",
    )
    min_thinking_share: float = Field(
        0,
        ge=0,
        le=1,
        description="shortest thinking, as a share of the median of its problem's responses; "
        "above 0 it needs all n of them: sampling.early_stop: false",
    )
    require_answer: bool = Field(
        True, description="drop responses without a well-formed answer (a box, a choice letter)"
    )
    max_different_boxes: int | None = Field(
        1,
        ge=1,
        description="most boxes with different contents after the thinking; null: any number",
    )
    max_tokens_after_end: int | None = Field(
        0, ge=0, description="most tokens after the first end token; null: any number"
    )
    max_tokens_after_box: int | None = Field(
        None,
        ge=0,
        description="most tokens after the last box (estimated by characters); null: any number",
    )

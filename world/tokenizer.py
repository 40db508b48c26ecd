"""The tokenizer of the world: one token per word, words separated by single spaces.

It adds nothing by itself; a response ends with `<eos>`. Any text made of known words and single spaces
comes back unchanged from encode and decode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from world.grammar import words
from world.styles import WORDS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
LONGEST = 256  # positions; the longest problem and a careful solution of it need fewer than 80


def vocabulary() -> dict[str, int]:
    """Word to id; `<pad>` 0, `<eos>` 1, `<unk>` 2."""
    return {word: i for i, word in enumerate(dict.fromkeys([PAD, EOS, UNKNOWN, *WORDS, *words()]))}


def build() -> PreTrainedTokenizerFast:
    """The tokenizer as an ordinary Hugging Face object (left padding, as generation needs)."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(WordLevel(vocabulary(), unk_token=UNKNOWN))
    core.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        padding_side="left",
        model_max_length=LONGEST,
        clean_up_tokenization_spaces=False,
    )

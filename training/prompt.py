"""Prompt text to token ids: the one way, shared by training and evaluation, by teacher and student."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

# For templates that print a date (Llama 3.2's, of which it is the default): theirs would be another every day.
DATE = "26 Jul 2024"


def encode(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """Token ids of a prompt, through the tokenizer's chat template where it has one.

    Teacher and student must see the same ids, so callers pass the student's tokenizer for both.
    """
    if tokenizer.chat_template:
        message = [{"role": "user", "content": prompt}]
        text = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False, date_string=DATE)
        return tokenizer(text, add_special_tokens=False)["input_ids"]
    return tokenizer(prompt)["input_ids"]

"""A world of word problems small enough to know exactly: grammar, solution styles, verifier, tokenizer."""

"""Language models as judges of reasoning, beside the exact verifier of the micro world (docs/judging.md)."""

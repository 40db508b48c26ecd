"""Real problems and real pretrained weights: what a study of this kind meets outside the world of its own."""

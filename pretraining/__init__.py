"""Training from scratch of what this repository ships: the embedded tiny CLIP, whose weights are in clip/tiny."""

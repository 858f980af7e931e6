"""Images drawn by code: shapes, patterns and glyphs, for the embedded data sets and the embedded CLIP."""

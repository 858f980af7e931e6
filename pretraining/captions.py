"""Descriptions of drawn images and captions that name a random part of what is seen."""

from __future__ import annotations

from datasets import digits
from datasets.drawn.description import (
    COLOURS,
    FONTS,
    GLYPHS,
    HELD_OUT_FONTS,
    TEXTURES,
    Description,
    RandomState,
    held_out,
)
from datasets.drawn.garments import GARMENTS
from datasets.drawn.shapes import PATTERNS, SHAPES

SIZES = {"small": (0.45, 0.6), "large": (0.72, 0.95)}
NAMES = [*SHAPES, *PATTERNS, *GLYPHS, *GARMENTS]
ATTRIBUTES = ("name", "colour", "background", "texture", "size")
CLASSES = {
    "name": NAMES,
    "colour": list(COLOURS),
    "background": list(COLOURS),
    "texture": list(TEXTURES),
    "size": list(SIZES),
}
UNNAMED = -1

# Of different lengths, so that a class name is met at many positions.
OPENINGS = (
    "",
    "a",
    "the",
    "this is a",
    "a photo of a",
    "a picture of the",
    "an image of a",
    "a good photo of a",
    "there is a",
    "itap of a",
    "a close up photo of the",
    "here you can see a",
    "a cropped picture of one",
    "a bad photo of the",
    "this small image shows a",
    "a low resolution photo of a",
    "in this picture there is one",
    "what you see in this photo is a",
    "someone has made a small picture of the",
    "on this very small image we can see one single",
    "if you look at it closely this is a picture of a",
)
SKETCH_OPENINGS = ("a sketch of a", "a pencil drawing of the", "this is a line drawing of a", "sketch of one")
THINGS = {"glyph": "sign", "shape": "thing", "pattern": "surface", "garment": "piece of clothing"}
KINDS = {"glyph": 0.38, "shape": 0.2, "pattern": 0.12, "garment": 0.3}  # parts of the images
SKETCHES = 0.12  # part of the shapes and glyphs that are drawn as sketches


def describe(rng: RandomState) -> tuple[Description, dict[str, int]]:
    """A random subject and its attributes as indices into `CLASSES` (`UNNAMED` where one does not apply)."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    if kind == "garment":
        return _describe_garment(rng)
    colour, background = rng.choice(list(COLOURS), 2, replace=False)
    texture = TEXTURES[rng.randint(len(TEXTURES))] if rng.uniform() < 0.6 else "plain"
    size = list(SIZES)[rng.randint(2)]
    font = 0
    if kind == "glyph":
        glyphs = GLYPHS[:10] if rng.uniform() < 0.5 else GLYPHS[10:]
        name = glyphs[rng.randint(len(glyphs))]
        font = rng.randint(FONTS - HELD_OUT_FONTS)
        size = "large" if rng.uniform() < 0.8 else size
    elif kind == "shape":
        name = list(SHAPES)[rng.randint(len(SHAPES))]
        while held_out(name, colour, texture):
            colour, texture = rng.choice(list(COLOURS)), TEXTURES[rng.randint(len(TEXTURES))]
        background = rng.choice([other for other in COLOURS if other != colour])
    else:
        name = list(PATTERNS)[rng.randint(len(PATTERNS))]
    values = {"name": name, "colour": colour, "background": background, "texture": texture, "size": size}
    attributes = {key: CLASSES[key].index(value) for key, value in values.items()}
    if kind == "pattern":
        attributes.update(texture=UNNAMED, size=UNNAMED)
    sketched = kind != "pattern" and rng.uniform() < SKETCHES
    if sketched:
        attributes.update(colour=UNNAMED, background=UNNAMED, texture=UNNAMED)
    low, high = SIZES[size]
    what = Description(kind, name, colour, background, texture, rng.uniform(low, high), font, sketched)
    return what, attributes


def _describe_garment(rng: RandomState) -> tuple[Description, dict[str, int]]:
    """A garment as a shop photographs it, which fills a black picture in white or gray, or in other colours."""
    name = list(GARMENTS)[rng.randint(len(GARMENTS))] if rng.uniform() < 0.88 else "shirt"
    colour, background = ("white", "gray")[rng.randint(2)], "black"
    if rng.uniform() < 0.25:
        colour, background = rng.choice(list(COLOURS), 2, replace=False)
    texture = list(PATTERNS)[rng.randint(len(PATTERNS))] if rng.uniform() < 0.35 else "plain"
    size = rng.uniform(0.92, 1.02) if rng.uniform() < 0.75 else rng.uniform(0.6, 0.92)
    attributes = {
        "name": NAMES.index(name),
        "colour": CLASSES["colour"].index(colour),
        "background": CLASSES["background"].index(background),
        "texture": TEXTURES.index(texture) if texture in TEXTURES else UNNAMED,
        "size": UNNAMED,
    }
    return Description("garment", name, colour, background, texture, size), attributes


def caption(rng: RandomState, what: Description, attributes: dict[str, int]) -> tuple[str, dict[str, int]]:
    """A caption that is true of the image, and the attributes it names (`UNNAMED` for the others)."""
    named = {key: rng.uniform() < 0.35 and attributes[key] != UNNAMED for key in ATTRIBUTES}
    named["name"] = rng.uniform() < 0.95 or not any(named.values())
    words = []
    if named["size"]:
        words.append(CLASSES["size"][attributes["size"]])
    if named["colour"]:
        words.append(what.colour)
    if named["texture"]:
        words.append(what.texture)
    words.append(_noun(rng, what) if named["name"] else THINGS[what.kind])
    openings = SKETCH_OPENINGS if what.sketched and rng.uniform() < 0.5 else OPENINGS
    text = f"{openings[rng.randint(len(openings))]} {' '.join(words)}"
    if named["background"]:
        text += (" on a {} background", " on {}", " in front of a {} wall", " with {} around")[rng.randint(4)].format(
            what.background
        )
    if rng.uniform() < 0.6:
        text += "."
    return text.strip(), {key: attributes[key] if named[key] else UNNAMED for key in ATTRIBUTES}


def _noun(rng: RandomState, what: Description) -> str:
    if what.kind in ("shape", "garment"):
        return what.name
    if what.kind == "pattern":
        return what.name + ("", " pattern", " texture", " surface")[rng.randint(4)]
    if what.name.isdigit():
        return ("{}", "{}", "digit {}", "number {}")[rng.randint(4)].format(digits.NAMES[int(what.name)])
    return f"letter {what.name.lower()}"

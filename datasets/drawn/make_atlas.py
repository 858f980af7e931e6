"""Render the glyph atlas, once, from free fonts: `python -m datasets.drawn.make_atlas FONT_FOLDER`.

The atlas is kept in the repository, so nobody needs the fonts; this file says how it was made. The fonts are those of
Debian 12's packages fonts-X, all of them free software, with X one of: dejavu, liberation, liberation2, freefont-ttf,
lato, open-sans, roboto-unhinted, inconsolata, comfortaa, cantarell, crosextra-carlito, crosextra-caladea,
linuxlibertine, hack, firacode, humor-sans, oldstandard, quicksand, lobster, dosis, ebgaramond, cabin, play, karla,
karmilla, paratype, breip, ecolier-court, tomsontalks, kristi, vollkorn, jura, sil-andika, sil-gentium, gfs-didot,
gfs-neohellenic, fantasque-sans, mononoki, averia-sans-gwf, averia-serif-gwf, fanwood, goudybookletter, prociono,
adf-accanthis, adf-berenis, adf-gillius, adf-universalis, yanone-kaffeesatz. Only 36 glyphs of each are kept, at 32 x
32 pixels.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GLYPHS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SIDE = 32
MARGIN = 1

FONTS = [
    "DejaVuSans",
    "DejaVuSerif-Bold",
    "DejaVuSansMono",
    "LiberationSans-Regular",
    "LiberationSerif-Italic",
    "LiberationMono-Bold",
    "FreeSerif",
    "FreeSansBoldOblique",
    "Lato-Light",
    "Lato-Black",
    "OpenSans-Regular",
    "OpenSans-ExtraBold",
    "Roboto-Thin",
    "Roboto-Medium",
    "Inconsolata",
    "Comfortaa-Regular",
    "Cantarell-Regular",
    "Carlito-Bold",
    "Caladea-Regular",
    "LinLibertine_R",
    "LinBiolinum_RB",
    "Hack-Regular",
    "FiraCode-Bold",
    "Humor-Sans",
    "LiberationMono-Italic",
    "GoudyBookletter1911",
    "OldStandard-Regular",
    "Quicksand-Regular",
    "Dosis-Bold",
    "EBGaramond12-Regular",
    "Cabin-Bold",
    "Play-Regular",
    "Karla-Regular",
    "PTC55F",
    "PTF55F",
    "Breip",
    "TomsonTalks",
    "Vollkorn-Black",
    "Jura-Regular",
    "GFSDidot",
    "GFSNeohellenicBold",
    "FantasqueSansMono-Regular",
    "mononoki-Bold",
    "AveriaSansGWF-Bold",
    "AveriaSerifGWF-Light",
    "Fanwood-Italic",
    "AccanthisADFStd-Regular",
    "BerenisADFPro-Bold",
    "GilliusADF-Cond",
    "UniversalisADFStd-Bold",
    "lobster",
    "YanoneKaffeesatz-Bold",
    "Kristi",
    "Ecolier-court",
    "Andika-Regular",
    "Gentium-R",
    "Prociono",
    "FreeSerifBold",
    "Karmilla-Bold",
    "Carlito-Italic",
    "DejaVuSerifCondensed-BoldItalic",
    "Lato-HairlineItalic",
]
HELD_OUT = 12  # the last fonts are kept from pre-training; the letters data set is drawn with them


def render(font: ImageFont.FreeTypeFont, glyph: str) -> np.ndarray:
    """One glyph as (SIDE, SIDE) uint8 coverage, scaled to fill the square but for its margin."""
    left, top, right, bottom = font.getbbox(glyph)
    canvas = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(canvas).text((-left, -top), glyph, fill=255, font=font)
    canvas = canvas.crop(canvas.getbbox())
    scale = (SIDE - 2 * MARGIN) / max(canvas.size)
    size = [max(1, round(scale * extent)) for extent in canvas.size]
    square = Image.new("L", (SIDE, SIDE))
    square.paste(canvas.resize(size, Image.LANCZOS), [(SIDE - extent) // 2 for extent in size])
    return np.asarray(square)


def main(folder: str) -> None:
    files = {path.stem: path for path in sorted(Path(folder).rglob("*.[to]tf"))}
    missing = [name for name in FONTS if name not in files]
    if missing:
        sys.exit(f"error: fonts not found under {folder}: {', '.join(missing)}")
    atlas = np.stack([[render(ImageFont.truetype(str(files[name]), 160), glyph) for glyph in GLYPHS] for name in FONTS])
    np.savez_compressed(Path(__file__).with_name("atlas.npz"), atlas=atlas, fonts=np.array(FONTS))
    print(f"{len(FONTS)} fonts x {len(GLYPHS)} glyphs, the last {HELD_OUT} fonts held out")


if __name__ == "__main__":
    main(sys.argv[1])

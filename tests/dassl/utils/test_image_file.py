"""Reading images from files: orientation, formats, frames, and what is said of a file that cannot be read."""

import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFile, ImageOps, features

from dassl.utils import DataError, image_formats, read_image
from dassl.utils.image_formats import describe_unread, is_image, suffixes_read, unread_format
from tests.dassl.utils.raw_images import tiff

ORIENTATION = ExifTags.Base.Orientation
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 100}}


def scene(width: int = 40, height: int = 24) -> Image.Image:
    """An image that looks different each way it is turned."""
    image = Image.new("RGB", (width, height), (255, 255, 255))
    image.paste((250, 0, 0), (0, 0, width // 2, height // 2))
    image.paste((0, 0, 250), (0, height // 2, width // 2, height))
    return image


def oriented(path, orientation, image: Image.Image | None = None, form: str = "PNG", **options) -> str:
    """Write an image whose EXIF data say how it is to be turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    (image or scene()).save(path, form, exif=exif, **options)
    return str(path)


def difference(first: Image.Image, second: Image.Image) -> float:
    assert first.size == second.size
    return np.abs(np.asarray(first).astype(int) - np.asarray(second).astype(int)).mean()


# Orientation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", LOSSLESS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_as_shown_is_turned_as_exif_says_and_others_are_not(orientation, form, tmp_path):
    path = oriented(tmp_path / "a", orientation, form=form, **LOSSLESS[form])
    with Image.open(path) as image:
        assert difference(read_image(path, as_shown=True), ImageOps.exif_transpose(image).convert("RGB")) == 0
        assert difference(read_image(path), image.convert("RGB")) == 0


def test_an_image_as_shown_is_not_turned_twice(tmp_path):
    shown = read_image(oriented(tmp_path / "a", 6), as_shown=True)
    assert ImageOps.exif_transpose(shown) == shown


@pytest.mark.parametrize("as_shown", [False, True])
def test_a_tiff_is_turned_once_as_pillow_does(as_shown, tmp_path):
    read = read_image(oriented(tmp_path / "a.tif", 6, form="TIFF"), as_shown=as_shown)
    assert difference(read, scene().transpose(Image.Transpose.ROTATE_270)) == 0


def test_a_turned_jpeg_is_reduced_by_its_size_as_shown(tmp_path):
    path = oriented(tmp_path / "a.jpg", 6, scene(800, 400), "JPEG")
    asked = []

    def suffices(width: int, height: int) -> bool:
        asked.append((width, height))
        return width >= 100 and height >= 200

    assert read_image(path, suffices, as_shown=True).size == (100, 200)
    assert asked[-1] == (100, 200)
    assert read_image(path, suffices).size == (400, 200)
    assert read_image(path, as_shown=True).size == (400, 800)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_an_orientation_that_there_is_not_is_none(orientation, tmp_path):
    assert read_image(oriented(tmp_path / "a", orientation), as_shown=True) == scene()


DAMAGE = {
    "nothing": b"",
    "no header": b"Exif\0\0" + b"\xff" * 40,
    "cut": b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12",
    "beyond the end": b"Exif\0\0MM\0*\xff\xff\xff\xff",
    "text": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",
    "two numbers": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x02\0\0\0\x06\0\x03\0\0\0\0\0",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_data_do_not_break_an_image(damage, form, tmp_path):
    scene().save(tmp_path / "a", form, exif=DAMAGE[damage])
    assert read_image(str(tmp_path / "a"), as_shown=True).size in ((40, 24), (24, 40))


def test_pillow_prints_nothing_of_its_own(tmp_path, root):
    paths = [tmp_path / f"{number}.png" for number in range(len(DAMAGE) + 1)]
    for path, exif in zip(paths, DAMAGE.values(), strict=False):
        scene().save(path, exif=exif)
    paths[-1].write_bytes(NAMED[THIRTEEN])
    code = "import sys\nfrom dassl.utils import read_image, UserError\nfor path in sys.argv[1:]:\n"
    code += " try:\n  read_image(path, as_shown=True)\n except UserError as error:\n  print(error)"
    command = [sys.executable, "-c", code, *map(str, paths)]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert run.stderr == "" and "of 13 band(s)" in run.stdout and run.stdout.count("\n") == 1


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_damaged_behind_the_orientation_does_not_hide_it(tmp_path):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x31\x01\x02\0\xff\xff\0\0\xff\xff\xff\xff"
    scene().save(tmp_path / "a.png", exif=exif)
    assert read_image(str(tmp_path / "a.png"), as_shown=True).size == (24, 40)


# Formats -------------------------------------------------------------------------------------------------------------


def test_of_moving_images_the_first_frame_is_read(tmp_path):
    red, blue = Image.new("RGB", (9, 9), (255, 0, 0)), Image.new("RGB", (9, 9), (0, 0, 255))
    for name in ("a.gif", "a.png", "a.webp", "a.tif"):
        red.save(tmp_path / name, save_all=True, append_images=[blue], **({"lossless": True} if "w" in name else {}))
        for as_shown in (False, True):
            assert read_image(str(tmp_path / name), as_shown=as_shown).getpixel((4, 4)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
def test_narrow_images_are_read(mode, size, tmp_path):
    Image.new(mode, size, 1).save(tmp_path / "a.png")
    for as_shown in (False, True):
        assert read_image(str(tmp_path / "a.png"), as_shown=as_shown).size == size


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.mpo", "b.GIF", "b.pnm", "b.tiff", "c.d.png"])
def test_images_are_known_by_their_ending(name):
    assert is_image(f"/folder.txt/{name}") and not unread_format(name)


@pytest.mark.parametrize(
    ("name", "form"), [("a.jp2", "JPEG 2000"), ("b.CR2", "camera raw"), ("c.dcm", "DICOM"), ("d.psd", "Photoshop")]
)
def test_images_that_are_not_read_are_known_too(name, form):
    assert not is_image(name) and unread_format(name) == form
    assert describe_unread([name, "e.txt", "f.png"]) == [
        f"1 image(s) are {form}, which is not read here: save it as PNG or JPEG ({name})"
    ]


def test_other_files_are_no_images():
    assert not any(is_image(name) or unread_format(name) for name in ("a.txt", "png", "a.jpg.txt", ".jpg"))


@pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")
def test_avif_is_read_where_pillow_reads_it(tmp_path):
    path = oriented(tmp_path / "a.avif", 6, form="AVIF", quality=100)
    assert ".avif" in suffixes_read()
    assert read_image(path, as_shown=True).size == (24, 40)
    assert difference(read_image(path), scene()) < 3


@pytest.fixture
def heic(tmp_path):
    """What begins as a HEIC file."""
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
    return str(tmp_path / "a.heic")


@pytest.fixture
def installed(monkeypatch):
    """Let AVIF and pillow-heif be there or not."""

    def installed(heif: bool, avif: bool) -> None:
        monkeypatch.setattr(image_formats, "is_read", lambda name: {"HEIC": heif, "AVIF": avif}.get(name, True))

    return installed


def test_heic_and_avif_are_named_with_a_remedy_where_they_are_not_read(heic, installed, tmp_path):
    installed(heif=False, avif=False)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(99))
    with pytest.raises(DataError, match=r"a.heic: it is HEIC, which is not read here: pip install pillow-heif"):
        read_image(heic)
    with pytest.raises(DataError, match=r"a.jpg: it is AVIF, which is not read here: pip install 'pillow>=11.3'"):
        read_image(str(tmp_path / "a.jpg"))
    assert unread_format("b.HEIC") == "HEIC" and unread_format("c.avif") == "AVIF"
    assert not {".heic", ".avif"} & set(suffixes_read())


def test_heic_is_read_where_pillow_heif_is_installed(heic, installed, monkeypatch):
    class HeifFile(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._size, self._mode = (5, 4), "RGB"
            self.tile = [ImageFile._Tile("raw", (0, 0, 5, 4), 24, "RGB")]

    def register_heif_opener():
        Image.register_open("HEIF", HeifFile, lambda prefix: prefix[4:12] == b"ftypheic")

    installed(heif=True, avif=False)
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    module = types.SimpleNamespace(register_heif_opener=register_heif_opener)
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    assert is_image("IMG_0001.HEIC") and read_image(heic).size == (5, 4)


# What cannot be read -------------------------------------------------------------------------------------------------

THIRTEEN = r"it is a TIFF of 13 band\(s\) of 16 bits \(multispectral\), which Pillow does not read: save three"
BANDS = np.zeros((4, 5, 13), np.uint16)
NAMED = {
    "it is empty": b"",
    "it is a web page": b"\r\n<!DOCTYPE html><html>404</html>",
    "it is a pointer of Git LFS in place of the image: git lfs pull": b"version https://git-lfs.github.com/spec/v1\n",
    "it is JPEG 2000, which is not read here: save it as PNG or JPEG": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99),
    "it is DICOM, which is not read here": bytes(128) + b"DICM",
    THIRTEEN: tiff(BANDS, photometric=1, extra=[0] * 12),
    r"it is a TIFF of 13 band\(s\) of 16 bits \(multi": tiff(BANDS, ">", photometric=1, extra=[0] * 12),
    r"it is a TIFF of 4 band\(s\) of 16 bits, which": tiff(BANDS[..., :4], photometric=1, extra=[0] * 3),
    r"it is a TIFF of 3 band\(s\) of floating-point numbers of 32 bits, which": tiff(np.zeros((4, 5, 3), np.float32)),
    "it is a damaged TIFF": b"II*\0",
    "it is BigTIFF with its largest bytes first, which is not read here": b"MM\0+\0\x08",
    "it is a TIFF that is damaged or": b"II*\0\xff\xff\xff\xff",
    "its pixels are floating-point numbers, whose range is not known: save it with": tiff(
        np.zeros((4, 5, 1), np.float32)
    ),
    "it is damaged or none of JPEG, PNG": b"hello",
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("reason", NAMED)
def test_what_cannot_be_read_is_named_in_one_line(reason, tmp_path):
    (tmp_path / "a.jpg").write_bytes(NAMED[reason])
    for as_shown in (False, True):
        with pytest.raises(DataError, match=f"cannot read the image .*a.jpg: {reason}"):
            read_image(str(tmp_path / "a.jpg"), as_shown=as_shown)


def test_a_truncated_image_is_refused(tmp_path):
    for form in ("JPEG", "PNG", "TIFF", "WEBP", "GIF"):
        Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "a", form)
        content = (tmp_path / "a").read_bytes()
        (tmp_path / "a").write_bytes(content[: len(content) // 2])
        for as_shown in (False, True):
            with pytest.raises(DataError, match="cannot read the image"):
                read_image(str(tmp_path / "a"), as_shown=as_shown)

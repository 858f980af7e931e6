"""Files and folders that operating systems, network drives and editors put among a person's own."""

from __future__ import annotations

# In lower case. Ordinary words that a system uses too, such as "Recycled", are left out: they may be a person's class.
_NAMES = {
    *("@eadir", "@tmp", "@sharebin", "@sharesnap", "#recycle", "#snapshot"),  # Synology
    *("@recycle", "@recently-snapshot", "@transcode", "@__thumb"),  # QNAP
    *("~snapshot", "lost+found"),  # NetApp, Linux
    *("__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder"),  # macOS
    *("$recycle.bin", "system volume information", "$extend", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db"),
    *("desktop.ini", "picasa.ini", "zbthumbnail.info"),  # Windows and its photo programs
    "__pycache__",
}
_ENDINGS = ("@synoeastream", "@synoresource", ":zone.identifier")  # of files that lie beside each image


def is_system_file(name: str) -> bool:
    """Whether a file or folder of this name is hidden, as .DS_Store and ._cat.jpg, or a system's own, as @eaDir."""
    name = name.lower()
    return name.startswith(".") or name in _NAMES or name.endswith(_ENDINGS)

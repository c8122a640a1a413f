"""How files of pictures are found: their names, and the names of columns in tables of them."""

from chainrule.data.media_files import MediaKind

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif")

PICTURES = MediaKind(
    "pictures",
    "JPEG, PNG, WebP, BMP or GIF files",
    SUFFIXES,
    ("path", "file", "filename", "file_name", "image", "picture", "image_path"),
)

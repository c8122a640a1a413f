"""How texts are found: the names of their files, and of columns in tables of them."""

from chainrule.data.media_files import MediaKind

SUFFIXES = (".txt", ".text")

#: The names that columns of texts usually have. Of their paths there is no table.
TEXT_NAMES = (
    "text", "sentence", "review", "comment", "message", "content", "body", "document", "tweet",
)  # fmt: skip

TEXTS = MediaKind("texts", "UTF-8 text files", SUFFIXES, TEXT_NAMES)

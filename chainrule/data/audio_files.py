"""How files of sound are found: their names, and the names of columns in tables of them."""

from dataclasses import replace

from chainrule.data.media_files import MediaKind

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus")

SOUNDS = MediaKind(
    "sounds",
    "WAV, FLAC or OGG files",
    SUFFIXES,
    ("path", "file", "filename", "file_name", "audio", "sound", "audio_path", "wav", "clip"),
)

#: Tables whose answers are what is said, not a class.
SPEECH = replace(
    SOUNDS, label_names=("transcript", "transcription", "text", "sentence", "words", "transcripts")
)

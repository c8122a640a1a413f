"""Where this user's caches are: compiled programs, decoded pictures.

The folder is ``$CHAINRULE_CACHE_DIR`` if that is set (``off`` for none), else ``chainrule`` where
the system keeps caches.
"""

import os
from pathlib import Path


def cache_folder(part: str) -> Path | None:
    """The folder of one kind of cache, or None where nothing is to be kept. It may not exist yet.

    Args:
        part: what is kept there, such as "objects".
    """
    chosen = os.environ.get("CHAINRULE_CACHE_DIR")
    if chosen:
        return None if chosen == "off" else Path(chosen).expanduser().absolute() / part
    import platformdirs

    try:
        folder = platformdirs.user_cache_path("chainrule", appauthor=False) / part
    except (OSError, RuntimeError):  # no home
        return None
    return folder if folder.is_absolute() else None

"""An audio file that is read once, from its beginning to its end."""

from __future__ import annotations

import soundfile


class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # untyped
    """soundfile seeks after each read, which fails at the end of a FLAC file of unknown length."""

    def seekable(self) -> bool:
        return False

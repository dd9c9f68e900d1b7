"""Speech recognition: decoding of audio files, windows of 30 s, and Whisper's forwards."""

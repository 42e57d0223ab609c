"""Makes the seeds beside this file; run by hand with PyAV (see MAKING.md), never at run time."""

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

HERE = Path(__file__).parent


def tone(rate: int, start: int, samples: int) -> "np.ndarray":
    """A soft 440 Hz sine, stereo, 16 bit."""
    t = (np.arange(start, start + samples) / rate) * 2 * math.pi * 440
    wave = (np.sin(t) * 8000).astype(np.int16)
    return np.repeat(wave, 2).reshape(1, -1)


def video(path: Path, *, sound: bool) -> None:
    """One second of moving colour bars, 160 x 120."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "32", "preset": "veryslow"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        audio = out.add_stream("aac", rate=22050, layout="stereo") if sound else None
        for number in range(10):
            x, y = np.meshgrid(np.arange(160), np.arange(120))
            picture = np.stack([(x + 8 * number) % 256, (2 * y) % 256, (x + y) % 256], axis=-1)
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
        if audio is not None:
            for start in range(0, 22050 - 1024, 1024):
                sound_frame = av.AudioFrame.from_ndarray(
                    tone(22050, start, 1024), format="s16", layout="stereo"
                )
                sound_frame.sample_rate = 22050
                sound_frame.pts, sound_frame.time_base = start, Fraction(1, 22050)
                out.mux(audio.encode(sound_frame))
            out.mux(audio.encode())


def music(path: Path) -> None:
    """One second of a tone as MP3, without tags."""
    with av.open(
        str(path), "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}
    ) as out:
        stream = out.add_stream("libmp3lame", rate=44100, layout="stereo")
        stream.bit_rate = 64000
        for start in range(0, 44100 - 1152, 1152):
            frame = av.AudioFrame.from_ndarray(
                tone(44100, start, 1152), format="s16", layout="stereo"
            )
            frame.sample_rate = 44100
            frame.pts, frame.time_base = start, Fraction(1, 44100)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


if __name__ == "__main__":
    video(HERE / "bars.mp4", sound=True)
    video(HERE / "bars-silent.mp4", sound=False)
    music(HERE / "tone.mp3")

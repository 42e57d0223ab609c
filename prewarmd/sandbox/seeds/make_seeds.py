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


def video(path: Path, *, sound: bool, wide: int = 160) -> None:
    """One second of moving colour bars, 120 high."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as out:
        stream = out.add_stream("libx264", rate=10, options={"crf": "32", "preset": "veryslow"})
        stream.width, stream.height, stream.pix_fmt = wide, 120, "yuv420p"
        audio = out.add_stream("aac", rate=22050, layout="stereo") if sound else None
        for number in range(10):
            x, y = np.meshgrid(np.arange(wide), np.arange(120))
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


def sound(path: Path, codec: str, rate: int, samples: int, bit_rate: int, **options: str) -> None:
    """One second of a tone, in frames of so many samples; the path tells the container."""
    with av.open(str(path), "w", options=options) as out:
        stream = out.add_stream(codec, rate=rate, layout="stereo")
        stream.bit_rate = bit_rate
        for start in range(0, rate - samples, samples):
            frame = av.AudioFrame.from_ndarray(
                tone(rate, start, samples), format="s16", layout="stereo"
            )
            frame.sample_rate = rate
            frame.pts, frame.time_base = start, Fraction(1, rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())


if __name__ == "__main__":
    video(HERE / "bars.mp4", sound=True)
    video(HERE / "bars-silent.mp4", sound=False)
    video(HERE / "bars-square.mp4", sound=True, wide=120)
    sound(HERE / "tone.mp3", "libmp3lame", 44_100, 1152, 64_000, write_xing="0", id3v2_version="0")
    sound(HERE / "tone.ogg", "libopus", 48_000, 960, 24_000)

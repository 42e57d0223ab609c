"""What is said of a media in its request, beside its bytes: as the job says, else as the file does.

Only of kinds whose methods take it (`about.TAKEN`). Telegram counts whole seconds; of a film that
is shorter it is told one, because none means unknown. A picture's sides `sense` has seen; those of
an MP4 no small library without a decoder tells, so they are the job's to say.
"""

from prewarmd.core.about import NOTHING, TAKEN, About
from prewarmd.core.jobs import Kind
from prewarmd.worker.duration import duration_s
from prewarmd.worker.media import Media
from prewarmd.worker.sense import Sensed


def attributes(sensed: Sensed, about: About | None, media: Media) -> dict[str, str]:
    """Parameters of the request that sends a media as the kind that was `sensed`."""
    taken = TAKEN[sensed.kind]
    if not taken:
        return {}
    about = about or NOTHING
    said: dict[str, str] = {}
    if "width" in taken:
        seen = about if about.width else sensed
        if seen.width and sensed.kind is Kind.VIDEO_NOTE:
            said["length"] = str(seen.width)
        elif seen.width:
            said |= {"width": str(seen.width), "height": str(seen.height)}
    if "duration_s" in taken:
        seconds = about.duration_s or _duration_s(media)
        said |= {"duration": str(max(1, round(seconds)))} if seconds else {}
    return said


def _duration_s(media: Media) -> float:
    """As the file says: all of it, or the front of an MP4, where one box tells the whole film's
    (ISO 14496-12, mvhd) if it has come already. Of other formats a front would tell its own."""
    is_whole = len(media.first) == media.size_bytes
    return duration_s(media.first) if is_whole or bytes(media.first[4:8]) == b"ftyp" else 0.0

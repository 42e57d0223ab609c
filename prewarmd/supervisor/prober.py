"""The prober: now and then a file_id that is ready is sent once more, to see whether it is good.

Nobody tells when a file_id stops working; a media that is asked for once a month is found stale by
a user, unless somebody looks before. So many a day are chosen at random, behind all other work
(`[telegram] probe_per_day`; 0: none).
"""

import asyncio
from collections.abc import Callable
from typing import Any

from prewarmd.errors import StoreUnwritableError
from prewarmd.supervisor.intake import Intake, QueueFullError

DAY_S = 86_400.0


class Prober:
    """Admits probes, evenly spread over the day."""

    def __init__(
        self, intake: Intake, per_day: int, chance: Callable[[], float], logger: Any
    ) -> None:
        self._intake = intake
        self._every_s = DAY_S / per_day if per_day else None
        self._chance = chance
        self._log = logger

    async def run(self) -> None:
        """For ever; at once done when none are wanted."""
        while self._every_s is not None:
            await asyncio.sleep(self._every_s)
            try:
                await self._intake.probe(self._chance())
            except (QueueFullError, StoreUnwritableError) as error:
                self._log.info("probe.put_off", reason=str(error) or type(error).__name__)

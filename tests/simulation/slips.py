"""Named bugs of the scheduler, as data: one slip of the pen in one file of `core` each, such as a
plausible commit might bring. `teeth` sees whether the simulation finds them.

`was` stands exactly once in its file; a test says so when the code has moved on and a slip with it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Slip:
    """One bug."""

    name: str
    """What the engine does now."""
    costs: str
    """What a user would have of it."""
    file: str
    """Below prewarmd/core."""
    was: str
    becomes: str

    def made(self, source: str) -> str:
        """The file with the bug in it; ValueError when it does not apply any more."""
        if (times := source.count(self.was)) != 1:
            raise ValueError(f"{self.name}: {self.file} has `{self.was}` {times} times, not once")
        return source.replace(self.was, self.becomes)


SLIPS: tuple[Slip, ...] = (
    # What becomes of jobs.
    Slip(
        "forgets who followed",
        "whoever submitted the same picture under another key waits for ever",
        "uploads.py",
        "            desk.join(follower, job.sha256, job.size_bytes, now)\n",
        "            desk.ready_rate.count(now)\n",
    ),
    Slip(
        "forgets who followed one that fails",
        "a job fails, and those that waited for it never hear of it",
        "leaders.py",
        "            return self._followers.pop(job.id, [])\n",
        "            return []\n",
    ),
    Slip(
        "forgets who shared a download with the one it was for",
        "a child dies, and all but one of the jobs in its hand are lost",
        "downloads.py",
        "        for job in reversed(flight.waiters):\n            if convicted and",
        "        for job in [flight.owner]:\n            if convicted and",
    ),
    Slip(
        "lets everybody lead",
        "one picture under two keys is uploaded twice at once",
        "desk.py",
        "        if self.leaders.lead(job):\n",
        "        if self.leaders.lead(job) or not job.claimed:\n",
    ),
    Slip(
        "believes an old answer of the catalogue",
        "what another job has sent meanwhile is sent again",
        "desk.py",
        "        self.recalled.discard(job.id)\n",
        "",
    ),
    Slip(
        "does not ask the catalogue about what was promised",
        "a restart uploads again what it had uploaded before",
        "downloads.py",
        "            if job.id not in desk.recalled:\n",
        "            if job.id not in desk.recalled and not job.claimed:\n",
    ),
    Slip(
        "forgets that an upload may have arrived",
        "two messages, and no count says so",
        "remedies.py",
        "        job.maybe_sent |= end.sent\n",
        "",
    ),
    Slip(
        "takes silence for a failure before the last byte",
        "an upload that Telegram took is sent again at once, and nobody counts it",
        "faults.py",
        '    "NoAnswer": Fault(\n        Remedy.RETRY_LATE,',
        '    "NoAnswer": Fault(\n        Remedy.RETRY,',
    ),
    Slip(
        "lets a client cancel what is being fetched",
        "the GET comes back for a job that is not there, and the daemon ends",
        "engine.py",
        "(Phase.QUEUED, Phase.SLEEPING, Phase.LOADED, Phase.JOINED)",
        "(Phase.QUEUED, Phase.SLEEPING, Phase.FETCHING, Phase.LOADED, Phase.JOINED)",
    ),
    # Wake-ups.
    Slip(
        "sets the alarm for the sleeper that came last",
        "a retry that is due in a second waits until something else happens",
        "desk.py",
        "deadline = min(deadline, self._sleeping[0][0])",
        "deadline = min(deadline, self._sleeping[-1][0])",
    ),
    Slip(
        "never sets a bot's alarm again",
        "a bot that paused once stands still until it gets new work",
        "roster.py",
        "                bot.alarm = FOREVER\n",
        "",
    ),
    Slip(
        "has no alarm for a backlog whose lanes pause",
        "a bot's jobs are not fetched when its pause is over",
        "roster.py",
        "                if not due and (at := bot.next_lane(now)[1]) > now:\n",
        "                if not due and bot.loaded and (at := bot.next_lane(now)[1]) > now:\n",
    ),
    Slip(
        "tells nobody that a probe came back",
        "a bucket that was out for a moment is never asked again",
        "buckets.py",
        "        if self.gate(bucket).leave(began=began):\n            self._recall(bucket)\n",
        "        self.gate(bucket).leave(began=began)\n",
    ),
    Slip(
        "sets no alarm for a bucket that refuses",
        "after a minute's outage its jobs wait for ever",
        "buckets.py",
        "        if not gate.probing:\n            self._roster.park(",
        "        if gate.probing:\n            self._roster.park(",
    ),
    Slip(
        "does not look at a full lane when it empties",
        "a chat with ten uploads at once never gets an eleventh",
        "bots.py",
        "        self.in_flight -= 1\n        self.stir(lane, now)\n",
        "        self.in_flight -= 1\n",
    ),
    Slip(
        "sends on while a probe is under way",
        "a bot that is flooded earns a 429 in each of its chats",
        "bots.py",
        "return FOREVER if scope.probing else scope.until",
        "return scope.until",
    ),
    Slip(
        "forgets a probe that failed otherwise",
        "a connection that breaks at the wrong moment stops a bot for ever",
        "scope.py",
        "        if is_probe:\n            self.probing = False\n",
        "        if is_probe and accepted:\n            self.probing = False\n",
    ),
    Slip(
        "forgets a probe that died with its child",
        "a child that is killed at the wrong moment stops a bot for ever",
        "verdicts.py",
        "        bot.scope.answered(is_probe=sending.is_probe, accepted=False)\n"
        "        bot.leave(lane, now)\n",
        "        bot.leave(lane, now)\n",
    ),
    Slip(
        "forgets a probe that found no memory",
        "a bucket stays closed for ever after a moment without memory",
        "downloads.py",
        "            desk.buckets.leave(flight.owner.bucket, flight.began)\n"
        "        for job in waiters:\n",
        "        for job in waiters:\n",
    ),
    Slip(
        "sends two probes through one gate",
        "a bucket that is out is asked by everybody at once",
        "gate.py",
        "(now >= self.until and self.state is GateState.CLOSED)",
        "now >= self.until",
    ),
    # Limits.
    Slip(
        "takes a flood for a failure",
        "Telegram says wait, and the bot goes on",
        "faults.py",
        '"TooManyRequests": Fault(Remedy.PAUSE_CHAT',
        '"TooManyRequests": Fault(Remedy.RETRY',
    ),
    Slip(
        "remembers the last pause, not the longest",
        "of ten answers to one flood a short one ends the pause",
        "lanes.py",
        "        self.paused_until = max(self.paused_until, until)\n",
        "        self.paused_until = until\n",
    ),
    Slip(
        "forgets pauses at a restart",
        "a daemon that starts again runs into the ban that it was in",
        "verdicts.py",
        "                    lane.pause(hold.until)\n",
        "",
    ),
    Slip(
        "does not write pauses down",
        "a daemon that starts again does not know of the ban that it is in",
        "verdicts.py",
        "        lane.pause(until)\n        self._remember(lane, sending.chat_id)\n",
        "        lane.pause(until)\n",
    ),
    Slip(
        "slows down without a floor",
        "after a few floods a chat gets a message a day",
        "governor.py",
        "self.pace.scale(max(FLOOR, factor))",
        "self.pace.scale(factor)",
    ),
    Slip(
        "takes each answer of a flood for a flood",
        "one flood, and a chat is at a tenth of its rate for an hour",
        "governor.py",
        "        if began < self.decreased_at:\n            return False\n        self._decrease(",
        "        self._decrease(",
    ),
    Slip(
        "lets bursts be one too long",
        "each burst earns a 429",
        "pace.py",
        "        earliest = self.theoretical - self.interval_s * (self.burst - 1)\n",
        "        earliest = self.theoretical - self.interval_s * self.burst\n",
    ),
    # Whose turn it is.
    Slip(
        "forgets to age",
        "what was submitted last goes first for ever",
        "desk.py",
        "                self.relevel(job, now)\n            self._young.popleft()\n",
        "            self._young.popleft()\n",
    ),
    Slip(
        "serves the last of a level first",
        "the oldest of a thousand equal jobs waits for all others",
        "ready_queue.py",
        "        first: T = self._rings[bitmap.bit_length() - 1].after\n",
        "        first: T = self._rings[bitmap.bit_length() - 1].before\n",
    ),
    Slip(
        "forgets that a bot had its turn",
        "one bot has all slots, the others wait",
        "uploads.py",
        "            bot.send_turn = desk.roster.next_turn()",
        "            desk.roster.next_turn()",
    ),
    Slip(
        "lets all that starve go first",
        "after ten minutes of a backlog an urgent job waits for hours",
        "rotation.py",
        "        if self._starving.members and not self.alternation.starved_last:\n",
        "        if self._starving.members:\n",
    ),
    Slip(
        "lets nobody fetch when one that fetches ahead found no memory",
        "a bot in an hour's pause holds the memory that all others wait for",
        "intake.py",
        "            if desk.memory_short or not (due or self._may_fetch_ahead()):\n",
        "            if desk.memory_short or not self._may_fetch_ahead():\n",
    ),
    # Memory, slots, budgets.
    Slip(
        "keeps the memory of a download that nobody waits for",
        "the cache shrinks with each cancel, until nothing is fetched",
        "downloads.py",
        "flight.extent is not None:\n            self._desk.give_back(",
        "flight.extent is not None and flight.waiters:\n            self._desk.give_back(",
    ),
    Slip(
        "keeps the memory of a second copy",
        "the cache shrinks with each twin, until nothing is fetched",
        "cache.py",
        "            self.give_back(extent)\n            return entry\n",
        "            return entry\n",
    ),
    Slip(
        "tells nobody that memory is free",
        "a bot that found none waits until something expires",
        "desk.py",
        "            self.cache.unpin(sha256, now)\n            self.memory_freed()\n",
        "            self.cache.unpin(sha256, now)\n",
    ),
    Slip(
        "evicts what is being sent",
        "Telegram gets another picture than was asked for",
        "cache.py",
        "            if after is None or after.pins:\n",
        "            if after is None:\n",
    ),
    Slip(
        "does not merge free memory",
        "after an hour no video finds a place any more",
        "extents.py",
        "        before = self._ends.pop(start, None)\n",
        "        before = None\n",
    ),
    Slip(
        "counts a size twice when it becomes known late",
        "fetching ahead ends once the sum is above the cache",
        "desk.py",
        "            self.bytes_under_way += size_bytes - (job.size_bytes or 0)\n",
        "            self.bytes_under_way += size_bytes\n",
    ),
    Slip(
        "keeps the slots of a dead child",
        "each death costs slots, until nothing moves",
        "children.py",
        "        child.rows.extend(child.tasks.values())\n",
        "",
    ),
    # Deaths and blame.
    Slip(
        "hears reports of an earlier life",
        "what a dead child said frees the slot of a living one",
        "children.py",
        "return child if child.generation == generation else None",
        "return child",
    ),
    Slip(
        "takes a report of any task",
        "a report that comes late ends the daemon",
        "engine.py",
        "if child is None or report.task not in child.tasks:",
        "if child is None:",
    ),
    Slip(
        "gives more work to the child that a suspect has for itself",
        "a poisonous job takes others with it, and is never convicted",
        "children.py",
        "child.state is ChildState.READY and not child.alone\n            if free",
        "child.state is ChildState.READY\n            if free",
    ),
    Slip(
        "never convicts",
        "a poisonous job kills children for ever",
        "blame.py",
        "    return whom.deaths >= DEATHS_MAX or",
        "    return whom.deaths > KILLS_MAX or",
    ),
    Slip(
        "charges for outages",
        "a bucket that is out for a while fails everything that waits for it",
        "blame.py",
        "0 <= trouble.served_then < upstream.served",
        "0 <= trouble.served_then <= upstream.served",
    ),
    Slip(
        "burns an attempt by waiting",
        "a job fails after some waits for memory",
        "remedies.py",
        "        job.attempt += charged\n",
        "        job.attempt += 1\n",
    ),
    Slip(
        "convicts at the first death",
        "whoever was with a child when it died fails as poison",
        "blame.py",
        "    return whom.deaths >= DEATHS_MAX or",
        "    return whom.deaths > 0 or",
    ),
    Slip(
        "convicts whoever happens to be there",
        "all the jobs of a bucket fail with one poisonous object",
        "trials.py",
        "if job.key == key and job.bucket == bucket]",
        "if job.bucket == bucket]",
    ),
    Slip(
        "tries for ever",
        "each GET of a poisonous object kills a child, whatever became of the one before",
        "trials.py",
        "        if toll.is_full:\n            desk.fail(job,",
        "        if toll.is_full and job.trouble:\n            desk.fail(job,",
    ),
    Slip(
        "takes a kill for a crash",
        "jobs fail as poison because somebody ran `kill -9` three times",
        "blame.py",
        "    if end.killed:\n",
        "    if end.killed and not end.alone:\n",
    ),
    Slip(
        "takes nobody on when bytes were let go",
        "memory lies free until something else happens",
        "engine.py",
        "            has_room |= was_short and not (desk.memory_short or desk.ahead_short)\n",
        "            has_room |= was_short and has_room\n",
    ),
    # Uploads that follow, and relays.
    Slip(
        "seals what the catalogue was not asked about",
        "a film that is ready under another key is sent once more",
        "cut_through.py",
        "        if job.id in desk.recalled:\n",
        "        if job.id in desk.recalled or sending.flight:\n",
    ),
    Slip(
        "seals although another leads with that content",
        "the same film under two keys is sent twice at once",
        "cut_through.py",
        "        if desk.leaders.leader(job) not in (None, job):\n",
        "        if desk.leaders.leader(job) is None and desk.leaders.leader(job) is job:\n",
    ),
    Slip(
        "seals into a pause",
        "what began before a flood is sent into its penalty, and makes it longer",
        "cut_through.py",
        "        if lane.paused_until > now or not (",
        "        if not (",
    ),
    Slip(
        "gives a second copy back while an upload reads it",
        "Telegram gets the bytes of another object",
        "downloads.py",
        "        if flight.trailing and desk.cache.holds(sha256):\n",
        "        if not flight.trailing and desk.cache.holds(sha256):\n",
    ),
    Slip(
        "does not pin what an upload follows",
        "the cache gives away bytes that are still being sent",
        "downloads.py",
        "        for job in (*flight.waiters, *(sending.job for sending in flight.trailing)):\n",
        "        for job in flight.waiters:\n",
    ),
    Slip(
        "lets a relay go by a bucket that is closed",
        "each large object finds out anew that the store is away",
        "uploads.py",
        "        if not wants_store or self._desk.buckets.gate(job.bucket).may_pass(now):\n",
        "        if not wants_store or self._desk.buckets.gate(job.bucket):\n",
    ),
    Slip(
        "follows in a child that a suspect has for itself",
        "nobody can tell which of two tasks killed the child, and a poisonous job lives for ever",
        "children.py",
        "child.state is ChildState.READY and not child.alone\n        return",
        "child.state is ChildState.READY\n        return",
    ),
    # Refusals.
    Slip(
        "sends a kind to a chat that refuses it",
        "a person who takes no voice messages has the bot try for each of thousands",
        "bots.py",
        "if lane.next_at(now) <= now and lane.refusals.take(kind, now):",
        "if lane.next_at(now) <= now:",
    ),
    Slip(
        "lets everybody ask again",
        "once a minute all that wait for a kind are sent to be refused",
        "uploads.py",
        "            lane.refusals.enter(job.kind, now)\n",
        "            pass\n",
    ),
    Slip(
        "believes a refusal at once that is often wrong",
        "good photos fail for good",
        "remedies.py",
        "is_believed = FAULTS[code].is_verdict and trouble.failed_with == code",
        "is_believed = FAULTS[code].is_verdict",
    ),
    # Ways without bytes.
    Slip(
        "does not record that a message is gone",
        "a deleted message is forwarded for ever, and the job is never ready",
        "desk.py",
        "                self.out.append(records.MessageGone(*content, chat_id, message_id))\n",
        "                del chat_id, message_id\n",
    ),
    Slip(
        "does not record that a file_id is stale",
        "clients go on sending what Telegram refuses, and the probe is repeated without end",
        "desk.py",
        "                self.out.append(records.FileIdStale(*content, file_id, detail))\n",
        "                del file_id\n",
    ),
    Slip(
        "forgets which URLs were refused",
        "Telegram is given a URL again that it remembers as a failure for days",
        "links.py",
        "        self._refused[job.bucket, job.key] = now + REFUSED_S\n",
        "        self._refused[job.bucket, job.key] = now\n",
    ),
    Slip(
        "gives URLs of every bucket",
        "a bucket that is nobody's business gets public URLs",
        "links.py",
        "        if job.about is not None or job.bucket not in credit.buckets:\n",
        "        if job.about is not None:\n",
    ),
    Slip(
        "joins a probe as ready at once",
        "no file_id is ever proven, and a user finds out which are stale",
        "downloads.py",
        "return ByFileId(answer.file_id, answer.actual_kind) if job.is_probe else None\n",
        "return None\n",
    ),
    Slip(
        "joins a probe with whom it followed",
        "a media that is asked for all the time is never proven",
        "desk.py",
        "            if each.is_probe and each is not job:\n",
        "            if each.is_probe and each is None:\n",
    ),
    Slip(
        "proves every file_id",
        "whoever submits a media that is ready has it sent once more",
        "downloads.py",
        "return ByFileId(answer.file_id, answer.actual_kind) if job.is_probe else None\n",
        "return ByFileId(answer.file_id, answer.actual_kind)\n",
    ),
    Slip(
        "closes a lane for the chat that a message is in",
        "one warm-up chat that was deleted stops the others",
        "verdicts.py",
        "            case Remedy.CLOSE_CHAT if self.leads_nowhere(sending, fault):\n",
        "            case Remedy.CLOSE_CHAT if fault is None:\n",
    ),
    Slip(
        "gives a job up whose way leads nowhere",
        "a media that is in the bucket fails, because a message was deleted",
        "uploads.py",
        "if self._verdicts.leads_nowhere(sending, FAULTS[report.code]):\n",
        "if self._verdicts.leads_nowhere(sending, FAULTS[report.code]) and not job.claimed:\n",
    ),
    Slip(
        "keeps what the catalogue said of a way that leads nowhere",
        "a media whose file_id is stale is downloaded, though its message is there",
        "desk.py",
        '                raise AssertionError(f"{job} has no shortcut")\n'
        "        self.release(job, now, code, detail)\n",
        '                raise AssertionError(f"{job} has no shortcut")\n'
        "        self.put_back(job, now, code, detail)\n",
    ),
    Slip(
        "counts the bytes of what is sent without any",
        "bots fetch less ahead than they may",
        "desk.py",
        "        if job.phase in UNDER_WAY and job.is_light != was_light:\n",
        "        if job.phase in UNDER_WAY and job.relay and job.is_light != was_light:\n",
    ),
    # Listings and stops.
    Slip(
        "fetches after a stop was asked for",
        "`systemctl stop` waits for downloads that began after it",
        "engine.py",
        "may_start = not (self.draining or self.stalled)",
        "may_start = not self.stalled",
    ),
    Slip(
        "lists a page again",
        "a prefix is listed from its beginning for ever",
        "listings.py",
        "        listing.after = after\n",
        "",
    ),
    Slip(
        "lets a second stop put off the first",
        "`systemctl stop` takes longer the more often it is asked for",
        "engine.py",
        "        self._drain_deadline = min(self._drain_deadline, deadline)\n",
        "        self._drain_deadline = deadline\n",
    ),
)

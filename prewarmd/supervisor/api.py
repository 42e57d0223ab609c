"""The HTTP API, on the daemon's socket and, when configured, on TCP with a bearer token.

A submit is answered 202 after its commit returned. Everything about a job or a media is read from
the store, so a `ready` is seen only when it is committed. Errors are `problems`.
"""

import hmac
from typing import Any

from aiohttp import web

from prewarmd.core.about import NOTHING
from prewarmd.core.content import SHA256
from prewarmd.core.jobs import JobId, JobState, Kind, parse_public_id, public_id
from prewarmd.store.base import JobQuery, JobRow, JobStore, MediaRow
from prewarmd.supervisor.clock import iso
from prewarmd.supervisor.forms import Judge, Prefix, ProblemError, check_parameters, page_limit
from prewarmd.supervisor.intake import Intake
from prewarmd.supervisor.kept_messages import KeptMessages
from prewarmd.supervisor.problems import Handler, answer, problem
from prewarmd.supervisor.status import Status
from prewarmd.telemetry.metrics import Metrics

_PARAMETERS = {
    ("GET", "/v1/jobs"): ("state", "bot", "limit", "cursor"),
    ("GET", "/v1/media"): ("bot", "key", "bucket", "kind"),
    ("GET", "/v1/bots/{bot}/messages"): ("before", "cursor", "limit"),
}
"""What a query may name; on any other route it may name nothing."""


def job_json(row: JobRow) -> dict[str, Any]:
    """A job as clients see it."""
    error = None
    if row.error_code is not None:
        error = {"code": row.error_code, "message": row.error_message}
    about = row.about or NOTHING
    return {
        "id": public_id(row.id),
        "bot": row.bot,
        "bucket": row.bucket,
        "key": row.key,
        "kind": row.kind,
        "actual_kind": row.actual_kind,
        "state": row.state,
        "priority": row.priority,
        "attempt": row.attempt,
        "maybe_sent": row.maybe_sent,
        "is_probe": row.is_probe,
        "bytes": row.size_bytes,
        "sha256": row.sha256,
        "etag": row.etag,
        "width": about.width or None,
        "height": about.height or None,
        "duration_s": about.duration_s or None,
        "thumbnail": about.thumbnail or None,
        "file_id": row.file_id,
        "file_unique_id": row.file_unique_id,
        "error": error,
        "not_before": iso(row.not_before_unix),
        "created_at": iso(row.created_unix),
        "updated_at": iso(row.updated_unix),
    }


def media_json(row: MediaRow) -> dict[str, Any]:
    """A ready media."""
    return {
        "bot": row.bot,
        "sha256": row.sha256,
        "kind": row.kind,
        "actual_kind": row.actual_kind,
        "file_id": row.file_id,
        "file_unique_id": row.file_unique_id,
        "ready_at": iso(row.ready_unix),
    }


class Api:
    """The routes."""

    def __init__(
        self, intake: Intake, store: JobStore, status: Status, metrics: Metrics, judge: Judge
    ) -> None:
        self._intake = intake
        self._store = store
        self._status = status
        self._metrics = metrics
        self._judge = judge

    def application(self, max_body_bytes: int, token: str | None = None) -> web.Application:
        """The aiohttp application, for a `problems.Runner`; with `token` every request must bear
        it."""
        guards = [_known_parameters] if token is None else [_bearer(token), _known_parameters]
        app = web.Application(client_max_size=max_body_bytes, middlewares=guards)
        app.add_routes(
            [
                web.post("/v1/jobs", self._submit),
                web.get("/v1/jobs", self._jobs),
                web.get("/v1/jobs/{id}", self._job),
                web.post("/v1/jobs/{id}/retry", self._retry),
                web.delete("/v1/jobs/{id}", self._cancel),
                web.get("/v1/batches/{id}", self._batch),
                web.get("/v1/media/{bot}/{sha256}/{kind}", self._media),
                web.post("/v1/media/{bot}/{sha256}/{kind}/stale", self._stale),
                web.get("/v1/media", self._media_by_key),
                *KeptMessages(self._store, self._judge).routes,
                web.get("/v1/status", self._look),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._exposition),
            ]
        )
        return app

    # -- jobs ------------------------------------------------------------------------------------

    async def _submit(self, request: web.Request) -> web.Response:
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            rule = f"Content-Encoding: must be identity, not {encoding[:32]}"
            raise ProblemError(415, "Encoded", rule)
        asked = self._judge.read(await request.read())
        if isinstance(asked, Prefix):
            batch = await self._intake.open_batch(asked.bot, asked.bucket, asked.prefix, asked.kind)
            return answer({"batch": f"b{batch.id:08x}"}, 202)
        done = await self._intake.submit(asked)
        jobs = [
            {"id": public_id(one.job), "state": one.state, "created": one.created}
            for one in done.admissions
        ]
        return answer({"jobs": jobs}, 202)

    async def _jobs(self, request: web.Request) -> web.Response:
        query = request.query
        state = query.get("state")
        if state is not None and state not in tuple(JobState):
            raise ProblemError(422, "Invalid", f"state: must be one of {', '.join(JobState)}")
        cursor = query.get("cursor")
        before = parse_public_id(cursor) if cursor else None
        if cursor and before is None:
            raise ProblemError(422, "Invalid", "cursor: is none that was given out")
        limit = page_limit(query)
        rows = await self._store.jobs(
            JobQuery(JobState(state) if state else None, query.get("bot"), before, limit)
        )
        more = public_id(rows[-1].id) if len(rows) == limit else None
        return answer({"jobs": [job_json(row) for row in rows], "next": more})

    def _id(self, request: web.Request) -> JobId:
        job = parse_public_id(request.match_info["id"])
        if job is None:
            raise ProblemError(404, "NoSuchJob", "there is no such job")
        return job

    async def _job(self, request: web.Request) -> web.Response:
        row = await self._store.job(self._id(request))
        if row is None:
            raise ProblemError(404, "NoSuchJob", "there is no such job")
        return answer(job_json(row))

    async def _retry(self, request: web.Request) -> web.Response:
        job = self._id(request)
        done, state = await self._intake.retry(job)
        return await self._changed(job, state, done=done, what="tried again")

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self._id(request)
        done, state = await self._intake.cancel(job)
        return await self._changed(job, state, done=done, what="cancelled")

    async def _changed(
        self, job: JobId, state: JobState | None, *, done: bool, what: str
    ) -> web.Response:
        row = await self._store.job(job)
        if row is None or (state is None and not done):
            raise ProblemError(404, "NoSuchJob", "there is no such job")
        if not done:
            detail = f"a job that is {state} cannot be {what}"
            raise ProblemError(409, "WrongState", detail, state=state)
        return answer(job_json(row))

    async def _batch(self, request: web.Request) -> web.Response:
        text = request.match_info["id"]
        digits = text[1:]
        known = text[:1] == "b" and len(digits) >= 8 and not digits.strip("0123456789abcdef")
        row = await self._store.batch(int(digits, 16)) if known and len(digits) <= 15 else None
        if row is None:
            raise ProblemError(404, "NoSuchBatch", "there is no such batch")
        error = {"code": row.error_code, "message": row.error_message} if row.error_code else None
        return answer(
            {
                "id": text,
                "bot": row.bot,
                "prefix": row.prefix,
                "listed": row.listed,
                "submitted": row.submitted,
                "ready": row.ready,
                "failed": row.failed,
                "cancelled": row.cancelled,
                "finished": row.finished,
                "error": error,
            }
        )

    # -- media -----------------------------------------------------------------------------------

    def _content(self, request: web.Request) -> tuple[str, str, Kind]:
        """The media that a path means."""
        bot, sha256, kind = (request.match_info[name] for name in ("bot", "sha256", "kind"))
        if kind not in tuple(Kind):
            raise ProblemError(422, "Invalid", f"kind: must be one of {', '.join(Kind)}")
        if not SHA256.fullmatch(sha256):
            raise ProblemError(422, "Invalid", "sha256: must be 64 lower-case hex digits")
        self._judge.check_bot(bot)
        return bot, sha256, Kind(kind)

    async def _media(self, request: web.Request) -> web.Response:
        bot, sha256, kind = self._content(request)
        row = await self._store.media(bot, sha256, kind)
        if row is not None:
            return answer(media_json(row))
        raise await self._no_content(bot, sha256, kind)

    async def _stale(self, request: web.Request) -> web.Response:
        """Telegram refused a file_id to an application: 202 with the job that finds another, or 200
        with the one that is ready by now."""
        bot, sha256, kind = self._content(request)
        file_id = self._judge.read_stale(await request.read())
        renewal = await self._intake.stale(bot, sha256, kind, file_id)
        if renewal is None:
            raise await self._no_content(bot, sha256, kind)
        if renewal.ready is not None:
            return answer(media_json(renewal.ready))
        assert renewal.submitted is not None
        [one] = renewal.submitted.admissions
        return answer({"id": public_id(one.job), "state": one.state, "created": one.created}, 202)

    async def _media_by_key(self, request: web.Request) -> web.Response:
        query = request.query
        if "bot" not in query or "key" not in query:
            raise ProblemError(422, "Invalid", "bot and key: are needed")
        kind = query.get("kind")
        if kind is not None and kind not in tuple(Kind):
            raise ProblemError(422, "Invalid", f"kind: must be one of {', '.join(Kind)}")
        wanted = Kind(kind) if kind else None
        bot, key = query["bot"], query["key"]
        self._judge.check_bot(bot)
        bucket = query.get("bucket") or self._judge.default_bucket
        row = await self._store.media_by_key(bot, bucket, key, wanted)
        sha256 = self._intake.carried(key)
        if row is None and sha256 is not None:
            for each in [wanted] if wanted else Kind:
                row = row or await self._store.media(bot, sha256, each)
        if row is not None:
            return answer(media_json(row))
        raise self._not_ready(
            await self._store.latest_job(bot, bucket=bucket, key=key, kind=wanted)
        )

    async def _no_content(self, bot: str, sha256: str, kind: Kind) -> ProblemError:
        return self._not_ready(await self._store.latest_job(bot, sha256=sha256, kind=kind))

    @staticmethod
    def _not_ready(job: JobRow | None) -> ProblemError:
        if job is None:
            return ProblemError(404, "NotReady", "never asked for", state=None)
        if job.state is JobState.READY:
            return ProblemError(
                404, "NotReady", "its file_id is not this bot's any more", state=None,
                job=public_id(job.id),
            )  # fmt: skip
        error = {"code": job.error_code, "message": job.error_message} if job.error_code else None
        return ProblemError(
            404, "NotReady", f"its job is {job.state}", state=job.state, job=public_id(job.id),
            error=error,
        )  # fmt: skip

    # -- the daemon ------------------------------------------------------------------------------

    async def _look(self, _: web.Request) -> web.Response:
        return answer(self._status.look())

    async def _healthz(self, _: web.Request) -> web.Response:
        return answer({"alive": True})

    async def _readyz(self, _: web.Request) -> web.Response:
        reasons = self._status.reasons()
        return answer({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    async def _exposition(self, _: web.Request) -> web.Response:
        counts = self._store.counts()
        for state, number in counts.by_state.items():
            self._metrics.jobs.labels(state).set(number)
        self._status.measure(self._metrics)
        return web.Response(
            body=self._metrics.exposition(),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        )


@web.middleware
async def _known_parameters(request: web.Request, handler: Handler) -> web.StreamResponse:
    resource = request.match_info.route.resource
    if request.query and resource is not None:  # None: the router refuses the request itself
        method = "GET" if request.method == "HEAD" else request.method
        check_parameters(request.query, _PARAMETERS.get((method, resource.canonical), ()))
    return await handler(request)


def _bearer(token: str) -> Any:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected):
            return problem(
                ProblemError(401, "Unauthorized", "a bearer token is needed"),
                {"WWW-Authenticate": "Bearer"},
            )
        return await handler(request)

    return guard

"""`warm`, `jobs` and `lookup` against a daemon whose store is out of reach: jobs stay queued."""

import signal
import subprocess

import pytest

from prewarmd.errors import ExitCode
from tests.cli.conftest import WAIT_S, Site, until


def states(site: Site) -> dict[str, str]:
    """Key -> state of all jobs."""
    return {job["key"]: job["state"] for job in site.jobs()}


def enqueued(site: Site, key: str) -> str:
    """The id of a new job."""
    assert site.run("warm", "--bot", "shop", key).code == 0
    return str(next(job["id"] for job in site.jobs() if job["key"] == key))


def test_warm_enqueues_and_does_not_wait(served: Site) -> None:
    """Acknowledged is enough; doing it again changes nothing."""
    done = served.run("warm", "--bot", "shop", "w/1.jpg", "w/2.mp4")
    assert (done.code, done.out) == (0, "2 enqueued, 2 of them new\n")
    again = served.run("warm", "--bot", "shop", "w/1.jpg", "w/2.mp4", "--json")
    assert again.json == {"jobs": 2, "created": 0, "ready": 0, "all_well": True}


def test_kind_overrides_the_extension(served: Site) -> None:
    """--kind is for every key given."""
    assert served.run("warm", "--bot", "shop", "--kind", "document", "k/1.jpg").code == 0
    kinds = {job["key"]: job["kind"] for job in served.jobs()}
    assert kinds["k/1.jpg"] == "document"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("warm", "--bot", "shop"), "one of the three"),
        (("warm", "--bot", "shop", "a", "--prefix", "b"), "one of the three"),
        (("warm", "a.jpg"), "--bot"),
        (("warm", "--bot", "shop", "a/../b.jpg"), "must not have . or .."),
        (("warm", "--bot", "shop", ""), "must not be empty"),
        (("warm", "--bot", "shop", "x" * 1025), "1024"),
        (("warm", "--bot", "nobody", "n/1.jpg"), "bot"),
        (("warm", "--bot", "shop", "--bucket", "other", "n/2.jpg"), "bucket"),
        (("warm", "--bot", "shop", "--kind", "poster", "n/3.jpg"), "poster"),
        (("warm", "--bot", "shop", "--from", "no-such-file"), "no-such-file"),
        (("jobs", "list", "--state", "done"), "done"),
    ],
)
def test_bad_input_is_named_and_nothing_is_taken(
    served: Site, words: tuple[str, ...], said: str
) -> None:
    """Exit code 2, before or after the daemon looked at it."""
    before = states(served)
    done = served.run(*words)
    assert done.code == ExitCode.USAGE
    assert said in done.err
    assert states(served).keys() == before.keys()  # a probe of the bucket may be running


def test_warm_from_a_file_and_from_stdin(served: Site) -> None:
    """Objects and strings; empty lines are passed; what a line leaves out comes from the flags."""
    lines = '{"key": "f/1.bin", "kind": "photo", "bot": "shop"}\n\n"f/2.mp3"\n{"key":"f/3.pdf"}'
    (served.root / "list.ndjson").write_text(lines)
    done = served.run("warm", "--bot", "shop", "--from", "list.ndjson")
    assert (done.code, done.out) == (0, "3 enqueued, 3 of them new\n")
    kinds = {job["key"]: job["kind"] for job in served.jobs() if job["key"].startswith("f/")}
    assert kinds == {"f/1.bin": "photo", "f/2.mp3": "audio", "f/3.pdf": "document"}
    again = served.run("warm", "--bot", "shop", "--from", "-", given=lines)
    assert (again.code, again.out) == (0, "3 enqueued, 0 of them new\n")


def test_a_bad_line_is_named_and_the_whole_file_is_left_alone(served: Site) -> None:
    """Line 1503 is on the second page: the first must not be taken either."""
    file = served.root / "bad.ndjson"
    good = "".join(f'"g/{n}.jpg"\n' for n in range(1500)) + '\n"g/last"\n'
    file.write_text(good + '{"key": "g/x", "knd": "photo"}\n')
    done = served.run("warm", "--bot", "shop", "--from", file)
    assert done.code == ExitCode.USAGE
    assert done.err == "prewarmd: line 1503: knd: is no known field\n"
    assert not [key for key in states(served) if key.startswith("g/")]


def test_list_filters_and_limits(served: Site) -> None:
    """Newest first; plain lines where stdout is no terminal."""
    for key in ("l/1.jpg", "l/2.jpg"):
        enqueued(served, key)
    done = served.run("jobs", "list", "--limit", "2", "--state", "queued", "--bot", "shop")
    fields = [line.split("\t") for line in done.out.splitlines()]
    assert [row[6] for row in fields] == ["l/2.jpg", "l/1.jpg"]
    assert "--limit" in done.err
    page = served.run("jobs", "list", "--limit", "2", "--json").json
    assert [job["key"] for job in page["jobs"]] == ["l/2.jpg", "l/1.jpg"]
    assert page["next"] == page["jobs"][-1]["id"]
    nothing = served.run("jobs", "list", "--state", "ready")
    assert (nothing.code, nothing.out) == (0, "")


def test_a_key_that_would_drive_the_terminal_is_shown_harmless(served: Site) -> None:
    """Control characters are legal in keys, and never reach a terminal as such."""
    key = "esc/\x1b[2J\n.jpg"
    job = enqueued(served, key)
    for words in (("jobs", "list"), ("jobs", "show", job)):
        out = served.run(*words).out
        assert "\x1b" not in out
        assert "esc/\\x1b[2J\\n.jpg" in out


def test_show(served: Site) -> None:
    """Everything the API tells, as lines or as JSON."""
    job = enqueued(served, "s/1.jpg")
    shown = served.run("jobs", "show", job, "--json").json
    assert (shown["id"], shown["key"], shown["state"]) == (job, "s/1.jpg", "queued")
    text = served.run("jobs", "show", job).out
    assert [line.split()[0] for line in text.splitlines()] == list(shown)


def test_cancel_and_retry(served: Site) -> None:
    """A queued job can be taken back, a cancelled one tried again; anything else is refused."""
    job = enqueued(served, "c/1.jpg")
    assert served.run("jobs", "retry", job).code == ExitCode.NOT_READY
    done = served.run("jobs", "cancel", job)
    assert (done.code, done.out) == (0, f"{job} cancelled\n")
    assert states(served)["c/1.jpg"] == "cancelled"
    done = served.run("jobs", "retry", job)
    assert (done.code, done.out) == (0, f"{job} queued\n")


@pytest.mark.parametrize(
    ("verb", "job"),
    [("show", "jffffffff"), ("show", "a/b?c"), ("retry", "nonsense"), ("cancel", "jffffffff")],
)
def test_no_such_job(served: Site, verb: str, job: str) -> None:
    """1, in words."""
    done = served.run("jobs", verb, job)
    assert (done.code, done.out) == (ExitCode.NOT_READY, "")
    assert "no such job" in done.err


def test_lookup_of_what_is_not_ready(served: Site) -> None:
    """1, with the state on stdout."""
    job = enqueued(served, "u/1.jpg")
    done = served.run("lookup", "shop", "u/1.jpg")
    assert (done.code, done.out) == (ExitCode.NOT_READY, "queued\n")
    found = served.run("lookup", "shop", "u/1.jpg", "--json")
    assert found.code == ExitCode.NOT_READY
    assert (found.json["file_id"], found.json["state"], found.json["job"]) == (None, "queued", job)
    for what in (("u/never.jpg",), ("0" * 64,), ("0" * 64, "photo")):
        done = served.run("lookup", "shop", *what)
        assert (done.code, done.out) == (ExitCode.NOT_READY, "unknown\n")


def test_wait_ends_with_the_last_job_and_names_the_lost(served: Site) -> None:
    """A job that is cancelled meanwhile is not ready: exit code 1."""
    waiting = served.start(
        "warm", "--bot", "shop", "wait/1.jpg", "--wait", stdout=subprocess.PIPE
    )  # fmt: skip
    until(lambda: "wait/1.jpg" in states(served), "the job")
    job = enqueued(served, "wait/1.jpg")
    assert waiting.poll() is None
    assert served.run("jobs", "cancel", job).code == 0
    out, _ = waiting.communicate(timeout=WAIT_S)
    assert waiting.returncode == ExitCode.NOT_READY
    assert "cancelled  wait/1.jpg" in out.decode()
    assert "0 of 1 ready" in out.decode()


def test_wait_says_what_is_in_the_way_and_ends_on_ctrl_c(served: Site) -> None:
    """Nothing moves while the store is out of reach; the reader is told why."""
    waiting = served.start(
        "warm", "--bot", "shop", "wait/2.jpg", "--wait", stderr=subprocess.PIPE
    )  # fmt: skip
    assert waiting.stderr is not None
    with waiting.stderr as lines:
        said = next(line for line in lines if b"because of" in line)
        assert b"StoreUnreachable: bucket media" in said
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(WAIT_S) == ExitCode.INTERRUPTED
        assert b"Traceback" not in lines.read()

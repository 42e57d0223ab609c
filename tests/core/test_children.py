"""The children: started, greeted, watched, started again, retired; slots and rows never leak."""

from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.backoff import RestartPolicy
from prewarmd.core.children import Child, Children, ChildState
from prewarmd.core.commands import Command, Finish, Kill, Retire, Spawn

POLICY = RestartPolicy()


def turn(children: Children, now: float) -> list[Command]:
    out: list[Command] = []
    children.turn(now, out)
    children.check()
    return out


def spawned(out: list[Command]) -> list[int]:
    return [command.index for command in out if isinstance(command, Spawn)]


def killed(out: list[Command]) -> list[tuple[int, str]]:
    return [(command.index, command.reason) for command in out if isinstance(command, Kill)]


def up(workers: int = 1, slots: int = 2) -> Children:
    """All children ready at 0 s."""
    children = Children(workers, slots, POLICY)
    turn(children, 0.0)
    for child in children.all:
        children.greeted(child, 1000 + child.index, 0.0)
    return children


def advance(children: Children, start: float, end: float) -> list[Command]:
    """Turn whenever the children ask to be looked at, and otherwise never: an idle daemon."""
    out, now = [], start
    while (now := max(now, children.next_deadline())) <= end:
        out += turn(children, now)
        now += 0.001
    return out


def test_all_are_started_at_once() -> None:
    """A start would take five times as long."""
    children = Children(5, 4, POLICY)
    out = turn(children, 0.0)
    assert out == [Spawn(index, 1) for index in range(5)]
    assert turn(children, 0.1) == []
    assert {child.state for child in children.all} == {ChildState.STARTING}
    assert children.pick() is None


def test_a_greeted_child_takes_work() -> None:
    """Nothing would ever start."""
    children = up()
    assert children.ready == 1
    assert children.pick() is children.all[0]
    assert children.all[0].pid == 1000


def test_the_child_with_most_slots_free_is_picked() -> None:
    """One child would do everything while four stand idle."""
    children = up(workers=3, slots=4)
    for task in range(12):
        child = children.pick()
        assert child is not None
        children.begin(child, task)
    assert [len(child.tasks) for child in children.all] == [4, 4, 4]
    assert children.pick() is None


def test_rows_belong_to_children_and_are_unique() -> None:
    """Two transfers would write into one row of the board, and a death be misread."""
    children = up(workers=3, slots=4)
    rows = {}
    for task in range(12):
        child = children.pick()
        assert child is not None
        rows[task] = children.begin(child, task)
        assert rows[task] in range(child.index * 4, (child.index + 1) * 4)
    assert sorted(rows.values()) == list(range(12))
    children.finish(children.all[0], 0)
    assert children.pick() is children.all[0]
    assert children.begin(children.all[0], 99) == rows[0]
    children.check()


def test_a_child_that_dies_is_started_again_at_once_and_later_each_time() -> None:
    """Capacity would stay lost, or a broken machine be kept busy with starts."""
    children, child, now = up(), None, 1.0
    waits = []
    for death in range(6):
        child = children.all[0]
        assert children.exited(child, "killed", now, 0.5) == []
        assert child.state is ChildState.BACKOFF
        waits.append(round(child.until - now, 4))
        now = child.until
        assert spawned(turn(children, now)) == [0]
        assert child.generation == death + 2
        children.greeted(child, 1, now)
    assert waits == [0.0, 0.0375, 0.075, 0.15, 0.3, 0.6]
    assert children.restarts == 6


def test_no_start_before_the_back_off_is_over() -> None:
    """A crash loop would spin."""
    children = up()
    child = children.all[0]
    child.deaths = 8
    children.exited(child, "killed", 1.0, 0.0)
    assert child.until > 1.1
    assert turn(children, 1.1) == []
    assert children.next_deadline() == child.until


def test_a_healthy_life_is_a_clean_slate() -> None:
    """A child that dies once a day would be started ever later."""
    children = up()
    child = children.all[0]
    child.deaths = 8
    children.exited(child, "killed", POLICY.healthy_s, 0.9)
    assert child.until == POLICY.healthy_s
    assert child.deaths == 1


def test_its_tasks_come_back_and_its_slots_are_free() -> None:
    """Each death would cost slots until nothing runs any more."""
    children = up(slots=3)
    child = children.all[0]
    for task in (7, 8, 9):
        children.begin(child, task)
    assert children.exited(child, "killed", 1.0, 0.0) == [7, 8, 9]
    turn(children, 1.0)
    children.greeted(child, 1, 1.0)
    assert len(child.rows) == 3
    assert child.tasks == {}


def test_a_message_from_an_earlier_life_means_nobody() -> None:
    """An answer of the dead would be taken for one of the living."""
    children = up()
    child = children.all[0]
    assert children.current(0, 1) is child
    children.exited(child, "killed", 1.0, 0.0)
    turn(children, 1.0)
    assert children.current(0, 1) is None
    assert children.current(0, 2) is child


def test_a_silent_child_is_killed_once() -> None:
    """A hung child would keep its slots for ever."""
    children = up(workers=2)
    now = 0.0
    out: list[Command] = []
    while now < 15:
        now += 1.0
        children.all[1].beat = now
        out += turn(children, now)
    assert killed(out) == [(0, "silent for 10 s")]


def test_a_silent_child_is_killed_in_an_idle_daemon_too() -> None:
    """With one child (or all of them hung) there is no other event: it would hang for ever."""
    children = up(workers=1)
    assert killed(advance(children, 0.0, 60.0)) == [(0, "silent for 10 s")]


def test_a_child_that_does_not_come_up_is_killed() -> None:
    """A start that hangs would cost its capacity for ever; nothing else happens meanwhile."""
    children = Children(1, 2, POLICY)
    turn(children, 0.0)
    assert killed(advance(children, 0.0, 60.0)) == [(0, "not up after 20 s")]


def test_nobodys_silence_counts_while_we_were_stopped_ourselves() -> None:
    """After a laptop's sleep, or a debugger's halt, every child would be killed."""
    children = up(workers=3)
    turn(children, 1.0)
    assert killed(turn(children, 500.0)) == []
    assert killed(turn(children, 501.0)) == []
    for child in children.all:
        child.beat = 501.0
    assert killed(turn(children, 502.0)) == []


def test_deaths_before_hello_end_the_daemon_with_the_reason() -> None:
    """A daemon that cannot start would spin, and say nothing."""
    children, now, out = Children(2, 2, POLICY), 0.0, []
    for _ in range(POLICY.boot_failures):
        out += turn(children, now)
        starting = [c for c in children.all if c.state is ChildState.STARTING]
        children.exited(starting[0], "exited with 3", now, 0.0)
        now += 1.0
    out += turn(children, now)
    finishes = [command for command in out if isinstance(command, Finish)]
    assert [finish.failure for finish in finishes] == [
        "children die before they are up: exited with 3"
    ]
    assert out[-1] is finishes[-1], "it says no more after that"


def test_a_hello_between_forgives_failed_starts() -> None:
    """Five bad starts in a year would end the daemon."""
    children, now = Children(1, 2, POLICY), 0.0
    for _ in range(3 * POLICY.boot_failures):
        now = max(now + 1.0, children.all[0].until)
        assert not any(isinstance(command, Finish) for command in turn(children, now))
        if children.restarts % 2:
            children.greeted(children.all[0], 1, now)
        children.exited(children.all[0], "exited with 1", now, 0.0)


def test_a_retiring_child_takes_nothing_new_and_stops() -> None:
    """A stop would never end."""
    children = up(workers=2)
    children.draining = True
    out: list[Command] = []
    children.retire(1.0, out)
    assert out == [Retire(0, 1), Retire(1, 1)]
    assert children.pick() is None
    for child in children.all:
        children.exited(child, "exited with 0", 2.0, 0.0)
    assert children.all_stopped
    assert turn(children, 100.0) == []
    assert children.next_deadline() == float("inf")


def test_retiring_ends_what_has_not_come_up() -> None:
    """A stop during a start would wait for the start."""
    children = Children(2, 2, POLICY)
    turn(children, 0.0)
    children.greeted(children.all[0], 1, 0.1)
    children.exited(children.all[0], "killed", 0.2, 0.0)
    children.draining = True
    out: list[Command] = []
    children.retire(0.3, out)
    assert out == [Kill(1, children.all[1].generation, "stopping")]
    assert children.all[0].state is ChildState.STOPPED
    assert children.all[0].since == 0.3


def test_a_child_in_back_off_is_not_waited_for_while_draining() -> None:
    """Its start is due and will not come: the loop would spin until the last upload is done."""
    children = up(workers=2)
    children.exited(children.all[0], "killed", 1.0, 0.0)
    children.draining = True
    turn(children, 2.0)
    assert children.next_deadline() > 2.0


def test_killing_ends_every_living_child_once() -> None:
    """A stop would go past its deadline."""
    children = up(workers=3)
    children.exited(children.all[2], "killed", 1.0, 0.0)
    children.draining = True
    out: list[Command] = []
    children.kill(2.0, out)
    children.kill(2.0, out)
    assert killed(out) == [(0, "the drain took too long"), (1, "the drain took too long")]
    assert children.all[2].state is ChildState.STOPPED


EVENT = st.tuples(
    st.sampled_from(["greet", "exit", "begin", "finish", "beat", "wait"]),
    st.integers(0, 2),
    st.floats(0, 8),
)


@given(st.lists(EVENT, max_size=120))
def test_any_life_keeps_slots_and_generations_in_order(
    events: list[tuple[str, int, float]],
) -> None:
    """After some months of deaths a slot or a child would be missing."""
    children, now, task = Children(3, 2, POLICY), 0.0, 0
    generations = {0: 0, 1: 0, 2: 0}
    for verb, index, seconds in events:
        child: Child = children.all[index]
        alive = child.state in (ChildState.STARTING, ChildState.READY)
        match verb:
            case "greet" if child.state is ChildState.STARTING:
                children.greeted(child, 1, now)
            case "exit" if alive:
                tasks = set(child.tasks)
                assert set(children.exited(child, "killed", now, 0.5)) == tasks
            case "begin" if (picked := children.pick()) is not None:
                assert picked.state is ChildState.READY
                task += 1
                children.begin(picked, task)
            case "finish" if child.tasks:
                children.finish(child, next(iter(child.tasks)))
            case "beat":
                child.beat = now
            case "wait":
                now += seconds
        for command in turn(children, now):
            if isinstance(command, Spawn):
                generations[command.index] += 1
                assert command.generation == generations[command.index]
        assert all(len(one.rows) + len(one.tasks) == 2 for one in children.all)

"""Text reports of plans."""

import math
from collections.abc import Sequence

from jaxvision.train.planning.advice import Change
from jaxvision.train.planning.planner import Plan

GIB = 2**30


def report(plan: Plan, changes: Sequence[Change] = ()) -> str:
    """Formats a plan in several lines of text.

    Args:
        plan: The plan of the step.
        changes: Changes to list at the end, from `advise`.

    >>> import jax
    >>> from jaxvision import train
    >>> from jaxvision.train.planning import plan
    >>> step = train.parallelize(lambda state, batch: (state * 2, {}),
    ...                          train.data_mesh(jax.devices()[:1]))
    >>> shape = jax.ShapeDtypeStruct((8, 8), "float32")
    >>> print(report(plan(step, shape, shape)).splitlines()[0])
    memory          ...
    """
    lines = [f"memory          {_bytes(plan.needed)} a chip{_verdict(plan)}"]
    parts = {name: size for name, size in plan.parts.items() if size >= 2**10}  # no counters
    lines += [f"  {name:14}{_bytes(size)}" for name, size in parts.items()]
    if plan.memory is None:
        lines.append(f"  {'temporaries':14}{_bytes(plan.temporaries)}, about")
        lines.append("  the compiler refused the program, so that nothing more is known of it")
    else:
        copied = plan.memory.outputs - plan.memory.shared
        for name, size in (
            ("temporaries", plan.memory.temporaries),
            ("outputs", copied),
            ("program", plan.memory.program),
        ):
            lines.append(f"  {name:14}{_bytes(size)}")
        lines += _work(plan)
    if plan.open_loops:
        lines.append(
            f"  ({plan.open_loops} loops of unknown length are counted as if they ran once)"
        )
    if changes:
        lines.append("to need less memory")
        lines += [f"  {_described(change)}" for change in changes]
    return "\n".join(lines)


def _verdict(plan: Plan) -> str:
    if plan.chip is None:
        return ""
    word = "fits" if plan.fits else "does NOT fit"
    return f", {word}: {plan.chip.name} has {_bytes(plan.chip.memory_bytes)} for programs"


def _work(plan: Plan) -> list[str]:
    lines = [f"operations      {_short(plan.flop / 1e9)} GFLOP a chip"]
    lines.append(f"memory traffic  {_bytes(plan.traffic)} a chip")
    for each in plan.collectives:
        lines.append(
            f"{each.kind:15} {each.count} of {_bytes(each.bytes)} together, "
            f"{_bytes(each.sent)} sent by each chip"
        )
    if not plan.collectives and plan.devices > 1:
        lines.append("collectives     none: chips exchange nothing")
    roofline = plan.roofline
    if roofline is not None and plan.chip is not None:
        used = plan.flop / plan.chip.flop_rate / roofline.seconds if roofline.seconds else 0.0
        lines.append(
            f"least time      {_seconds(roofline.seconds)} a step, bound by {roofline.bound} "
            f"(compute {_seconds(roofline.compute)}, memory {_seconds(roofline.memory)}, "
            f"interconnect {_seconds(roofline.interconnect)}); at most {used:.0%} of peak FLOP/s"
        )
    return lines


def _described(change: Change) -> str:
    needed = "" if change.needed is None else f": about {_bytes(change.needed)}"
    return f"{change.what}{needed} ({change.cost})"


def titles() -> str:
    """Returns the header of a table whose rows are from `row`.

    >>> titles().split()[:3]
    ['program', 'chips', 'args']
    """
    heads = ("chips", "args", "outputs", "temps", "total", "fits", "GFLOP", "traffic", "sent")
    return (
        f"{'program':44}"
        + "".join(f"{head:>9}" for head in heads)
        + f"{'least ms':>10}  {'bound':12}  {'compile s':>9}  collectives (count: MiB)"
    )


def row(name: str, plan: Plan) -> str:
    """Formats a plan as a row of a table; memory, traffic and sent data are in MiB per chip.

    >>> import jax
    >>> from jaxvision import train
    >>> from jaxvision.train.planning import plan
    >>> step = train.parallelize(lambda state, batch: (state * 2, {}),
    ...                          train.data_mesh(jax.devices()[:1]))
    >>> shape = jax.ShapeDtypeStruct((8, 8), "float32")
    >>> row("twice", plan(step, shape, shape)).split()[:2]
    ['twice', '1']
    """
    fits = {True: "yes", False: "no", None: "-"}[plan.fits]
    if plan.memory is None:
        return (
            f"{name:44}{plan.devices:9}{_mib(math.fsum(plan.parts.values())):>9}{'':9}"
            f"{_mib(plan.temporaries):>9}{_mib(plan.needed):>9}{fits:>9}"
            f"{'refused by the compiler':>49}  {plan.compile_seconds:9.0f}"
        )
    memory, roofline = plan.memory, plan.roofline
    exchanged = ", ".join(
        f"{each.kind} {each.count}: {_mib(each.bytes)}" for each in plan.collectives
    )
    if plan.open_loops:
        exchanged += f" ({plan.open_loops} loops of unknown length count once)"
    least, bound = (
        ("-", "-") if roofline is None else (_short(1e3 * roofline.seconds), roofline.bound)
    )
    return (
        f"{name:44}{plan.devices:9}{_mib(memory.arguments):>9}"
        f"{_mib(memory.outputs - memory.shared):>9}{_mib(memory.temporaries):>9}"
        f"{_mib(memory.total):>9}{fits:>9}{_short(plan.flop / 1e9):>9}{_mib(plan.traffic):>9}"
        f"{_mib(math.fsum(each.sent for each in plan.collectives)):>9}{least:>10}  {bound:12}  "
        f"{plan.compile_seconds:9.0f}  {exchanged}"
    )


def _mib(size: float) -> str:
    return _short(size / 2**20)


def _short(number: float) -> str:
    """Three digits, or all digits of a larger whole number."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _bytes(size: float) -> str:
    for unit, name in ((GIB, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:.2f} {name}"
    return f"{size:.0f} B"


def _seconds(seconds: float) -> str:
    return f"{_short(1e3 * seconds)} ms" if seconds < 1 else f"{seconds:.3f} s"

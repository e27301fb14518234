"""The figures of `fastconv.explain` in words."""

import math

from fastconv.functional import _winograd

PASSES = ("forward", "grad_input", "grad_weight")
OF_LANES = {
    "channels": "channels of one group",
    "columns": "columns",
    "groups": "channels of all groups",
}


def lines(found, transposed):
    yield (
        f"{found['operation']} of {found['input_shape']} with filters {found['weight_shape']}: "
        f"output {found['output_shape']}"
    )
    reason = ", as work is little" if found["serial"] else ""
    groups = f"; {found['groups']} groups, of one of them below" if found["groups"] > 1 else ""
    if any(found[name].get("lanes") == "groups" for name in PASSES):
        groups += " unless lanes are those of all"
    yield (
        f"{found['dtype']}, {found['layout']}; algorithm {found['algorithm']}; {found['isa']}, "
        f"{_plural(found['num_threads'], 'thread')}{reason}{groups}"
    )
    yield (
        f"a pass: {_count(found['multiply_adds'])} multiply-adds, {_bytes(found['bytes'])} of "
        f"arrays, {found['multiply_adds'] / found['bytes']:.3g} for each byte"
    )
    # A window moves over one array; each of its positions is a cell of the other.
    turned_round = transposed != found["grad_weight"].get("exchanged", False)
    pair = ("grad_output", "input") if turned_round else ("input", "grad_output")
    pairs = ("input", "output"), ("grad_output", "grad_input"), pair
    for name, (over, cells) in zip(PASSES, pairs, strict=True):
        yield ""
        yield name
        for label, text in _words_of_pass(found, name, over, cells):
            yield f"  {label:<12}{text}"


def _words_of_pass(found, name, over, cells):
    plan, of_weight = found[name], name == "grad_weight"
    yield "algorithm", _algorithm(found, plan)
    if plan["algorithm"] == "direct":
        yield from (_weight_words if of_weight else _correlate_words)(plan, over, cells)
        return
    yield from _winograd_pass(found, plan["calls"])
    phases = sum(call["times"] for call in plan["calls"])
    for call in plan["calls"]:
        if phases > 1:
            some = f"{call['times']} of " if call["times"] < phases else ""
            yield "phases", f"{some}{phases} of {cells}, a convolution each"
        yield from (_winograd_weight_words if of_weight else _winograd_words)(call, over, cells)


def _algorithm(found, plan):
    """Which, and unless direct was asked for, what "auto" goes by."""
    if "gain" not in plan:
        return "direct: a multiply-add for each tap"
    if plan["gain"] is None:
        if any(found[name]["gain"] is not None for name in PASSES):
            return f"direct: winograd sums over phases of {_winograd.WHOLE_TAPS} taps at most"
        return (
            f"direct: winograd needs {_winograd.LEAST_TAPS} or {_winograd.MOST_TAPS} taps for "
            "each stride, and dilation 1"
        )
    expected = f"expected to be {plan['gain']:.2f} times as fast"
    if plan["algorithm"] == "winograd":
        return f"winograd, {expected}"
    return f"direct: winograd is {expected}, which is below {_winograd.WORTHWHILE}"


def _correlate_words(plan, over, cells):
    yield "lanes", _lanes(plan, cells)
    yield "tile", _tile(plan, "vector")
    yield "depth", _depth(plan, over)
    phases = f" of each of {plan['phases']} phases" if plan["phases"] > 1 else ""
    yield (
        "tasks",
        (
            f"{plan['tasks']}: {_block(plan['block'])} positions{phases}, "
            f"{_part(plan['chunk'], plan['channels'], cells)} each"
        ),
    )
    yield (
        over,
        _window(plan)
        + ("" if plan["in_place"] else f", meant to be at most {_bytes(plan['strip_limit'])}"),
    )
    shares = ("in_padding", "of the rows of taps"), ("taps_in_padding", "of the taps of a row")
    skipped = [f"{plan[share]:.1%} {what}" for share, what in shares if plan[share]]
    if skipped:
        yield "padding", f"{' and '.join(skipped)} lie in it and are skipped"
    yield "weights", f"packed {plan['packed']}, {_bytes(plan['weight_bytes'])}"
    sums = f", of it {_bytes(plan['sum_bytes'])} of unfinished sums" if plan["sum_bytes"] else ""
    yield "scratch", f"{_bytes(plan['scratch_bytes'])} a thread{sums}"


def _weight_words(plan, over, cells):
    yield "lanes", _lanes(plan, cells)
    yield "tile", _tile(plan, "tap" if plan["lanes"] == "columns" else "vector", of_each_tap=True)
    images = f" of {plan['images']} images" if plan["images"] > 1 else ""
    yield "units", f"{plan['units']}: {_block(plan['block'])} positions{images} each"
    yield "sum", _sum(plan, "")
    yield (
        "tasks",
        (f"{plan['tasks']}: a part, {_part(plan['chunk'], plan['channels'], cells)} each"),
    )
    yield over, _window(plan)
    if plan["skips_padding"]:
        yield "padding", "rows of taps that lie in it are skipped"
    yield cells, plan["cells"]
    yield "scratch", f"{_bytes(plan['scratch_bytes'])} a thread"


def _winograd_pass(found, calls):
    products = sum(call["times"] * call["products"] for call in calls)
    multiply_adds = _count(found["multiply_adds"])
    yield "products", f"{_count(products)} in place of {multiply_adds} multiply-adds"
    taps = sum(call["times"] * call["phases"] * math.prod(call["taps"]) for call in calls)
    if taps > math.prod(found["weight_shape"][2:]):
        yield "taps", "zeros stand in for those that a phase lacks"


def _winograd_words(call, over, cells):
    if call["phases"] > 1:
        yield "phases", f"{call['phases']} of {over}, summed up"
    yield "tile", _winograd_tile(call)
    yield "lanes", _winograd_lanes(call, cells)
    yield "tiles", f"{_along_axes(call, 'tiles')} of an image"
    yield (
        "tasks",
        (
            f"{call['tasks']}: up to {_plural(call['task_tiles'], 'tile')}, "
            f"{_part(call['chunk'], call['channels'], cells)} each"
        ),
    )
    yield "weights", f"transformed {call['transformed']}, {_bytes(call['filter_bytes'])}"
    yield "scratch", f"{_bytes(call['scratch_bytes'])} a thread"


def _winograd_weight_words(call, over, cells):
    if call["phases"] > 1:
        yield "phases", f"{call['phases']} of {over}, for taps of its own each"
    yield "tile", f"the adjoint of {_winograd_tile(call)}"
    yield "lanes", _winograd_lanes(call, cells)
    yield "tiles", f"{_along_axes(call, 'tiles')} of an image"
    yield "units", f"{call['units']}: up to {_plural(call['unit_tiles'], 'tile')} each"
    yield "sum", _sum(call, " beside the gradient")
    yield (
        "tasks",
        (
            f"{call['tasks']}: a part, {_part(call['in_chunk'], call['in_channels'], over)}, "
            f"{_part(call['chunk'], call['channels'], cells)} each"
        ),
    )
    sums = f", of it {_bytes(call['sum_bytes'])} of sums"
    yield "scratch", f"{_bytes(call['scratch_bytes'])} a thread{sums}"


def _winograd_tile(call):
    products = math.prod(call["points"])
    direct = math.prod(call["outputs"]) * math.prod(call["taps"])
    return (
        f"F({_along_axes(call, 'outputs')}, {_along_axes(call, 'taps')}): {products} products in "
        f"place of {direct} multiply-adds"
    )


def _winograd_lanes(call, cells):
    blocks, vectors = _plural(call["blocks"], "block"), _plural(call["vectors"], "vector")
    return f"{_vectors(call['channels'], 'channel', cells, call)}; {blocks} of {vectors}"


def _along_axes(call, name):
    """A figure along each axis that is not absent."""
    return " x ".join(
        str(figure) for figure, points in zip(call[name], call["points"], strict=True) if points > 1
    )


def _sum(plan, where):
    """How the sum of grad_weight is cut, and the bytes of its parts, which lie somewhere."""
    parts = f"{plan['parts']} parts, added in order" if plan["parts"] > 1 else "one part"
    return f"{parts}, {_bytes(plan['part_bytes'])}{where}; so for any number of threads"


def _lanes(plan, cells):
    """Which lanes, how many of them have work, and what the other choice would have cost."""
    chosen = plan["lanes"]
    count = plan["columns" if chosen == "columns" else "channels"]
    noun = "column" if chosen == "columns" else "channel"
    every = f"{cells}, those of all groups," if chosen == "groups" else cells
    others = ", ".join(
        f"{OF_LANES[name] if 'groups' in plan['cost'] else name} would cost "
        f"{cost / max(1, plan['cost'][chosen]):.2f} times as much"
        for name, cost in plan["cost"].items()
        if name != chosen
    )
    return f"{_vectors(count, noun, every, plan)}; {others}"


def _vectors(count, noun, cells, plan):
    """Of what vectors are, and how many of their lanes have work."""
    lanes = plan["lane_count"]
    used = count / (-(-count // lanes) * lanes)
    return f"{_plural(count, noun)} of {cells} in vectors of {lanes}, {used:.0%} in use"


def _tile(plan, across, of_each_tap=False):
    """`of_each_tap`: whether the taps of a chain have sums of their own."""
    chain = plan["chain"]
    sums = plan["rows"] * plan["vectors"] * (chain if of_each_tap else 1)
    rows = plan["rows_of"] if plan["rows"] > 1 else plan["rows_of"].removesuffix("s")
    taps = f"; {chain} neighbouring taps share what is loaded" if chain > 1 else ""
    each = ", one of each row of output" if plan.get("stacked") else ""
    return (
        f"{plan['rows']} {rows} by {_plural(plan['vectors'], across)}{each}: "
        f"{_plural(sums, 'sum')} in registers{taps}"
    )


def _part(some, every, cells):
    share = f"{some} of" if some < every else "all" if every > 1 else "the"
    return f"{share} {_plural(every, 'channel')} of {cells}"


def _depth(plan, over):
    if plan["lanes"] == "groups":
        return f"each lane has {_plural(plan['depth'], 'channel')} of {over} of its own"
    held = f"a strip holds {_part(plan['depth'], plan['in_channels'], over)}"
    if plan["depth"] == plan["in_channels"]:
        return held
    ratio = plan["whole_cost"] / max(1, plan["depth_cost"])
    return (
        f"{held} at a time; with all it would hold {_block(plan['whole_block'])} positions, and "
        f"filling it cost {ratio:.2f} times as much"
    )


def _window(plan):
    if plan["leaves_out"]:
        return "read in place: taps that lie in padding are left out"
    if plan["in_place"]:
        return "read in place: nothing is padded, and neighbours lie close in memory"
    changes = ["padded with zeros"] * plan["padded"] + ["turned to pixels"] * plan["turned"]
    how = f", {' and '.join(changes)}," if changes else ""
    return f"copied{how} into strips of {_bytes(plan['strip_bytes'])}"


def _block(block):
    """The positions of a block, without the leading axes that it does not have."""
    while len(block) > 1 and block[0] == 1:
        block = block[1:]
    return " x ".join(map(str, block))


def _plural(count, noun):
    return f"{count} {noun}" + "s" * (count != 1)


def _count(number):
    for unit, name in ((10**9, "billion"), (10**6, "million")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return str(number)


def _bytes(number):
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number} bytes"

"""Triton kernels of one layer over time: statistics, the forward scan, and the two sweeps of the reverse scan.

The twins of ``cpu/scan.inl`` and ``cpu/scan_reverse.inl``; activations lie as ``[T, B, H, W, C]``. A tile is ROWS
pooling windows of WINDOW places by CHANNELS channels; it stays in registers for all time steps. Windows that do not fit
into the image are dropped, as average pooling does; their neurons fire all the same.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def moments(current, shift, partial, steps, rows, channels, chunk, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    """Sum ``x - shift`` and its square over a chunk of rows: ``partial [chunks, 2, T, C]``."""
    part, t = tl.program_id(0), tl.program_id(1)
    c = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    centre = tl.load(shift + t * channels + c, mask=c < channels, other=0.0)[None, :]
    x = current + tl.cast(t, tl.int64) * rows * channels
    sums = tl.zeros([ROWS, CHANNELS], tl.float32)
    squares = tl.zeros([ROWS, CHANNELS], tl.float32)
    for first in range(0, chunk, ROWS):
        row = part * chunk + first + tl.arange(0, ROWS)
        inside = (row < rows)[:, None] & (c < channels)[None, :]
        away = tl.load(x + tl.cast(row, tl.int64)[:, None] * channels + c[None, :], mask=inside, other=0.0)
        away = tl.where(inside, tl.cast(away, tl.float32) - centre, 0.0)
        sums += away
        squares += away * away
    to = partial + ((part * 2) * steps + t) * channels + c
    tl.store(to, tl.sum(sums, 0), mask=c < channels)
    tl.store(to + steps * channels, tl.sum(squares, 0), mask=c < channels)


@triton.jit
def place(
    tile, images, height, width, HEIGHT: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, WINDOW: tl.constexpr
):
    """Return a tile's pixels and which are there, [ROWS, WINDOW]; its windows and which of them fit, [ROWS]."""
    across, down = (width + WIDTH - 1) // WIDTH, (height + HEIGHT - 1) // HEIGHT
    window, element = tile * ROWS + tl.arange(0, ROWS), tl.arange(0, WINDOW)
    image, top, left = window // (across * down), window // across % down, window % across
    y = top[:, None] * HEIGHT + (element // WIDTH)[None, :]
    x = left[:, None] * WIDTH + (element % WIDTH)[None, :]
    here = (window < images * across * down)[:, None] & (element < HEIGHT * WIDTH)[None, :] & (y < height) & (x < width)
    fits = (window < images * across * down) & (top < height // HEIGHT) & (left < width // WIDTH)
    return (
        (image[:, None] * height + y) * width + x,
        here,
        image * (height // HEIGHT) * (width // WIDTH) + top * (width // WIDTH) + left,
        fits,
    )


@triton.jit
def drive_at(x, mean, scale, shift, row, c, channels):
    """Return z = scale (x - mean) + shift of one step, and x - mean; ``row`` is its row in the ``[T, C]`` tables."""
    known = c < channels
    away = x - tl.load(mean + row + c, mask=known, other=0.0)[None, None, :]
    factor = tl.load(scale + row + c, mask=known, other=0.0)[None, None, :]
    return away * factor + tl.load(shift + row + c, mask=known, other=0.0)[None, None, :], away


@triton.jit
def row_of(table, row, c, channels):
    """Return one step's row of a table, which begins at ``row``."""
    return tl.load(table + row + c, mask=c < channels, other=0.0)[None, None, :]


@triton.jit
def constant(rule, which: tl.constexpr, t, c, channels):
    """Return a neuron's constant in a step: leak, sign, threshold (with the sign), amount, 1/θ, or the surrogate's."""
    return row_of(rule[0], which * rule[2] + t * rule[1], c, channels)


@triton.jit
def step(membrane, drive, rule, t, c, channels, BEFORE: tl.constexpr, HARD: tl.constexpr):
    """Advance the neuron by one step: the potential that is compared, whether it fires, the membrane afterwards."""
    leaked = constant(rule, 0, t, c, channels) * membrane
    potential = membrane if BEFORE else leaked + drive
    fired = constant(rule, 1, t, c, channels) * potential > constant(rule, 2, t, c, channels)
    kept = leaked if BEFORE else potential
    after = tl.where(fired, 0.0, kept) if HARD else kept - tl.where(fired, constant(rule, 3, t, c, channels), 0.0)
    return potential, fired, after + drive if BEFORE else after


@triton.jit
def surrogate(potential, inverse, first, second, KIND: tl.constexpr):
    """Return do/du (ops/spike.py): Triangle (Eq. 8), FastSigmoid, ArcTan; ``inverse`` is 1/θ, ``first`` is signed."""
    v = potential * inverse - 1.0
    if KIND == 0:
        slope = first * tl.maximum(1.0 - tl.abs(v), 0.0)
    elif KIND == 1:
        bend = 1.0 + second * tl.abs(v)
        slope = first / (bend * bend)
    else:
        bend = second * v
        slope = first / (1.0 + bend * bend)
    return slope


@triton.jit
def scan_forward(
    current,
    mean,
    scale,
    shift,
    membrane,
    counts,
    fired,
    neuron,
    neuron_step,
    neuron_table,
    steps,
    images,
    height,
    width,
    channels,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    WINDOW: tl.constexpr,
    CHANNELS: tl.constexpr,
    BEFORE: tl.constexpr,
    HARD: tl.constexpr,
    CARRIED: tl.constexpr,
):
    """Run all steps of a tile; ``fired [T, C]`` (int32) is added to."""
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = c < channels
    pixel, here, window, fits = place(tl.program_id(0), images, height, width, HEIGHT, WIDTH, ROWS, WINDOW)
    at = tl.cast(pixel, tl.int64)[:, :, None] * channels + c[None, None, :]
    inside = here[:, :, None] & known[None, None, :]
    to = counts + tl.cast(window, tl.int64)[:, None] * channels + c[None, :]
    kept = fits[:, None] & known[None, :]
    size = tl.cast(images, tl.int64) * height * width * channels
    pooled = tl.cast(images, tl.int64) * (height // HEIGHT) * (width // WIDTH) * channels
    u, rule = tl.load(membrane + at, mask=inside & CARRIED, other=0.0), (neuron, neuron_step, neuron_table)
    for t in range(steps):
        x = tl.cast(tl.load(current + t * size + at, mask=inside, other=0.0), tl.float32)
        drive, _ = drive_at(x, mean, scale, shift, t * channels, c, channels)
        _, spikes, u = step(u, drive, rule, t, c, channels, BEFORE, HARD)
        count = tl.sum(tl.cast(spikes & inside, tl.int32), 1)
        tl.store(to + t * pooled, tl.cast(count, tl.uint8), mask=kept)
        tl.atomic_add(fired + t * channels + c, tl.sum(count, 0), mask=known, sem="relaxed")
    if CARRIED:
        tl.store(membrane + at, u, mask=inside)


@triton.jit
def advance(
    u,
    first,
    last,
    x,
    size,
    inside,
    tables,
    c,
    channels,
    rule,
    to,
    TILE: tl.constexpr,
    BEFORE: tl.constexpr,
    HARD: tl.constexpr,
    KEEP: tl.constexpr,
):
    """Return the membrane after steps first..last-1; with KEEP store potentials in ``to``, a tile for each step."""
    for t in range(first, last):
        now = tl.cast(tl.load(x + t * size, mask=inside, other=0.0), tl.float32)
        drive, _ = drive_at(now, tables[0], tables[1], tables[2], t * channels, c, channels)
        potential, _, u = step(u, drive, rule, t, c, channels, BEFORE, HARD)
        if KEEP:
            tl.store(to + (t - first) * TILE, potential)
    return u


@triton.jit
def add_sum(to, values, inside, known):
    """Add the sum over a tile's places to a program's own float64 row."""
    total = tl.sum(tl.sum(tl.where(inside, values, 0.0), 1), 0)
    tl.store(to, tl.load(to, mask=known, other=0.0) + tl.cast(total, tl.float64), mask=known)


@triton.jit
def step_back(
    potential, g, spike, rule, t, c, channels, second, BEFORE: tl.constexpr, HARD: tl.constexpr, KIND: tl.constexpr
):
    """Step back once: dL/dz, and ``g``, dL/d(membrane), from after the step to before it. ``spike`` is dL/d(spike)."""
    fired = constant(rule, 1, t, c, channels) * potential > constant(rule, 2, t, c, channels)
    inverse, first = constant(rule, 4, t, c, channels), constant(rule, 5, t, c, channels)
    spike *= surrogate(potential, inverse, first, second, KIND)
    leak = constant(rule, 0, t, c, channels)
    after = tl.where(fired, 0.0, g) if HARD else g
    drive = g if BEFORE else after + spike
    return drive, leak * after + spike if BEFORE else leak * drive


@triton.jit
def scan_reverse(
    current,
    mean,
    scale,
    shift,
    membrane,
    grad_spikes,
    grad_step,
    inverse,
    offset,
    slope,
    out,
    carry,
    partial,
    starts,
    potentials,
    grad_scale,
    neuron,
    neuron_step,
    neuron_table,
    second_constant,
    steps,
    spans,
    tiles,
    images,
    height,
    width,
    channels,
    HEIGHT: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    WINDOW: tl.constexpr,
    CHANNELS: tl.constexpr,
    SPAN: tl.constexpr,
    BEFORE: tl.constexpr,
    HARD: tl.constexpr,
    KIND: tl.constexpr,
    SUMS: tl.constexpr,
    STARTED: tl.constexpr,
    CARRIED: tl.constexpr,
    GIVEN: tl.constexpr,
):
    """Sweep back through time, tile after tile: sums over rows with SUMS, else Eq. 10 into ``out``.

    The sums of Eq. 10, 11 go into the program's own part of ``partial [programs, 2, T, C]`` (float64). ``starts`` and
    ``potentials`` are its memory: the membrane before every span of SPAN steps, and the potentials of one span.
    """
    program, c = tl.program_id(0), tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known, tables = c < channels, (mean, scale, shift)
    TILE: tl.constexpr = ROWS * WINDOW * CHANNELS
    row = tl.arange(0, ROWS)[:, None, None] * WINDOW + tl.arange(0, WINDOW)[None, :, None]
    lane = row * CHANNELS + tl.arange(0, CHANNELS)[None, None, :]
    own = tl.cast(program, tl.int64) * tl.num_programs(1) + tl.program_id(1)
    starts += own * spans * TILE + lane
    potentials += own * SPAN * TILE + lane
    partial += (tl.cast(program, tl.int64) * 2) * steps * channels + c
    size, stride = tl.cast(images, tl.int64) * height * width * channels, tl.cast(grad_step, tl.int64)
    for tile in range(program, tiles, tl.num_programs(0)):
        pixel, here, window, fits = place(tile, images, height, width, HEIGHT, WIDTH, ROWS, WINDOW)
        at = tl.cast(pixel, tl.int64)[:, :, None] * channels + c[None, None, :]
        inside, kept = here[:, :, None] & known[None, None, :], fits[:, None] & known[None, :]
        towards = grad_spikes + tl.cast(window, tl.int64)[:, None] * channels + c[None, :]
        x, rule = current + at, (neuron, neuron_step, neuron_table)
        u = tl.load(membrane + at, mask=inside & STARTED, other=0.0)
        g = tl.load(carry + at, mask=inside & CARRIED, other=0.0)  # dL/d(membrane after the step)
        tl.store(starts, u)
        for span in range(1, spans):
            first, last = (span - 1) * SPAN, span * SPAN
            u = advance(u, first, last, x, size, inside, tables, c, channels, rule, starts, TILE, BEFORE, HARD, False)
            tl.store(starts + span * TILE, u)
        for back in range(spans):
            first = (spans - 1 - back) * SPAN
            last = tl.minimum(first + SPAN, steps)
            tl.debug_barrier()  # what the threads have stored
            u = tl.load(starts + (spans - 1 - back) * TILE)
            advance(u, first, last, x, size, inside, tables, c, channels, rule, potentials, TILE, BEFORE, HARD, True)
            tl.debug_barrier()
            for i in range(last - first):
                t = last - 1 - i
                potential, at_step = tl.load(potentials + (t - first) * TILE), t * channels
                spike = tl.cast(tl.load(towards + t * stride, mask=kept, other=0.0), tl.float32)[:, None, :]
                spike *= grad_scale
                grad, g = step_back(potential, g, spike, rule, t, c, channels, second_constant, BEFORE, HARD, KIND)
                away = tl.load(x + t * size, mask=inside, other=0.0).to(tl.float32) - row_of(mean, at_step, c, channels)
                if SUMS:
                    add_sum(partial + at_step, grad, inside, known)
                    normal = away * row_of(inverse, at_step, c, channels)
                    add_sum(partial + (steps + t) * channels, grad * normal, inside, known)
                else:
                    given = row_of(scale, at_step, c, channels) * grad
                    if not GIVEN:
                        given -= row_of(offset, at_step, c, channels) + row_of(slope, at_step, c, channels) * away
                    tl.store(out + t * size + at, given, mask=inside)
        if CARRIED and not SUMS:
            tl.store(carry + at, g, mask=inside)

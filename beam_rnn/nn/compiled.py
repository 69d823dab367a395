"""Whole waves in one call, compiled by numba (``beam-rnn[fast]``): the bits of NumPy, sooner.

What makes the bits is the same. A product sums up one column after the other, each factor fused
into the sum, as OpenBLAS does in the layouts of ``kernels``; ``tanh`` is NumPy's own inner loop;
all else is exact. ``twin`` tries it, and has no twin where a bit differs.

The gates of 16 units are a group: S slabs (16 columns of W.T) side by side, LSTM g f i o. What is
made of a group, for all rows, stays near: its product, then ``tanh``, then the new c and h::

             K              a group             a group
        .---------.        .--.--.--.         .--.--.--.
      R |x        |    x   |g |f |i | ..  ->  |g |f |i | ..  R rows at once, in registers
      R |x        |        |  |  |  |         |g |f |i |
        '---------'        '--'--'--'         '--'--'--'

Rows are of any number and any stride, so nothing is padded, gathered in blocks or laid out anew.
"""

# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call"

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import carray, from_dtype, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from beam_rnn.nn.gates import GRUKernel, RNNKernel
from beam_rnn.nn.parameters import Floats, Ints
from beam_rnn.nn.stepping import Kernel, Wave

_LANES = 16  # columns of a slab: one register of AVX-512, two of AVX2
_SLAB = 4 * _LANES  # bytes
_ROWS = 96  # stepped at once: a large W is read once for each tile
_AHEAD = 192  # rows whose input halves are made at once, where they are known
_NEAR = 6144  # floats of products between two tanh: they stay in the nearest cache
# Factors that OpenBLAS sums up before it adds that to z: all of them in the small products of its
# AVX-512 kernels; SGEMM_Q (param.h) in those for Zen, for Haswell.
_CUTS = (1 << 30, 320, 384)
_LSTM, _GRU, _GRU_BEFORE, _TANH, _RELU = range(5)

# What a compiled function knows of a cell: sizes, and where arrays lie.
_PLAN = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("kind", "H", "padded", "D", "tile", "ahead", "cut", "tanh", "ids"),
            *("slabs", "groups", "groups_n", "width"),  # of a group; of W_h, W_n; floats of p
            *("W_x", "W_h", "W_n", "b_n", "table"),
            *("x", "p", "h", "z", "t", "reset", "keep"),  # scratch for a tile
        )
    ]
)


class _UFunc(ctypes.Structure):
    """The head of PyUFuncObject (NumPy reference, C-API, "Python types and C-structures")."""

    _fields_ = (
        ("refcount", ctypes.c_ssize_t),
        ("type", ctypes.c_void_p),
        ("nin", ctypes.c_int),
        ("nout", ctypes.c_int),
        ("nargs", ctypes.c_int),
        ("identity", ctypes.c_int),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    )


def _inner_loop(ufunc: np.ufunc, signature: str) -> int:
    """The address of the loop that a ufunc runs over its elements."""
    head = _UFunc.from_address(id(ufunc))
    if (head.nin, head.nout, head.ntypes) != (ufunc.nin, ufunc.nout, ufunc.ntypes):
        raise ImportError(f"NumPy {np.__version__} has its ufuncs in another layout")
    return int(head.functions[ufunc.types.index(signature)])


_address = types.intp
_word, _number, _byte = ir.IntType(64), ir.FloatType(), ir.IntType(8)
_vector = ir.VectorType(_number, _LANES)


@intrinsic
def _pointer(typing, address):
    """float*"""

    def generate(context, builder, signature, given):
        return builder.inttoptr(given[0], _number.as_pointer())

    return types.CPointer(types.float32)(_address), generate


@intrinsic
def _loop(typing, function, args, sizes, strides):
    """Runs an inner loop of NumPy: ``function(args, sizes, strides, NULL)``."""

    def generate(context, builder, signature, given):
        kind = ir.FunctionType(ir.VoidType(), [_byte.as_pointer()] * 4)
        pointers = [builder.inttoptr(value, _byte.as_pointer()) for value in given[1:]]
        function = builder.inttoptr(given[0], kind.as_pointer())
        builder.call(function, [*pointers, ir.Constant(_byte.as_pointer(), None)])
        return context.get_dummy_value()

    return types.void(*[_address] * 4), generate


def _tile(R: int, S: int) -> Callable[..., None]:
    """The product of R rows and S slabs, to be called with addresses and strides in bytes:

    (x, stride of x, W, stride of slabs, factors, z, stride of z, 0 or whether z is there to add to)
    """

    def generate(context, builder, signature, given):
        x, x_stride, W, W_stride, K, z, z_stride, adds = given
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_vector, [_vector] * 3), f"llvm.fma.v{_LANES}f32"
        )

        def lines(base, stride, count, kind):
            places = [builder.add(base, builder.mul(stride, _word(i))) for i in range(count)]
            return [builder.inttoptr(place, kind.as_pointer()) for place in places]

        def spread(value):
            undefined = ir.Constant(_vector, ir.Undefined)
            first = builder.insert_element(undefined, value, ir.IntType(32)(0))
            everywhere = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
            return builder.shuffle_vector(first, undefined, everywhere)

        zero = ir.Constant(_vector, [0.0] * _LANES)
        rows, slabs = lines(x, x_stride, R, _number), lines(W, W_stride, S, _vector)
        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("factors", "sums"))
        builder.branch(loop)
        builder.position_at_end(loop)
        k = builder.phi(_word)
        sums = [[builder.phi(_vector) for _ in range(S)] for _ in range(R)]
        values = [spread(builder.load(builder.gep(row, [k]))) for row in rows]
        for s in range(S):
            weights = builder.load(builder.gep(slabs[s], [k]), align=4)
            for r in range(R):
                total = builder.call(fma, [values[r], weights, sums[r][s]])
                sums[r][s].add_incoming(zero, before)
                sums[r][s].add_incoming(total, loop)
        following = builder.add(k, _word(1))
        k.add_incoming(_word(0), before)
        k.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, K), loop, after)
        builder.position_at_end(after)
        alone = builder.icmp_signed("==", adds, _word(0))
        for row, totals in zip(lines(z, z_stride, R, _vector), sums, strict=True):
            for s, total in enumerate(totals):
                place = builder.gep(row, [_word(s)])
                there = builder.select(alone, zero, builder.load(place, align=4))
                builder.store(builder.fadd(there, total.incomings[1][0]), place, align=4)
        return context.get_dummy_value()

    @intrinsic
    def tile(typing, x, x_stride, W, W_stride, K, z, z_stride, adds):
        return types.void(*[_address] * 8), generate

    made: Callable[..., None] = tile
    return made


def _lanes(formula: Callable[..., Any], writes: int = 1) -> Callable[..., None]:
    """A formula of 16 floats at addresses, to be called with how many, the addresses, and where to.

    Args:
      formula: builder, constants and values -> value; lanes alone where there are fewer than 16.
      writes: to how many addresses.
    """

    def generate(context, builder, signature, given):
        count, places = given[0], cgutils.unpack_tuple(builder, given[1])

        def apply(kind, index):
            def constant(value):
                return ir.Constant(kind, [value] * _LANES if kind is _vector else value)

            lines = [builder.inttoptr(place, kind.as_pointer()) for place in places]
            lines = [builder.gep(line, [index]) for line in lines]
            values = [builder.load(line, align=4) for line in lines[:-writes]]
            result = formula(builder, constant, *values)
            for line in lines[-writes:]:
                builder.store(result, line, align=4)

        with builder.if_else(builder.icmp_signed("==", count, _word(_LANES))) as (all_, some):
            with all_:
                apply(_vector, _word(0))
            with some, cgutils.for_range(builder, count) as loop:
                apply(_number, loop.index)
        return context.get_dummy_value()

    @intrinsic
    def lanes(typing, count, *places):
        return types.void(_address, types.BaseTuple.from_types(places)), generate

    made: Callable[..., None] = lanes
    return made


def _gate(builder: Any, constant: Any, z: Any) -> Any:
    """(tanh(z / 2) + 1) / 2"""
    return builder.fmul(builder.fadd(z, constant(1)), constant(0.5))


_sum = _lanes(lambda b, k, z, p: b.fadd(z, p))
_relu = _lanes(lambda b, k, z: b.select(b.fcmp_ordered("<", z, k(0)), k(0), z))
_copy = _lanes(lambda b, k, z: z, writes=2)
_cell = _lanes(
    lambda b, k, c, g, f, i: b.fadd(b.fmul(c, _gate(b, k, f)), b.fmul(g, _gate(b, k, i))), writes=2
)
_output = _lanes(lambda b, k, o, t: b.fmul(_gate(b, k, o), t), writes=2)
_reset = _lanes(lambda b, k, r, h: b.fmul(b.fadd(r, k(1)), h))
_candidate = _lanes(lambda b, k, u, b_n, r, p: b.fadd(b.fmul(b.fadd(u, b_n), b.fadd(r, k(1))), p))
_mixed = _lanes(lambda b, k, h, n, z: b.fadd(b.fmul(b.fsub(h, n), _gate(b, k, z)), n), writes=2)

_compiled = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
# Of 16 floats, that stay in registers: 32 of 512 bits, or 16 of 256 (32 of 128: NEON).
_SUMS = 24 if binding.get_host_cpu_features().get("avx512f", False) else 6


def _group(S: int) -> Callable[..., None]:
    """z (n, 16 S) = x (n, K) times a group of S slabs."""

    def along(R):
        """R rows, with as many slabs at once as there are registers for."""
        at_once = max(s for s in range(1, S + 1) if S % s == 0 and R * s <= _SUMS)
        tile = _tile(R, at_once)

        @_compiled
        def rows(x, stride, W, slab, factors, z, row, adds):
            for s in range(0, S, at_once):
                tile(x, stride, W + s * slab, slab, factors, z + s * _SLAB, row, adds)

        return rows

    one, two, four, six = map(along, (1, 2, 4, 6))

    @_compiled
    def group(x, stride, n, K, cut, W, z, row):
        """Addresses, and the bytes from one row of x and of z to the next."""
        k = 0
        while k < K:
            factors = _factors(K - k, cut)
            slabs = W + _SLAB * k
            i = 0
            while i < n:
                at, to, left = x + i * stride + 4 * k, z + i * row, n - i
                if left >= 6:
                    six(at, stride, slabs, _SLAB * K, factors, to, row, k)
                    i += 6
                elif left >= 4:
                    four(at, stride, slabs, _SLAB * K, factors, to, row, k)
                    i += 4
                elif left >= 2:
                    two(at, stride, slabs, _SLAB * K, factors, to, row, k)
                    i += 2
                else:
                    one(at, stride, slabs, _SLAB * K, factors, to, row, k)
                    i += 1
            k += factors

    made: Callable[..., None] = group
    return made


@_compiled
def _factors(left, cut):
    """How many of ``left`` factors are summed up at once (OpenBLAS, driver/level3/level3.c)."""
    if left <= cut:
        return left
    if left >= 2 * cut:
        return cut
    return (left // 2 + 7) // 8 * 8


_of_3, _of_4 = _group(3), _group(4)


@_compiled
def _tanh(loop, at, n):
    """In place."""
    words = np.empty(5, np.int64)
    words[0] = words[1] = at
    words[2] = n
    words[3] = words[4] = 4
    _loop(loop, words.ctypes.data, words.ctypes.data + 16, words.ctypes.data + 24)


@_compiled
def _floats(address, n):
    return carray(_pointer(address), (n,))


# Loops run over arrays that begin where the loop does: an index with an offset may be negative for
# all that LLVM knows, and is not vectorised.


@_compiled
def _place(order, i):
    return order[i] if len(order) else i


@_compiled
def _project(plan, x, ids, order, low, n, to):
    """The input halves W_x x + b of n inputs from ``low`` on, to rows at the address ``to``."""
    width, D = plan.width, plan.D
    if plan.ids > 0:
        for i in range(n):
            id = ids[_place(order, low + i)]
            id = 0 if id < 0 else plan.ids - 1 if id >= plan.ids else id
            p, row = _floats(to + 4 * i * width, width), _floats(plan.table + 4 * id * width, width)
            for j in range(width):
                p[j] = row[j]
        return
    for i in range(n):
        x_1, x_i = _floats(plan.x + 4 * i * (D + 1), D + 1), x[_place(order, low + i)]
        for j in range(D):
            x_1[j] = x_i[j]
        x_1[D] = 1
    stride, row = 4 * (D + 1), 4 * width
    size = plan.slabs * _SLAB
    for g in range(width // (plan.slabs * _LANES)):
        W, column = plan.W_x + g * size * (D + 1), to + g * size
        if plan.slabs == 3:
            _of_3(plan.x, stride, n, D + 1, plan.cut, W, column, row)
        else:
            _of_4(plan.x, stride, n, D + 1, plan.cut, W, column, row)


@_compiled
def _in_lanes(H, unit):
    """How many of the 16 units from ``unit`` on there are."""
    return max(0, min(_LANES, H - unit))


@_compiled
def _gates(plan, x, W, first, last, n, p):
    """The products z (n, 64) of x (n, padded) and groups of four, with the input halves."""
    P, group, z = plan.padded, 4 * _SLAB, plan.z
    for g in range(first, last):
        _of_4(x, 4 * P, n, P, plan.cut, W + g * group * P, z, group)
        for i in range(n):
            p_i = p + 4 * i * plan.width + g * group
            for at in range(0, group, _SLAB):
                _sum(_LANES, z + at, p_i + at, z + at)
            z += group


@_compiled
def _lstm(plan, rows, h, n, p):
    """Gates g, f, i, o; a state row is [h | c]. See ``gates.LSTMKernel``."""
    H, group = plan.H, 4 * _SLAB
    some = max(1, _NEAR // (4 * _LANES * n))
    for first in range(0, plan.groups, some):
        last = min(first + some, plan.groups)
        m = (last - first) * n
        _gates(plan, plan.h, plan.W_h, first, last, n, p)
        _tanh(plan.tanh, plan.z, 4 * _LANES * m)
        z, t = plan.z, plan.t
        for g in range(first, last):
            count = _in_lanes(H, g * _LANES)
            for i in range(n):
                c = rows[i] + 4 * H + g * _SLAB
                _cell(count, c, z, z + _SLAB, z + 2 * _SLAB, c, t)
                z += group
                t += _SLAB
        _tanh(plan.tanh, plan.t, _LANES * m)
        z, t = plan.z, plan.t
        for g in range(first, last):
            count = _in_lanes(H, g * _LANES)
            for i in range(n):
                at = g * _SLAB
                _output(count, z + 3 * _SLAB, t, rows[i] + at, h[i] + at)
                z += group
                t += _SLAB


@_compiled
def _gru(plan, rows, h, n, p):
    """Gates r, z, n; r is twice the gate, and what it meets is half. See ``gates.GRUKernel``."""
    H, P, group, two = plan.H, plan.padded, 3 * _SLAB, 2 * _SLAB
    some = max(1, _NEAR // (3 * _LANES * n))
    for first in range(0, plan.groups, some):
        last = min(first + some, plan.groups)
        m = (last - first) * n
        z, t = plan.z, plan.t
        for g in range(first, last):
            _of_3(plan.h, 4 * P, n, P, plan.cut, plan.W_h + g * group * P, z, group)
            for i in range(n):
                p_i = p + 4 * i * plan.width + g * group
                _sum(_LANES, z, p_i, t)
                _sum(_LANES, z + _SLAB, p_i + _SLAB, t + _SLAB)
                z += group
                t += two
        _tanh(plan.tanh, plan.t, 2 * _LANES * m)
        z, t, new = plan.z, plan.t, plan.keep
        for g in range(first, last):
            b_n = plan.b_n + g * _SLAB
            for i in range(n):
                p_i = p + 4 * i * plan.width + g * group + two
                _candidate(_LANES, z + two, b_n, t, p_i, new)
                z += group
                t += two
                new += _SLAB
        _tanh(plan.tanh, plan.keep, _LANES * m)
        t, new = plan.t, plan.keep
        for g in range(first, last):
            count = _in_lanes(H, g * _LANES)
            for i in range(n):
                state, at = rows[i] + g * _SLAB, g * _SLAB
                _mixed(count, state, new, t + _SLAB, state, h[i] + at)
                t += two
                new += _SLAB


@_compiled
def _gru_before(plan, rows, h, n, p):
    """As ``_gru``, the reset before the product of n: groups of two units' r, z; then n of four."""
    H, P, group = plan.H, plan.padded, 4 * _SLAB
    for g in range(plan.groups):
        _gates(plan, plan.h, plan.W_h, g, g + 1, n, p)
        _tanh(plan.tanh, plan.z, 4 * _LANES * n)
        for half in range(2):
            count, at = _in_lanes(H, (2 * g + half) * _LANES), (2 * g + half) * _SLAB
            for i in range(n):
                r = plan.z + i * group + half * 2 * _SLAB
                _reset(count, r, rows[i] + at, plan.reset + 4 * i * P + at)
                keep = plan.keep + 4 * i * P + at
                _copy(count, r + _SLAB, keep, keep)
    p += 4 * plan.groups * 4 * _LANES
    for g in range(plan.groups_n):
        _gates(plan, plan.reset, plan.W_n, g, g + 1, n, p)
        _tanh(plan.tanh, plan.z, 4 * _LANES * n)
        for i in range(n):
            for place in range(4):
                count, at = _in_lanes(H, (4 * g + place) * _LANES), (4 * g + place) * _SLAB
                new, keep = plan.z + i * group + place * _SLAB, plan.keep + 4 * i * P + at
                _mixed(count, rows[i] + at, new, keep, rows[i] + at, h[i] + at)


@_compiled
def _rnn(plan, rows, h, n, p):
    """Groups of 64 units. See ``gates.RNNKernel``."""
    H, group = plan.H, 4 * _SLAB
    some = max(1, _NEAR // (4 * _LANES * n))
    for first in range(0, plan.groups, some):
        last = min(first + some, plan.groups)
        m = (last - first) * n
        _gates(plan, plan.h, plan.W_h, first, last, n, p)
        if plan.kind == _TANH:
            _tanh(plan.tanh, plan.z, 4 * _LANES * m)
        else:
            for at in range(plan.z, plan.z + m * group, _SLAB):
                _relu(_LANES, at, at)
        z = plan.z
        for g in range(first, last):
            for i in range(n):
                for place in range(4):
                    at = (4 * g + place) * _SLAB
                    count = _in_lanes(H, (4 * g + place) * _LANES)
                    _copy(count, z + place * _SLAB, rows[i] + at, h[i] + at)
                z += group


# Compiled once, when this module is loaded; what is only read may be frozen.
_plans = types.Array(from_dtype(_PLAN), 1, "C")
_read = types.Array(types.float32, 2, "C", readonly=True)
_ids, _table = (types.Array(types.int64, axes, "C", readonly=True) for axes in (1, 2))
_states, _hidden = types.Array(types.float32, 2, "A"), types.Array(types.float32, 2, "C")


@njit([types.void(_plans, _read, _address)], cache=True, nogil=True)
def _project_all(plans, x, to):
    """The input halves of all x (n, D) to rows at the address ``to``."""
    plan = plans[0]
    none = np.empty(0, np.int64)
    for low in range(0, len(x), plan.ahead):
        n = min(plan.ahead, len(x) - low)
        _project(plan, x, none, none, low, n, to + 4 * low * plan.width)


@njit(
    [types.void(_plans, _read, _ids, _ids, _states, _hidden, _table, _ids)], cache=True, nogil=True
)
def _run(plans, x, ids, order, a, h, waves, places):
    """Steps waves.

    Args:
      plans: (1,) what is known of the cell.
      x, ids: (n, D) or (n,) inputs, those of the first wave first; the other one is empty.
      order: (n,) where an input is instead, and where its hidden vector goes; or nothing.
      a: (R, S) states, advanced in place; the floats of a row are neighbours.
      h: (n, H) becomes the hidden vectors.
      waves: (W, 3) the first row, or -1 where ``places`` has the rows; how many; how many fresh.
      places: the fresh rows of the first wave, its rows, and so on.
    """
    plan = plans[0]
    P = plan.padded
    rows, outputs = np.empty(plan.tile, np.int64), np.empty(plan.tile, np.int64)  # addresses
    at = known = base = place = 0
    for w in range(len(waves)):
        first, m, fresh = waves[w, 0], waves[w, 1], waves[w, 2]
        for i in range(place, place + fresh):
            for j in range(a.shape[1]):
                a[places[i], j] = 0
        place += fresh
        low = 0
        while low < m:
            n = min(plan.tile, m - low)
            if at >= known:
                # Together with those of the waves that follow: W_x is read once for all.
                base, known = at, at + min(plan.ahead, len(h) - at)
                _project(plan, x, ids, order, base, known - base, plan.p)
            n = min(n, known - at)
            p = plan.p + 4 * (at - base) * plan.width
            for i in range(n):
                row = first + low + i if first >= 0 else places[place + i]
                rows[i] = a.ctypes.data + row * a.strides[0]
                outputs[i] = h.ctypes.data + 4 * plan.H * _place(order, at + i)
                state, before = _floats(rows[i], plan.H), _floats(plan.h + 4 * i * P, plan.H)
                for j in range(plan.H):
                    before[j] = state[j]
            if first < 0:
                place += n
            if plan.kind == _LSTM:
                _lstm(plan, rows, outputs, n, p)
            elif plan.kind == _GRU:
                _gru(plan, rows, outputs, n, p)
            elif plan.kind == _GRU_BEFORE:
                _gru_before(plan, rows, outputs, n, p)
            else:
                _rnn(plan, rows, outputs, n, p)
            low += n
            at += n


_TANH_LOOP = _inner_loop(np.tanh, "f->f")
_NO_X = np.empty((0, 0), np.float32)
_NO_IDS = np.empty(0, np.int64)


class Compiled:
    """A kernel that makes its steps in compiled code; has the methods of ``stepping.Steps``."""

    def __init__(self, kernel: Kernel, cut: int) -> None:
        W_x, W_a = kernel.weights
        # As many factors as NumPy's product has: where they are cut depends on it.
        W_a = np.pad(W_a, ((0, 0), (0, kernel.padded - kernel.H)))
        H, self.gates, self.padded = kernel.H, kernel.gates, kernel.padded
        self.H, self.input_size, self.cut = H, kernel.input_size, cut
        self.tile = _ROWS
        self.slabs = 4
        self.W_n = np.zeros((0, kernel.padded, _LANES), np.float32)
        b_n = getattr(kernel, "b_n", None)
        # What is not there adds -0: any number stays what it is.
        self.b_n = np.full(self.padded, -0.0, np.float32) if b_n is None else b_n.ravel()
        if isinstance(kernel, GRUKernel) and not kernel.reset_after:
            self.kind = _GRU_BEFORE
            self.W_x = np.concatenate([self._groups(W_x[: 2 * H]), self._groups(W_x[2 * H :])])
            self.W_h, self.W_n = self._groups(W_a[: 2 * H]), self._groups(W_a[2 * H :])
        else:
            if isinstance(kernel, GRUKernel):
                self.kind, self.slabs = _GRU, 3
            elif isinstance(kernel, RNNKernel):
                self.kind = _RELU if kernel.relu else _TANH
            else:
                self.kind = _LSTM
            self.W_x, self.W_h = self._groups(W_x), self._groups(W_a)
        self.width = len(self.W_x) * _LANES
        self._threads = threading.local()

    def _groups(self, W: Floats) -> Floats:
        """(G * H, K) -> (slabs, K, 16): the G gates of 16 units, then those of the next."""
        G, K = len(W) // self.H, W.shape[1]
        blocks = -(-self.H // _LANES)
        wide = np.zeros((G, blocks * _LANES, K), np.float32)
        wide[:, : self.H] = W.reshape(G, self.H, K)
        slabs = _aligned(-(-blocks * G // self.slabs) * self.slabs, K, _LANES)
        in_turn = wide.reshape(G, blocks, _LANES, K).transpose(1, 0, 3, 2)
        slabs[: blocks * G] = in_turn.reshape(blocks * G, K, _LANES)
        return slabs

    def _plan(self) -> NDArray[Any]:
        """What this thread steps with: scratch of its own."""
        plan: NDArray[Any] | None = getattr(self._threads, "plan", None)
        if plan is not None:
            return plan
        near = max(_NEAR, self.tile * 4 * _LANES)
        arrays = {
            "W_x": self.W_x,
            "W_h": self.W_h,
            "W_n": self.W_n,
            "b_n": self.b_n,
            "x": _aligned(_AHEAD, self.input_size + 1),
            "p": _aligned(_AHEAD, self.width),
            "h": _aligned(self.tile, self.padded),
            "z": _aligned(near),
            "t": _aligned(near),
            "reset": _aligned(self.tile, self.padded),
            "keep": _aligned(max(near, self.tile * self.padded)),
        }
        plan = np.zeros(1, _PLAN)
        for name, array in arrays.items():
            plan[name] = array.ctypes.data
        plan["kind"], plan["H"], plan["padded"] = self.kind, self.H, self.padded
        plan["D"], plan["tile"], plan["ahead"] = self.input_size, self.tile, _AHEAD
        plan["cut"], plan["tanh"], plan["width"] = self.cut, _TANH_LOOP, self.width
        plan["slabs"], plan["groups"] = self.slabs, len(self.W_h) // self.slabs
        plan["groups_n"] = len(self.W_n) // self.slabs
        self._threads.plan, self._threads.arrays, self._threads.table = plan, arrays, None
        return plan

    def project(self, x: NDArray[Any]) -> Floats:
        """The half of the pre-activation that does not need a: (n, D) -> (1, n, width)."""
        p = np.empty((1, len(x), self.width), np.float32)
        _project_all(self._plan(), np.ascontiguousarray(x, np.float32), p.ctypes.data)
        return p

    def step(
        self, x: NDArray[Any], a: Floats, table: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """One step of n rows: h (n, H) and the new states (n, S)."""
        after = a.copy()
        h = np.empty((len(a), self.H), np.float32)
        self._call(x, after, h, _wave(len(a)), _NO_IDS, table, _NO_IDS)
        return h, after

    def run_waves(
        self,
        x: NDArray[Any],
        a: Floats,
        waves: Sequence[Wave],
        table: Floats | None = None,
        order: Ints | None = None,
    ) -> Floats:
        """Steps through waves; see ``Kernel.run_waves``."""
        h = np.empty((len(x), self.H), np.float32)
        listed, places = [], []
        for rows, size, fresh in waves:
            if fresh is not None:
                places.append(fresh)
            if isinstance(rows, slice):
                first = rows.start
            else:
                first = -1
                places.append(rows)
            listed.append((first, size, 0 if fresh is None else len(fresh)))
        schedule = np.array(listed, np.int64).reshape(-1, 3)
        at = np.concatenate(places, dtype=np.int64) if places else _NO_IDS
        self._call(x, a, h, schedule, at, table, _NO_IDS if order is None else order)
        return h

    def _call(
        self,
        x: NDArray[Any],
        a: Floats,
        h: Floats,
        waves: Ints,
        places: Ints,
        table: Floats | None,
        order: Ints,
    ) -> None:
        if a.strides[1] != a.itemsize and a.shape[1] > 1:
            raise ValueError("the floats of a state row are not neighbours")
        plan = self._plan()
        if self._threads.table is not table:
            plan["ids"] = 0 if table is None else table.shape[1]
            plan["table"] = 0 if table is None else table.ctypes.data
            self._threads.table = table
        if table is None:
            if x.dtype != np.float32 or not x.flags.c_contiguous:
                x = np.ascontiguousarray(x, np.float32)
            _run(plan, x, _NO_IDS, order, a, h, waves, places)
        else:
            ids = np.ascontiguousarray(x, np.int64)
            _run(plan, _NO_X, ids, order, a, h, waves, places)


@functools.lru_cache(1024)
def _wave(n: int) -> Ints:
    """One wave of the first n rows."""
    return np.array([[0, n, 0]])


def _aligned(*shape: int) -> Floats:
    """Zeros that begin on a cache line."""
    size = int(np.prod(shape))
    raw = np.zeros(size + _LANES, np.float32)
    start = -raw.ctypes.data % 64 // 4
    return raw[start : start + size].reshape(shape)


_cuts: dict[tuple[Any, ...], int | None] = {}  # what holds for a shape; weights do not matter


def twin(kernel: Kernel) -> Compiled | None:
    """The compiled twin of a kernel, or None where it would not give the same bits."""
    key = (type(kernel), kernel.H, kernel.input_size, getattr(kernel, "reset_after", None))
    if key not in _cuts:
        cuts = (cut for cut in _CUTS if _agrees(kernel, Compiled(kernel, cut)))
        _cuts[key] = next(cuts, None)
    cut = _cuts[key]
    return None if cut is None else Compiled(kernel, cut)


def _agrees(kernel: Kernel, compiled: Compiled) -> bool:
    """Whether steps of few and many rows, and runs, have the same bits."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((64, kernel.input_size), np.float32)
    a = rng.standard_normal((64, kernel.states * kernel.H), np.float32)
    for n in (1, 2, 3, 5, 14, 64):
        for got, expected in zip(
            compiled.step(x[:n], a[:n]), kernel.step(x[:n], a[:n]), strict=True
        ):
            if not np.array_equal(got.view(np.int32), expected.view(np.int32)):
                return False
    waves = [Wave(slice(0, 1), 1)] * 4 + [Wave(np.array([5, 2, 9]), 3, np.array([2]))] * 20
    one, other = a.copy(), a.copy()
    h, expected = compiled.run_waves(x, one, waves), kernel.run_waves(x, other, waves)
    return h.tobytes() == expected.tobytes() and one.tobytes() == other.tobytes()

"""Whole waves in one call, compiled by numba (``beam-rnn[fast]``): the bits of NumPy, sooner.

What makes the bits is the same. A product sums up one column after the other, each factor fused
into the sum, as OpenBLAS does in the layouts of ``kernels``; ``tanh`` is NumPy's own inner loop;
all else is exact. ``twin`` tries it, and has no twin where a bit differs.

A tile of a product stays in registers (R rows x S slabs, a slab is 16 columns of W.T)::

             K                    S slabs
        .---------.           .----.----.            .----.----.
      R |x        |     x     | W  |    | K   ->   R | z  |    |
        '---------'           '----'----'            '----'----'

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
from beam_rnn.nn.stepping import MANY, Kernel, Wave

_LANES = 16  # columns of a slab: one register of AVX-512, two of AVX2
_SLABS = 4  # their number is a multiple of this
_ROWS = 96  # stepped at once: a large W is read once for each tile
# Factors that OpenBLAS sums up before it adds that to z: all of them in the small products of its
# AVX-512 kernels; SGEMM_Q (param.h) in those for Zen, for Haswell.
_CUTS = (1 << 30, 320, 384)
_LSTM, _GRU, _GRU_BEFORE, _TANH, _RELU = range(5)

# What a compiled function knows of a cell: sizes, and where arrays lie.
_PLAN = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("kind", "H", "padded", "D", "tile", "cut", "tanh", "ids"),
            *("width", "width_h", "width_n"),  # floats in a row of each product
            *("W_x", "W_h", "W_n", "b_n", "table"),
            *("x", "p", "h", "z", "t", "reset"),  # scratch for a tile
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


_compiled = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _along(R: int, S: int) -> Callable[..., None]:
    """R rows times the slabs from w to ``last``, S at once, every ``slab`` bytes one."""
    tile = _tile(R, S)

    @_compiled
    def along(x, stride, w, last, slab, factors, z, row, adds):
        while w < last:
            tile(x, stride, w, slab, factors, z, row, adds)
            w += S * slab
            z += S * 64

    made: Callable[..., None] = along
    return made


# As many sums as there are registers: 16 of AVX2, 32 of AVX-512 and NEON.
_at_once = (4, 2, 1, 1)
if binding.get_host_cpu_features().get("avx512f", False):
    _at_once = (4, 4, 4, 4)
_along_1, _along_2, _along_4, _along_6 = map(_along, (1, 2, 4, 6), _at_once)


@_compiled
def _factors(left, cut):
    """How many of ``left`` factors are summed up at once (OpenBLAS, driver/level3/level3.c)."""
    if left <= cut:
        return left
    if left >= 2 * cut:
        return cut
    return (left // 2 + 7) // 8 * 8


@_compiled
def _product(x, stride, n, K, cut, W, width, z):
    """z (n, width) = x (n, K) @ W: addresses, and the bytes from one row of x to the next."""
    slab, row = 64 * K, 4 * width
    end = W + K * row
    k = 0
    while k < K:
        some = _factors(K - k, cut)
        first, column = W + 64 * k, z
        while first < end:  # all rows with four slabs, which stay in cache
            last = first + _SLABS * slab
            i = 0
            while i < n:
                at, to, left = x + i * stride + 4 * k, column + i * row, n - i
                if left >= 6:
                    _along_6(at, stride, first, last, slab, some, to, row, k)
                    i += 6
                elif left >= 4:
                    _along_4(at, stride, first, last, slab, some, to, row, k)
                    i += 4
                elif left >= 2:
                    _along_2(at, stride, first, last, slab, some, to, row, k)
                    i += 2
                else:
                    _along_1(at, stride, first, last, slab, some, to, row, k)
                    i += 1
            first = last
            column += _SLABS * 64
        k += some


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
def _project(plan, x, ids, low, n, to):
    """The input halves W_x x + b of n inputs from ``low`` on, to rows at the address ``to``."""
    width, D = plan.width, plan.D
    if plan.ids > 0:
        for i in range(n):
            id = ids[low + i]
            id = 0 if id < 0 else plan.ids - 1 if id >= plan.ids else id
            p, row = _floats(to + 4 * i * width, width), _floats(plan.table + 4 * id * width, width)
            for j in range(width):
                p[j] = row[j]
        return
    for i in range(n):
        x_1, x_i = _floats(plan.x + 4 * i * (D + 1), D + 1), x[low + i]
        for j in range(D):
            x_1[j] = x_i[j]
        x_1[D] = 1
    _product(plan.x, 4 * (D + 1), n, D + 1, plan.cut, plan.W_x, width, to)


@_compiled
def _lstm(plan, rows, h, at, n, p_at):
    """Gates g, f, i, o; a state row is [h | c]. See ``gates.LSTMKernel``."""
    H, P, width = plan.H, plan.padded, plan.width
    one, half = np.float32(1), np.float32(0.5)
    z, p = _floats(plan.z, n * width), _floats(p_at, n * width)
    for j in range(n * width):
        z[j] += p[j]
    _tanh(plan.tanh, plan.z, n * width)
    for i in range(n):
        gates = plan.z + 4 * i * width
        g, f, i_ = _floats(gates, H), _floats(gates + 4 * P, H), _floats(gates + 8 * P, H)
        c, t = _floats(rows[i] + 4 * H, H), _floats(plan.t + 4 * i * P, H)
        for j in range(H):
            c[j] = t[j] = c[j] * ((f[j] + one) * half) + g[j] * ((i_[j] + one) * half)
    _tanh(plan.tanh, plan.t, n * P)
    for i in range(n):
        o, t = _floats(plan.z + 4 * (i * width + 3 * P), H), _floats(plan.t + 4 * i * P, H)
        state, hidden = _floats(rows[i], H), h[at + i]
        for j in range(H):
            state[j] = hidden[j] = (o[j] + one) * half * t[j]


@_compiled
def _gru(plan, rows, h, at, n, p_at):
    """Gates r, z, n; r is twice the gate, and what it meets is half. See ``gates.GRUKernel``."""
    H, P = plan.H, plan.padded
    one, half = np.float32(1), np.float32(0.5)
    candidates = plan.t + 4 * n * 2 * P
    for i in range(n):
        gates = _floats(plan.t + 4 * i * 2 * P, 2 * P)
        z, p = (
            _floats(plan.z + 4 * i * plan.width_h, 2 * P),
            _floats(p_at + 4 * i * plan.width, 2 * P),
        )
        for j in range(2 * P):
            gates[j] = z[j] + p[j]
    _tanh(plan.tanh, plan.t, n * 2 * P)
    u_at, u_width = plan.z + 8 * P, plan.width_h
    if plan.kind == _GRU_BEFORE:
        for i in range(n):
            reset, r = _floats(plan.reset + 4 * i * P, H), _floats(plan.t + 4 * i * 2 * P, H)
            state = _floats(rows[i], H)
            for j in range(H):
                reset[j] = (r[j] + one) * state[j]
        _product(plan.reset, 4 * P, n, P, plan.cut, plan.W_n, plan.width_n, plan.z)
        u_at, u_width = plan.z, plan.width_n
    for i in range(n):
        new, r = _floats(candidates + 4 * i * P, P), _floats(plan.t + 4 * i * 2 * P, P)
        u, p = _floats(u_at + 4 * i * u_width, P), _floats(p_at + 4 * (i * plan.width + 2 * P), P)
        if plan.kind == _GRU_BEFORE:
            for j in range(P):
                new[j] = u[j] + p[j]
        elif plan.b_n != 0:
            b_n = _floats(plan.b_n, P)
            for j in range(P):
                new[j] = (u[j] + b_n[j]) * (r[j] + one) + p[j]
        else:
            for j in range(P):
                new[j] = u[j] * (r[j] + one) + p[j]
    _tanh(plan.tanh, candidates, n * P)
    for i in range(n):
        keep, new = _floats(plan.t + 4 * (2 * i + 1) * P, H), _floats(candidates + 4 * i * P, H)
        state, hidden = _floats(rows[i], H), h[at + i]
        for j in range(H):
            state[j] = hidden[j] = (state[j] - new[j]) * ((keep[j] + one) * half) + new[j]


@_compiled
def _rnn(plan, rows, h, at, n, p_at):
    """See ``gates.RNNKernel``."""
    width = plan.width
    z, p = _floats(plan.z, n * width), _floats(p_at, n * width)
    for j in range(n * width):
        z[j] += p[j]
        if plan.kind == _RELU and z[j] < 0:
            z[j] = 0
    if plan.kind == _TANH:
        _tanh(plan.tanh, plan.z, n * width)
    for i in range(n):
        new, state, hidden = (
            _floats(plan.z + 4 * i * width, plan.H),
            _floats(rows[i], plan.H),
            h[at + i],
        )
        for j in range(plan.H):
            state[j] = hidden[j] = new[j]


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
    for low in range(0, len(x), plan.tile):
        n = min(plan.tile, len(x) - low)
        _project(plan, x, none, low, n, to + 4 * low * plan.width)


@njit([types.void(_plans, _read, _ids, _states, _hidden, _table, _ids)], cache=True, nogil=True)
def _run(plans, x, ids, a, h, waves, places):
    """Steps waves.

    Args:
      plans: (1,) what is known of the cell.
      x, ids: (n, D) or (n,) inputs, those of the first wave first; the other one is empty.
      a: (R, S) states, advanced in place; the floats of a row are neighbours.
      h: (n, H) becomes the hidden vectors.
      waves: (W, 3) the first row, or -1 where ``places`` has the rows; how many; how many fresh.
      places: the fresh rows of the first wave, its rows, and so on.
    """
    plan = plans[0]
    P = plan.padded
    rows = np.empty(plan.tile, np.int64)  # the addresses of the states that step
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
                # The input half of few rows: together with that of the waves that follow.
                base, known = at, at + (n if n > MANY else min(plan.tile, len(h) - at))
                _project(plan, x, ids, base, known - base, plan.p)
            n = min(n, known - at)
            p = plan.p + 4 * (at - base) * plan.width
            for i in range(n):
                row = first + low + i if first >= 0 else places[place + i]
                rows[i] = a.ctypes.data + row * a.strides[0]
                state, before = _floats(rows[i], plan.H), _floats(plan.h + 4 * i * P, plan.H)
                for j in range(plan.H):
                    before[j] = state[j]
            if first < 0:
                place += n
            _product(plan.h, 4 * P, n, P, plan.cut, plan.W_h, plan.width_h, plan.z)
            if plan.kind == _LSTM:
                _lstm(plan, rows, h, at, n, p)
            elif plan.kind == _GRU or plan.kind == _GRU_BEFORE:
                _gru(plan, rows, h, at, n, p)
            else:
                _rnn(plan, rows, h, at, n, p)
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
        after = True
        if isinstance(kernel, GRUKernel):
            after = kernel.reset_after
            self.kind = _GRU if after else _GRU_BEFORE
        elif isinstance(kernel, RNNKernel):
            self.kind = _RELU if kernel.relu else _TANH
        else:
            self.kind = _LSTM
        self.H, self.input_size, self.cut = H, kernel.input_size, cut
        self.W_x = self._slabs(W_x)
        self.W_h = self._slabs(W_a if after else W_a[: 2 * H])
        self.W_n = None if after else self._slabs(W_a[2 * H :])
        b_n = getattr(kernel, "b_n", None)
        self.b_n = None if b_n is None else np.ascontiguousarray(b_n).ravel()
        self.tile = _ROWS
        self._threads = threading.local()

    def _slabs(self, W: Floats) -> Floats:
        """(G * H, K) -> (slabs, K, 16), each gate filled up to ``padded`` units."""
        G, K = len(W) // self.H, W.shape[1]
        some = -(-G * self.padded // (_LANES * _SLABS)) * _SLABS
        wide = np.zeros((some * _LANES, K), np.float32)
        wide[: G * self.padded].reshape(G, self.padded, K)[:, : self.H] = W.reshape(G, self.H, K)
        slabs = _aligned(some, K, _LANES)
        slabs[...] = wide.reshape(some, _LANES, K).transpose(0, 2, 1)
        return slabs

    @staticmethod
    def _width(slabs: Floats | None) -> int:
        return 0 if slabs is None else len(slabs) * _LANES

    def _plan(self) -> NDArray[Any]:
        """What this thread steps with: scratch of its own."""
        plan: NDArray[Any] | None = getattr(self._threads, "plan", None)
        if plan is not None:
            return plan
        widths = [self._width(W) for W in (self.W_x, self.W_h, self.W_n)]
        arrays = {"W_x": self.W_x, "W_h": self.W_h, "W_n": self.W_n, "b_n": self.b_n}
        scratch = {
            "x": self.input_size + 1,
            "p": widths[0],
            "h": self.padded,
            "z": max(widths),
            "t": 3 * self.padded,
            "reset": self.padded,
        }
        arrays |= {name: _aligned(self.tile, width) for name, width in scratch.items()}
        plan = np.zeros(1, _PLAN)
        for name, array in arrays.items():
            plan[name] = 0 if array is None else array.ctypes.data
        plan["kind"], plan["H"], plan["padded"] = self.kind, self.H, self.padded
        plan["D"], plan["tile"], plan["cut"] = self.input_size, self.tile, self.cut
        plan["tanh"] = _TANH_LOOP
        plan["width"], plan["width_h"], plan["width_n"] = widths
        self._threads.plan, self._threads.arrays, self._threads.table = plan, arrays, None
        return plan

    def project(self, x: NDArray[Any]) -> Floats:
        """The half of the pre-activation that does not need a: (n, D) -> (1, n, width)."""
        p = np.empty((1, len(x), self._width(self.W_x)), np.float32)
        _project_all(self._plan(), np.ascontiguousarray(x, np.float32), p.ctypes.data)
        return p

    def step(
        self, x: NDArray[Any], a: Floats, table: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """One step of n rows: h (n, H) and the new states (n, S)."""
        after = a.copy()
        h = np.empty((len(a), self.H), np.float32)
        self._call(x, after, h, _wave(len(a)), _NO_IDS, table)
        return h, after

    def run_waves(
        self, x: NDArray[Any], a: Floats, waves: Sequence[Wave], table: Floats | None = None
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
        self._call(x, a, h, schedule, at, table)
        return h

    def _call(
        self,
        x: NDArray[Any],
        a: Floats,
        h: Floats,
        waves: Ints,
        places: Ints,
        table: Floats | None,
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
            _run(plan, x, _NO_IDS, a, h, waves, places)
        else:
            _run(plan, _NO_X, np.ascontiguousarray(x, np.int64), a, h, waves, places)


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

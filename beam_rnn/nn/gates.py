"""The equations of RNN, GRU and LSTM on blocks of rows.

A step is a function made once for each number of rows: what it works on are names of its own,
since to look up ten attributes takes as long as to multiply a vector.
"""

from __future__ import annotations

import numpy as np
from numpy import add, maximum, multiply, subtract, tanh

from beam_rnn.nn import kernels
from beam_rnn.nn.parameters import Floats
from beam_rnn.nn.rows import Rows, Scratch, Step, destination
from beam_rnn.nn.stepping import Kernel

# 0-d arrays: with a Python number a call takes twice as long (0.7 us, not 0.4).
_ZERO = np.array(0, np.float32)
_ONE = np.array(1, np.float32)
_HALF = np.array(0.5, np.float32)


def _halved(W: Floats, rows: slice) -> Floats:
    """Scales ``rows`` by 1/2 (exact): sigmoid(z) = (1 + tanh(z / 2)) / 2."""
    W = W.copy()
    W[rows] *= 0.5
    return W


class RNNKernel(Kernel):
    """g(W_a h + p) with g tanh or relu."""

    few = kernels.FEW

    def __init__(self, W_x: Floats, W_a: Floats, b: Floats, activation: str) -> None:
        super().__init__(W_x, W_a, b)
        self.relu = activation == "relu"

    def make_step(self, rows: Rows, scratch: Scratch) -> Step:
        multiply_h, z, z_rows, gates = rows.multiply, rows.z, rows.z_rows, rows.gates
        relu, single = self.relu, rows.n == 1

        def step(h: Floats, p: Floats, out: Floats) -> None:
            multiply_h(h, z)
            add(z_rows, p, gates)
            if relu:
                maximum(gates, _ZERO, out=out)
            elif single:
                tanh(gates, out)
            else:
                tanh(gates, gates)
                out[...] = gates  # ufuncs into strided arrays cost more than this copy

        return step


class LSTMKernel(Kernel):
    """Gates g, f, i, o with one tanh over all four; the state row is [h | c]."""

    states = 2
    loads = stores = True
    few = 4

    def __init__(self, W_x: Floats, W_a: Floats, b: Floats) -> None:
        H = W_a.shape[1]
        order = np.r_[2 * H : 3 * H, H : 2 * H, 0:H, 3 * H : 4 * H]  # i,f,g,o -> g,f,i,o
        super().__init__(*(_halved(w[order], slice(H, None)) for w in (W_x, W_a, b)))

    def make_step(self, rows: Rows, scratch: Scratch) -> Step:
        multiply_h, z, z_rows, single = rows.multiply, rows.z, rows.z_rows, rows.n == 1
        Hb, gates, c, (g, f, i, o) = self.blocks, rows.gates, rows.kept, rows.gate
        f_i_o, f_i, c_g = gates[Hb:], gates[Hb : 3 * Hb], rows.together[: 2 * Hb]

        def step(h: Floats, p: Floats, out: Floats) -> None:
            multiply_h(h, z)
            add(z_rows, p, gates)
            tanh(gates, gates)
            add(f_i_o, _ONE, f_i_o)
            multiply(f_i_o, _HALF, f_i_o)  # the sigmoids
            multiply(c_g, f_i, f_i)  # f c and i g in one
            add(f, i, c)
            tanh(c, g)
            if single:
                multiply(o, g, out)
            else:
                multiply(o, g, o)
                out[...] = o  # cheaper than a product into strided memory

        return step


class GRUKernel(Kernel):
    """Gates r, z, n, the reset after the hidden product (PyTorch, Keras) or before it (Haiku)."""

    loads = True
    few = 1  # three ufuncs read products: rows that are not in blocks cost more than they save

    def __init__(
        self, W_x: Floats, W_a: Floats, b: Floats, b_n: Floats | None, reset_after: bool
    ) -> None:
        H = W_a.shape[1]
        self.reset_after = reset_after
        # Twice the reset gate times half the hidden side of n: one factor less in each step.
        gates = slice(2 * H)
        super().__init__(_halved(W_x, gates), _halved(W_a, slice(None)), _halved(b, gates))
        self.b_n = None if b_n is None else self._in_blocks(0.5 * b_n[:, None]).transpose(0, 2, 1)

    def _hidden(self, W_a: Floats) -> kernels.Product:
        if self.reset_after:
            return super()._hidden(W_a)
        self.hidden_n = super()._hidden(W_a[2 * self.H :])
        return super()._hidden(W_a[: 2 * self.H])

    def make_step(self, rows: Rows, scratch: Scratch) -> Step:
        Hb, nb, n = self.blocks, self.nb, rows.n
        split, single = 2 * Hb, n == 1
        multiply_h, z_pairs, z_rows = rows.multiply, rows.z, rows.z_rows[:split]
        rz, (r, z, candidate) = rows.gates[:split], rows.gate
        p_rows, p_rows_rz, p_rows_n = rows.p_rows, rows.p_rows[:split], rows.p_rows[split:]
        reset_after, with_b_n = self.reset_after, self.b_n is not None
        if reset_after:
            u = rows.z_rows[split:]
        else:
            u_pairs, u, multiply_n = destination(self.hidden_n, n, candidate, 1, scratch)
            reset = scratch.take(n + n % 2, self.padded)
            reset_blocks = reset[:n].reshape(n, Hb, nb).transpose(1, 0, 2)
            rows.constants.append((reset[n:], _ZERO))
        if self.b_n is not None:
            # Spread over all rows: adding it with a step of zero would take three times as long.
            b_n = scratch.take(Hb, n, nb)
            rows.constants.append((b_n, self.b_n))

        def step(h: Floats, p: Floats, out: Floats) -> None:
            before = rows.before
            p_rz, p_n = (p_rows_rz, p_rows_n) if p is p_rows else (p[:split], p[split:])
            multiply_h(h, z_pairs)
            add(z_rows, p_rz, rz)
            tanh(rz, rz)
            add(rz, _ONE, rz)  # twice the gates
            if not reset_after:
                multiply(r, before, r)
                reset_blocks[...] = r
                multiply_n(reset, u_pairs)
                add(u, p_n, candidate)
            else:
                if with_b_n:
                    add(u, b_n, candidate)
                    multiply(candidate, r, candidate)
                else:
                    multiply(u, r, candidate)
                add(candidate, p_n, candidate)
            tanh(candidate, candidate)
            multiply(z, _HALF, z)
            subtract(before, candidate, r)  # h' = n + z (h - n)
            multiply(r, z, r)
            if single:
                add(r, candidate, out)
                rows.before = out
            else:
                add(r, candidate, before)
                out[...] = before

        return step

"""The equations of RNN, GRU and LSTM on blocks of rows."""

from __future__ import annotations

import numpy as np

from beam_rnn.nn import kernels
from beam_rnn.nn.parameters import Floats
from beam_rnn.nn.stepping import Kernel, Rows, Scratch, destination

# 0-d arrays: with a Python number a call takes twice as long (0.7 us, not 0.4).
_ONE = np.array(1, np.float32)
_HALF = np.array(0.5, np.float32)


def _halved(W: Floats, rows: int) -> Floats:
    """Scales the first ``rows`` rows by 1/2 (exact): sigmoid(z) = (1 + tanh(z / 2)) / 2."""
    W = W.copy()
    W[:rows] *= 0.5
    return W


class RNNKernel(Kernel):
    """g(W_a h + p) with g tanh or relu."""

    def __init__(self, W_x: Floats, W_a: Floats, b: Floats, activation: str) -> None:
        super().__init__(W_x, W_a, b)
        self.relu = activation == "relu"

    def _make_rows(self, n: int, scratch: Scratch) -> Rows:
        return _RNNRows(self, n, scratch)


class _RNNRows(Rows):
    def __init__(self, kernel: RNNKernel, n: int, scratch: Scratch) -> None:
        super().__init__(kernel, n, scratch)
        self.relu = kernel.relu

    def step(self, h: Floats, p: Floats, out: Floats) -> None:
        gates = self.gates
        self.multiply(h, self.z)
        np.add(self.z_rows, p, gates)
        if self.relu:
            np.maximum(gates, 0, out=out)
        elif self.n == 1:
            np.tanh(gates, out)
        else:
            np.tanh(gates, gates)
            np.copyto(out, gates)  # ufuncs into strided arrays cost more than this copy


class LSTMKernel(Kernel):
    """Gates i, f, o, g with one tanh over all four; the state row is [h | c]."""

    states = 2

    def __init__(self, W_x: Floats, W_a: Floats, b: Floats) -> None:
        H = W_a.shape[1]
        order = np.r_[0 : 2 * H, 3 * H : 4 * H, 2 * H : 3 * H]  # i,f,g,o -> i,f,o,g
        super().__init__(*(_halved(w[order], 3 * H) for w in (W_x, W_a, b)))

    def _make_rows(self, n: int, scratch: Scratch) -> Rows:
        return _LSTMRows(self, n, scratch)


class _LSTMRows(Rows):
    def __init__(self, kernel: LSTMKernel, n: int, scratch: Scratch) -> None:
        super().__init__(kernel, n, scratch, more=1)
        Hb = kernel.blocks
        i, f, o, g, c = self.gate
        self.loads = self.stores = [(self.more_blocks, c)]
        i_f, g_c = self.gates_and_more[: 2 * Hb], self.gates_and_more[3 * Hb :]
        self.views = (
            self.z, self.z_rows, self.gates, self.gates[: 3 * Hb], i_f, g_c, i, f, o, g, c,
        )  # fmt: skip

    def step(self, h: Floats, p: Floats, out: Floats) -> None:
        z, z_rows, gates, ifo, i_f, g_c, i, f, o, g, c = self.views
        self.multiply(h, z)
        np.add(z_rows, p, gates)
        np.tanh(gates, gates)
        np.add(ifo, _ONE, ifo)
        np.multiply(ifo, _HALF, ifo)  # the sigmoids
        np.multiply(i_f, g_c, i_f)  # i g and f c in one
        np.add(i, f, c)
        np.tanh(c, g)
        if self.n == 1:
            np.multiply(o, g, out)
        else:
            np.multiply(o, g, o)
            np.copyto(out, o)  # cheaper than a product into strided memory


class GRUKernel(Kernel):
    """Gates r, z, n, the reset after the hidden product (PyTorch, Keras) or before it (Haiku)."""

    few = (
        1  # three of its ufuncs read products: rows that are not in blocks cost more than they save
    )

    def __init__(
        self, W_x: Floats, W_a: Floats, b: Floats, b_n: Floats | None, reset_after: bool
    ) -> None:
        H = W_a.shape[1]
        self.reset_after = reset_after
        # Twice the reset gate times half the hidden side of n: one factor less in each step.
        W_a = _halved(W_a, 3 * H)
        super().__init__(_halved(W_x, 2 * H), W_a, _halved(b, 2 * H))
        self.b_n = None if b_n is None else self._in_blocks(0.5 * b_n[:, None])

    def _hidden(self, W_a: Floats) -> kernels.Product:
        if self.reset_after:
            return super()._hidden(W_a)
        self.hidden_n = super()._hidden(W_a[2 * self.H :])
        return super()._hidden(W_a[: 2 * self.H])

    def _make_rows(self, n: int, scratch: Scratch) -> Rows:
        return _GRURows(self, n, scratch)


class _GRURows(Rows):
    def __init__(self, kernel: GRUKernel, n: int, scratch: Scratch) -> None:
        super().__init__(kernel, n, scratch, 3 if kernel.reset_after else 2)
        Hb, nb = kernel.blocks, kernel.nb
        self.b_n = None
        if kernel.b_n is not None:
            # Spread over all rows: adding it with a step of zero would take three times as long.
            self.b_n = scratch.take(Hb, n, nb)
            self.b_n_once = kernel.b_n.transpose(0, 2, 1)
        a = self.h_blocks
        if not a.flags.c_contiguous:
            a = scratch.take(Hb, n, nb)
            self.loads = [(self.h_blocks, a)]
        rz = self.gates[: 2 * Hb]
        r, z = self.gate[:2]
        self.views = self.z_rows[: 2 * Hb], rz, r, z, a
        if kernel.reset_after:
            self.u, self.candidate = self.z_rows[2 * Hb :], self.gate[2]
        else:
            self.candidate = scratch.take(Hb, n, nb)
            self.u_pairs, self.u, self.multiply_n = destination(
                kernel.hidden_n, n, self.candidate, 1, scratch
            )
            self.reset = scratch.take(n + n % 2, kernel.padded)
            self.reset_blocks = self.reset[:n].reshape(n, Hb, nb).transpose(1, 0, 2)
        self.reset_after = kernel.reset_after
        self.split = 2 * Hb

    def wake(self) -> None:
        super().wake()
        if self.b_n is not None:
            self.b_n[:] = self.b_n_once
        if not self.reset_after:
            self.reset[self.n :] = 0

    def step(self, h: Floats, p: Floats, out: Floats) -> None:
        z_rows, rz, r, z, a = self.views
        n, u, split = self.candidate, self.u, self.split
        self.multiply(h, self.z)
        np.add(z_rows, p[:split], rz)
        np.tanh(rz, rz)
        np.add(rz, _ONE, rz)  # twice the gates
        if self.reset_after:
            if self.b_n is not None:
                np.add(u, self.b_n, n)
                u = n
            np.multiply(u, r, n)
        else:
            np.multiply(r, a, r)
            np.copyto(self.reset_blocks, r)
            self.multiply_n(self.reset, self.u_pairs)
            if u is not n:
                np.copyto(n, u)
        np.add(n, p[split:], n)
        np.tanh(n, n)
        np.multiply(z, _HALF, z)
        np.subtract(a, n, a)  # h' = n + z (h - n)
        np.multiply(a, z, a)
        np.add(a, n, a)
        if out is not a:
            np.copyto(out, a)

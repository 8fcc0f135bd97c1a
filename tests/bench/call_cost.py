# SPDX-License-Identifier: Apache-2.0
"""What a call from Python costs: a prepared call with nothing to compute, through ctypes, next to an empty Python call."""
import statistics
import timeit

import numpy as np

import tenon


def nanoseconds(call, number=20000, rounds=15):
    return statistics.median(timeit.repeat(call, number=number, repeat=rounds)) / number * 1e9


def main():
    a, w, out = np.empty((0, 64), np.float32), np.ones((8, 64), np.float32), np.empty((0, 8), np.float32)
    plan = tenon.plan("matmul", a=a, w=w, out=out)
    prepared = plan.prepare(a=a, w=w, out=out)
    print(f"prepared call from Python {nanoseconds(prepared):8.1f} ns   (an empty Python function: {nanoseconds(lambda: None):.1f} ns)")
    print(f"plan.run(..) with tensors {nanoseconds(lambda: plan.run(a=a, w=w, out=out), number=2000):8.1f} ns")


if __name__ == "__main__":
    main()

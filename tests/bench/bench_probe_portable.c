/* SPDX-License-Identifier: Apache-2.0 */
/* For CPUs without probes of their own: whatever the compiler makes of 16-byte vectors. */
#include <stddef.h>
#define WIDTH_BYTES      16
#define PROBE            bench_probe_portable
#define MAC_F32(a, x, y) ((a) + (x) * (y))
#include "bench_probe.inl"

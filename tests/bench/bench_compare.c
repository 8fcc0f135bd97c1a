/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Visits each element of a strided tensor: fn gets its index in memory. */
static int64_t offset_of(const bench_tensor *t, int64_t i) {
    int64_t offset = 0;
    for (int32_t d = t->view.ndim - 1; d >= 0; d--)
        offset += i % t->shape[d] * t->strides[d], i /= t->shape[d];
    return offset;
}

static bool is_real(const bench_tensor *t) {
    return t->view.dtype.code == kDLFloat || t->view.dtype.code == kDLBfloat;
}

static void compare_real(const bench_tensor *a, const bench_tensor *b, bench_difference *out) {
    double error = 0, power = 0, largest = 0;
    int64_t n = bench_count(b), finite = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = offset_of(b, i);
        double x = bench_load(a->view.dtype, bench_data(a), at),
               y = bench_load(b->view.dtype, bench_data(b), at);
        if (!isfinite(y)) { /* the same infinity, or NaN in both */
            if (!(x == y || (isnan(x) && isnan(y)))) out->mismatches++;
            continue;
        }
        finite++;
        double d = isfinite(x) ? x - y : INFINITY;
        error += d * d, power += y * y;
        if (fabs(d) > largest) largest = fabs(d);
    }
    out->elements += n;
    if (n && (!finite || power == 0)) out->mistrusted = error == 0;
    double nmse = power > 0 ? error / power : error > 0 ? INFINITY : 0;
    if (nmse >= out->nmse) {
        out->nmse = nmse;
        out->largest = finite && power > 0 ? largest / sqrt(power / (double)finite) : largest;
        snprintf(out->where, sizeof out->where, "%s", b->info->name);
    }
}

static void compare_codes(const bench_tensor *a, const bench_tensor *b, bench_difference *out) {
    int64_t n = bench_count(b), bits = b->view.dtype.bits, before = out->mismatches;
    if (bits < 8) { /* packed: bytes */
        for (size_t i = 0; i < b->bytes; i++)
            out->mismatches +=
                ((const uint8_t *)bench_data(a))[i] != ((const uint8_t *)bench_data(b))[i];
    } else {
        for (int64_t i = 0; i < n; i++) {
            int64_t at = offset_of(b, i) * bits / 8;
            out->mismatches += memcmp((const char *)bench_data(a) + at,
                                      (const char *)bench_data(b) + at, (size_t)bits / 8) != 0;
        }
    }
    out->elements += n;
    if (out->mismatches > before) snprintf(out->where, sizeof out->where, "%s", b->info->name);
}

void bench_compare(const bench_problem *problem, const bench_problem *reference,
                   bench_difference *out) {
    memset(out, 0, sizeof *out);
    for (int32_t i = 0; i < reference->n_tensors; i++) {
        const bench_tensor *a = &problem->tensor[i], *b = &reference->tensor[i];
        if (!b->written || bench_count(b) == 0) continue;
        if (is_real(b))
            compare_real(a, b, out);
        else
            compare_codes(a, b, out);
    }
}

bool bench_same_bits(const bench_problem *a, const bench_problem *b, const char **where) {
    for (int32_t i = 0; i < a->n_tensors; i++)
        if (a->tensor[i].written &&
            memcmp(bench_data(&a->tensor[i]), bench_data(&b->tensor[i]), a->tensor[i].bytes)) {
            *where = a->tensor[i].info->name;
            return false;
        }
    return true;
}

bool bench_within_tolerance(const bench_problem *problem, uint32_t traits,
                            const bench_difference *d) {
    const char *op = problem->info->name;
    bool quantizes = !strcmp(op, "quantize") || !strcmp(op, "kv_append") ||
                     !strcmp(op, "mla_append") || !strcmp(op, "moe_dispatch");
    /* A float kernel's scale may differ from the double reference's in its last bit, which moves a
     * value that lies on a rounding boundary to the neighbouring code: one in a thousand is the
     * most that a correct kernel shows. */
    int64_t codes_allowed = quantizes ? d->elements / 1000 : 0;
    double nmse = 1e-5; /* bf16 products and outputs: 2^-9 relative each, squared and averaged */
    /* int8 activations, one scale per 32 values: step amax/127, error variance step^2/12, amax up
     * to ~3 RMS: (3/127)^2/12 = 4.6e-5 of the signal for each operand; a chain of two matmuls sees
     * it twice. */
    if (traits & TENON_TRAIT_INT8_ACTIVATIONS) nmse = !strcmp(op, "moe") ? 4e-4 : 2e-4;
    return d->mismatches <= codes_allowed && d->nmse <= nmse;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One expert on one row, in double: what moe_matmul and moe are written with. */
#ifndef TENON_REF_EXPERT_H
#define TENON_REF_EXPERT_H

#include "ref_activation.h"
#include "ref_tensor.h"
#include "kept_blob.h"

/* The view of a weight of known extents; experts is 1 for a weight without that dimension. A blob
 * could be another one than the plan's. */
static inline int32_t tenon_ref_expert_view(const DLTensor *w, const tenon_quant *quant,
                                            int64_t experts, int64_t n, int64_t k,
                                            tenon_weight_view *view, tenon_reason *why) {
    int32_t status = tenon_kept_weight_view(w, quant, view, why);
    if (status || (view->experts == experts && view->n == n && view->k == k)) return status;
    tenon_decline(why, "the weights are [%lld, n=%lld, k=%lld], not [%lld, n=%lld, k=%lld]",
                  (long long)view->experts, (long long)view->n, (long long)view->k,
                  (long long)experts, (long long)n, (long long)k);
    return TENON_STATUS_INVALID_ARGUMENT;
}

/* sum_i x[i] * w[row, i] */
static inline double tenon_ref_dot(const tenon_weight_view *w, int64_t row, const double *x) {
    double sum = 0, values[128];
    for (int64_t i = 0; i < w->k; i += 128) {
        int64_t count = w->k - i < 128 ? w->k - i : 128;
        tenon_weight_decode_f64(w, row, i, count, values);
        for (int64_t j = 0; j < count; j++) sum += x[i + j] * values[j];
    }
    return sum;
}

typedef struct tenon_ref_expert {
    tenon_weight_view w;  /* of this expert */
    const DLTensor *bias; /* [local, n], or NULL */
    int64_t expert;
    int32_t activation, gate_layout;
    double alpha, limit;
} tenon_ref_expert;

static inline int64_t tenon_ref_expert_outputs(const tenon_ref_expert *e) {
    return tenon_activation_is_gated(e->activation) ? e->w.n / 2 : e->w.n;
}

static inline double tenon_ref_expert_sum(const tenon_ref_expert *e, int64_t row, const double *x) {
    return tenon_ref_dot(&e->w, row, x) + (e->bias ? tenon_ref_load2(e->bias, e->expert, row) : 0);
}

/* Output j of activation(w . x + bias). */
static inline double tenon_ref_expert_output(const tenon_ref_expert *e, int64_t j,
                                             const double *x) {
    if (!tenon_activation_is_gated(e->activation))
        return tenon_ref_activation(e->activation, e->alpha, e->limit,
                                    tenon_ref_expert_sum(e, j, x), 0);
    double g = tenon_ref_expert_sum(e, tenon_gate_row(e->gate_layout, e->w.n, j), x);
    double u = tenon_ref_expert_sum(e, tenon_up_row(e->gate_layout, e->w.n, j), x);
    return tenon_ref_activation(e->activation, e->alpha, e->limit, g, u);
}

#endif /* TENON_REF_EXPERT_H */

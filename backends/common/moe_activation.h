/* SPDX-License-Identifier: Apache-2.0 */
/* Facts about activations that every backend asks: halves or none, which rows are gate and up, the
 * defaults. */
#ifndef TENON_MOE_ACTIVATION_H
#define TENON_MOE_ACTIVATION_H

#include <stdint.h>

#include "tenon_base.h"

static inline int tenon_activation_is_gated(int32_t activation) {
    return activation >= TENON_ACTIVATION_SILU_GATED && activation <= TENON_ACTIVATION_SWIGLU_OAI;
}

/* The two activations that clamp; for the others a limit is an error. */
static inline int tenon_activation_has_limit(int32_t activation) {
    return activation == TENON_ACTIVATION_SILU_GATED || activation == TENON_ACTIVATION_SWIGLU_OAI;
}

static inline float tenon_activation_alpha(float alpha) {
    return alpha == 0 ? 1.702f : alpha;
}

/* Rows of the weight (and entries of its bias) that make output j of n / 2. */
static inline int64_t tenon_gate_row(int32_t gate_layout, int64_t n, int64_t j) {
    return gate_layout == TENON_GATE_LAYOUT_INTERLEAVED ? 2 * j
           : gate_layout == TENON_GATE_LAYOUT_UP_GATE   ? n / 2 + j
                                                        : j;
}
static inline int64_t tenon_up_row(int32_t gate_layout, int64_t n, int64_t j) {
    return gate_layout == TENON_GATE_LAYOUT_INTERLEAVED ? 2 * j + 1
           : gate_layout == TENON_GATE_LAYOUT_UP_GATE   ? j
                                                        : n / 2 + j;
}

#endif /* TENON_MOE_ACTIVATION_H */

/* SPDX-License-Identifier: Apache-2.0 */
/* The activation between the two matmuls of an expert, as abi/tenon_base.h writes it. */
#ifndef TENON_REF_ACTIVATION_H
#define TENON_REF_ACTIVATION_H

#include <math.h>

#include "moe_activation.h"
#include "tenon_base.h"

static inline double tenon_ref_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static inline double tenon_ref_gelu(double x) {
    return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
}
static inline double tenon_ref_gelu_tanh(double x) {
    return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}

/* A NaN stays one: fmin and fmax would drop it. */
static inline double tenon_ref_clamp(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

/* g, u: the halves of a gated activation; the others take g alone. limit 0: no clamp. */
static inline double tenon_ref_activation(int32_t activation, double alpha, double limit, double g,
                                          double u) {
    if (limit > 0) {
        g = g > limit ? limit : g;
        u = tenon_ref_clamp(u, -limit, limit);
    }
    switch (activation) {
    case TENON_ACTIVATION_SILU_GATED:
        return g * tenon_ref_sigmoid(g) * u;
    case TENON_ACTIVATION_GELU_GATED:
        return tenon_ref_gelu(g) * u;
    case TENON_ACTIVATION_GELU_TANH_GATED:
        return tenon_ref_gelu_tanh(g) * u;
    case TENON_ACTIVATION_SWIGLU_OAI:
        return g * tenon_ref_sigmoid(alpha * g) * (u + 1);
    case TENON_ACTIVATION_SILU:
        return g * tenon_ref_sigmoid(g);
    case TENON_ACTIVATION_GELU:
        return tenon_ref_gelu(g);
    case TENON_ACTIVATION_RELU2:
        return g > 0 ? g * g : g != g ? g : 0;
    default:
        return g;
    }
}

#endif /* TENON_REF_ACTIVATION_H */

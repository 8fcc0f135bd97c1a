/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "quantize_arguments.h"
#include "quantize_launch.h"
#include "gpu_launch.h"
#include "weight_view.h"

enum { LANES_BY_8, LANES_BY_4, LANES_BY_2, LANES_BY_1, BLOCK_BY_8, BLOCK_BY_4, BLOCK_BY_1 };
static const char *const symbols[] = {
    "quantize_lanes_by_8", "quantize_lanes_by_4", "quantize_lanes_by_2", "quantize_lanes_by_1",
    "quantize_block_by_8", "quantize_block_by_4", "quantize_block_by_1", NULL};

/* Spans of more columns are the work of a whole workgroup. */
enum { LANES_SPAN_COLS = 512 };

const char *tenon_gpu_quantize_declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_quantize_args *a = problem->args;
    const tenon_quant *quant = a->q_quant;
    tenon_weight_view q;
    if (tenon_activation_view_from(a->q, quant, &q, reason)) return reason->text;
    const bool fp8 = q.number >= TENON_NUMBER_E4M3FN && q.number <= TENON_NUMBER_E5M2FNUZ;
    if (!fp8 && q.number != TENON_NUMBER_I8 && q.number != TENON_NUMBER_E2M1)
        return tenon_decline(reason, "elements are %s, spans take fp8, i8 and e2m1",
                             tenon_number_name(q.number));
    if (quant->format == TENON_FORMAT_NVFP4 || quant->zero_point)
        return tenon_decline(reason, "%s",
                             quant->zero_point ? "a zero point is asked for"
                                               : "NVFP4 has scales of two levels");
    if (q.group_rows != 1 || q.scale_swizzled ||
        (q.scale.number != TENON_NUMBER_F32 && q.scale.number != TENON_NUMBER_E8M0))
        return tenon_decline(reason,
                             "group_rows=%lld with scales of %s%s; a span has one f32 or e8m0 "
                             "scale for columns of one row",
                             (long long)q.group_rows, tenon_number_name(q.scale.number),
                             q.scale_swizzled ? ", swizzled" : "");
    if (q.k_stride != 1)
        return tenon_decline(reason, "elements of q are %lld apart", (long long)q.k_stride);
    if (q.number == TENON_NUMBER_E2M1 && q.group_cols % 2)
        return tenon_decline(reason, "group_cols=%lld: a byte would belong to two groups",
                             (long long)q.group_cols);
    if (q.n * q.col_groups > INT32_MAX || q.k > INT32_MAX)
        return tenon_decline(reason, "%lld spans of %lld columns, beyond 32 bits",
                             (long long)(q.n * q.col_groups), (long long)q.group_cols);
    return NULL;
}

static int e_max_of(tenon_number number) {
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        return TENON_MX_E4M3FN.emax;
    case TENON_NUMBER_E4M3FNUZ:
        return TENON_MX_E4M3FNUZ.emax;
    case TENON_NUMBER_E2M1:
        return TENON_MX_E2M1.emax;
    default:
        return TENON_MX_E5M2.emax;
    }
}
static float max_of(tenon_number number) {
    switch (number) {
    case TENON_NUMBER_E4M3FN:
        return TENON_E4M3FN_MAX;
    case TENON_NUMBER_E4M3FNUZ:
        return TENON_E4M3FNUZ_MAX;
    case TENON_NUMBER_E2M1:
        return TENON_E2M1_MAX;
    case TENON_NUMBER_I8:
        return 127;
    default:
        return TENON_E5M2_MAX;
    }
}

/* The rule for a power of two as bounds of m, exact: with c = element_max / 2^e_max, CEIL goes up
 * where m > c, NEAREST goes up where m^2 >= 2 c^2 and down where m^2 < c^2 / 2. */
static void set_power_of_two_rule(quantize_arguments *k, int32_t rule, tenon_number number) {
    const double c = ldexp((double)k->element_max, -e_max_of(number));
    k->e_max = e_max_of(number);
    k->m_up = INFINITY;
    k->m_down = 0;
    if (rule == TENON_SCALE_ROUNDING_EVEN)
        k->even_bit =
            1u << (22 - (number == TENON_NUMBER_E2M1                                        ? 1
                         : number == TENON_NUMBER_E4M3FN || number == TENON_NUMBER_E4M3FNUZ ? 3
                                                                                            : 2));
    if (rule == TENON_SCALE_ROUNDING_CEIL) k->m_up = nextafterf((float)c, INFINITY);
    if (rule == TENON_SCALE_ROUNDING_NEAREST) {
        k->m_up = (float)(c * sqrt(2.0));
        while ((double)k->m_up * (double)k->m_up >= 2 * c * c) k->m_up = nextafterf(k->m_up, 0);
        while ((double)k->m_up * (double)k->m_up < 2 * c * c)
            k->m_up = nextafterf(k->m_up, INFINITY);
        k->m_down = (float)(c / sqrt(2.0));
        while (2 * (double)k->m_down * (double)k->m_down >= c * c)
            k->m_down = nextafterf(k->m_down, 0);
        while (2 * (double)k->m_down * (double)k->m_down < c * c)
            k->m_down = nextafterf(k->m_down, INFINITY);
    }
}

int32_t tenon_gpu_quantize_plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_gpu_load(p, "quantize", symbols, error);
}

/* Largest power of two that is not above the limit, as a code. */
static uint32_t code_limit_of(float limit) {
    int exponent;
    if (!(limit > 0)) return 255;
    frexp((double)limit, &exponent);
    const int code = exponent - 1 + TENON_F32_EXP_OFFSET;
    return code < 0 ? 0 : code > 254 ? 254 : (uint32_t)code;
}

int32_t tenon_gpu_quantize_run(const tenon_kernel_plan *p, const void *args, tenon_error *error) {
    const tenon_quantize_args *a = args;
    const tenon_quant *quant = a->q_quant;
    tenon_weight_view q;
    tenon_reason reason;
    const int32_t status = tenon_activation_view_from(a->q, quant, &q, &reason);
    if (status)
        return tenon_fail(error, status, TENON_OP_QUANTIZE, -1, "quantize: q: %s", reason.text);
    if (!q.n || !q.k) return TENON_OK;
    quantize_arguments k = {
        .x = tenon_data(a->x),
        .q = (void *)(uintptr_t)q.data,
        .scale = (void *)(uintptr_t)q.scale.data,
        .x_row = a->x->strides[0],
        .q_row_bytes = q.n_stride,
        .scale_row = q.scale.row_stride,
        .scale_col = q.scale.col_stride,
        .n_spans = (uint32_t)(q.n * q.col_groups),
        .row_spans = (uint32_t)q.col_groups,
        .cols = (uint32_t)q.k,
        .span_cols = (uint32_t)(q.group_cols < q.k ? q.group_cols : q.k),
        .x_number = (uint32_t)tenon_number_of(a->x->dtype),
        .number = (uint32_t)q.number,
        .element_max = a->element_max > 0 ? a->element_max : max_of(q.number),
        .amax_floor = a->amax_floor,
        .scale_limit = a->scale_limit > 0 ? a->scale_limit : INFINITY,
        .static_scale = (quant->flags & TENON_QUANT_STATIC_SCALE) != 0,
        .nan_in_elements = q.number >= TENON_NUMBER_E4M3FN && q.number <= TENON_NUMBER_E5M2FNUZ,
        .is_integer = q.number == TENON_NUMBER_I8,
        .clamp = q.number != TENON_NUMBER_I8 || a->element_max > 0,
        .power_of_two = q.scale.number == TENON_NUMBER_E8M0,
        .code_limit = code_limit_of(a->scale_limit),
    };
    set_power_of_two_rule(&k, quant->scale_rounding, q.number);
    const uint32_t wide = k.x_number == TENON_NUMBER_F32 ? 4 : 8;
    const bool aligned = tenon_gpu_rows_aligned(a->x) && k.span_cols % wide == 0 &&
                         k.cols % wide == 0 && (uintptr_t)k.q % 8 == 0 && k.q_row_bytes % 8 == 0;
    const uint32_t piece = aligned ? wide : q.number == TENON_NUMBER_E2M1 ? 2 : 1;
    const bool by_block = k.span_cols > LANES_SPAN_COLS && piece != 2;
    k.span_lanes = tenon_gpu_group_lanes(k.span_cols, piece, 32);
    const uint32_t function = piece == 8   ? by_block ? BLOCK_BY_8 : LANES_BY_8
                              : piece == 4 ? by_block ? BLOCK_BY_4 : LANES_BY_4
                              : piece == 2 ? LANES_BY_2
                              : by_block   ? BLOCK_BY_1
                                           : LANES_BY_1;
    return tenon_gpu_launch(
        p, function,
        (tenon_gpu_grid){.blocks = by_block ? k.n_spans
                                            : tenon_gpu_blocks((uint64_t)k.n_spans * k.span_lanes,
                                                               QUANTIZE_BLOCK_LANES),
                         .block_lanes = QUANTIZE_BLOCK_LANES},
        a->stream, &k, error);
}

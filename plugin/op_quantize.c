/* SPDX-License-Identifier: Apache-2.0 */
#include "op_check.h"
#include "weight_view.h"

static bool can_quantize_to(int32_t format) {
    return format == TENON_FORMAT_FP8 || format == TENON_FORMAT_INT8 ||
           tenon_format_is_mx(format) || format == TENON_FORMAT_NVFP4 ||
           tenon_format_is_gguf(format);
}

int32_t tenon_check_quantize(const void *args, tenon_error *error) {
    const tenon_quantize_args *a = args;
    const tenon_quant *q = a->q_quant;
    tenon_weight_view view;
    tenon_reason why;
    TENON_REQUIRE(quantize, q_quant, q, "is required, but NULL");
    TENON_SUPPORT(quantize, q_quant, can_quantize_to(q->format),
                  "format=%d; quantize writes FP8, INT8, the MX formats, NVFP4 and GGUF",
                  q->format);
    int32_t status = tenon_activation_view_from(a->q, q, &view, &why);
    if (status)
        return tenon_fail_field(error, status, "quantize", "q", TENON_FIELD(quantize, q), "%s",
                                why.text);
    TENON_REQUIRE(quantize, q, a->q->ndim == 2, "%d dimensions, expected 2", a->q->ndim);
    TENON_REQUIRE(quantize, q, view.n == a->x->shape[0] && view.k == a->x->shape[1],
                  "holds [%lld, %lld] values, but x has [%lld, %lld]", (long long)view.n,
                  (long long)view.k, (long long)a->x->shape[0], (long long)a->x->shape[1]);
    TENON_REQUIRE(quantize, amax_floor, a->amax_floor >= 0, "%g is negative",
                  (double)a->amax_floor);
    TENON_REQUIRE(quantize, scale_limit, a->scale_limit >= 0, "%g is negative",
                  (double)a->scale_limit);
    TENON_REQUIRE(quantize, element_max, a->element_max >= 0, "%g is negative",
                  (double)a->element_max);
    TENON_REQUIRE(quantize, q_quant,
                  view.number != TENON_NUMBER_U8 || q->format != TENON_FORMAT_INT8 || q->zero_point,
                  "INT8 in u8 needs zero_point");
    return TENON_OK;
}

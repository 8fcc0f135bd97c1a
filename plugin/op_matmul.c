/* SPDX-License-Identifier: Apache-2.0 */
#include "op_check.h"
#include "packed_blob.h"

/* Logical n and k of the weights; of packed ones from the blob's header, which must be readable
 * when the plan is made. */
static int32_t weight_shape(const tenon_matmul_args *a, int64_t *n, int64_t *k,
                            tenon_error *error) {
    tenon_reason why;
    int32_t status;
    if (a->w_quant && a->w_quant->format == TENON_FORMAT_PACKED) {
        const tenon_blob_header *header;
        TENON_REQUIRE(matmul, w, a->w->ndim == 1, "%d dimensions, a blob has 1", a->w->ndim);
        TENON_REQUIRE(
            matmul, w, tenon_data(a->w),
            "data is NULL, but the header of packed weights is read when the plan is made");
        status = tenon_blob_open(tenon_data(a->w), (uint64_t)a->w->shape[0], &header, &why);
        if (status)
            return tenon_fail_field(error, status, "matmul", "w", TENON_FIELD(matmul, w), "%s",
                                    why.text);
        TENON_REQUIRE(matmul, w, header->experts == 0,
                      "the blob holds %lld experts; moe_matmul takes those",
                      (long long)header->experts);
        *n = header->n, *k = header->k;
        return TENON_OK;
    }
    tenon_weight_view view;
    status = tenon_weight_view_from(a->w, a->w_quant, &view, &why);
    if (status)
        return tenon_fail_field(error, status, "matmul", "w", TENON_FIELD(matmul, w), "%s",
                                why.text);
    TENON_REQUIRE(matmul, w, a->w->ndim == 2, "%d dimensions, expected 2; moe_matmul takes experts",
                  a->w->ndim);
    *n = view.n, *k = view.k;
    return TENON_OK;
}

static bool is_activation_format(int32_t format) {
    return format == TENON_FORMAT_NONE || format == TENON_FORMAT_FP8 ||
           format == TENON_FORMAT_INT8 || format == TENON_FORMAT_MXFP8 ||
           format == TENON_FORMAT_MXFP4 || format == TENON_FORMAT_NVFP4;
}

int32_t tenon_check_matmul(const void *args, tenon_error *error) {
    const tenon_matmul_args *a = args;
    tenon_weight_view x;
    tenon_reason why;
    int64_t n = 0, k = 0;
    TENON_REQUIRE(matmul, a_quant, !a->a_quant || is_activation_format(a->a_quant->format),
                  "format=%d is not one of NONE, FP8, INT8, MXFP8, MXFP4, NVFP4",
                  a->a_quant->format);
    int32_t status = tenon_activation_view_from(a->a, a->a_quant, &x, &why);
    if (status)
        return tenon_fail_field(error, status, "matmul", "a", TENON_FIELD(matmul, a), "%s",
                                why.text);
    if ((status = weight_shape(a, &n, &k, error))) return status;
    TENON_REQUIRE(matmul, w, k == x.k, "k=%lld, but a has k=%lld", (long long)k, (long long)x.k);
    TENON_REQUIRE(matmul, out, n == a->out->shape[1], "n=%lld, but w has n=%lld",
                  (long long)a->out->shape[1], (long long)n);
    return TENON_OK;
}

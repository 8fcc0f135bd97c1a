/* SPDX-License-Identifier: Apache-2.0 */
#include "op_check.h"
#include "packed_blob.h"

/* experts is 0 for a tensor without that dimension. */
static int32_t stored_shape(const tenon_dequantize_args *a, int64_t shape[3], tenon_error *error) {
    tenon_reason why;
    int32_t status;
    if (a->q_quant && a->q_quant->format == TENON_FORMAT_PACKED) {
        const tenon_blob_header *header;
        TENON_REQUIRE(dequantize, q, a->q->ndim == 1, "%d dimensions, a blob has 1", a->q->ndim);
        TENON_REQUIRE(
            dequantize, q, tenon_data(a->q),
            "data is NULL, but the header of packed weights is read when the plan is made");
        status = tenon_blob_open(tenon_data(a->q), (uint64_t)a->q->shape[0], &header, &why);
        if (status)
            return tenon_fail_field(error, status, "dequantize", "q", TENON_FIELD(dequantize, q),
                                    "%s", why.text);
        shape[0] = header->experts, shape[1] = header->n, shape[2] = header->k;
        return TENON_OK;
    }
    tenon_weight_view view;
    status = tenon_activation_view_from(a->q, a->q_quant, &view, &why);
    if (status)
        return tenon_fail_field(error, status, "dequantize", "q", TENON_FIELD(dequantize, q), "%s",
                                why.text);
    shape[0] = a->q->ndim == 3 ? view.experts : 0, shape[1] = view.n, shape[2] = view.k;
    return TENON_OK;
}

int32_t tenon_check_dequantize(const void *args, tenon_error *error) {
    const tenon_dequantize_args *a = args;
    int64_t shape[3] = {0};
    int32_t status = stored_shape(a, shape, error);
    if (status) return status;
    const int64_t *x = a->x->shape + (a->x->ndim == 3);
    int64_t x_experts = a->x->ndim == 3 ? a->x->shape[0] : 0;
    TENON_REQUIRE(dequantize, x, x_experts == shape[0],
                  "%lld experts, but q has %lld (0: no such dimension)", (long long)x_experts,
                  (long long)shape[0]);
    TENON_REQUIRE(dequantize, x, x[1] == shape[2], "%lld columns, but q has %lld", (long long)x[1],
                  (long long)shape[2]);
    TENON_REQUIRE(dequantize, x, a->row_index || x[0] == shape[1], "%lld rows, but q has %lld",
                  (long long)x[0], (long long)shape[1]);
    TENON_SUPPORT(dequantize, row_index, !a->row_index || shape[0] == 0, "row_index with experts");
    return TENON_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "expert_weight.h"

#include "moe_activation.h"
#include "packed_blob.h"
#include "weight_view.h"

int32_t tenon_expert_weight_of(const char *op, const char *name, int32_t field, const DLTensor *w,
                               const tenon_quant *quant, tenon_expert_weight *out,
                               tenon_error *error) {
    tenon_reason why;
    *out = (tenon_expert_weight){0, 0, 0};
    if (quant && quant->format == TENON_FORMAT_PACKED) {
        if (w->ndim != 1 || w->dtype.code != kDLUInt || w->dtype.bits != 8 || w->dtype.lanes != 1)
            return tenon_fail_field(
                error, TENON_STATUS_INVALID_ARGUMENT, op, name, field,
                "a PACKED weight is a blob u8[blob_bytes], got %d dimensions of %d bits", w->ndim,
                w->dtype.bits);
        const void *blob = tenon_data(w);
        if (!blob)
            return tenon_fail_field(
                error, TENON_STATUS_INVALID_ARGUMENT, op, name, field,
                "data is NULL, but the header of packed weights is read when the plan is made");
        const tenon_blob_header *header;
        int32_t status = tenon_blob_open(blob, (uint64_t)w->shape[0], &header, &why);
        if (status) return tenon_fail_field(error, status, op, name, field, "%s", why.text);
        *out = (tenon_expert_weight){header->experts, header->n, header->k};
        return TENON_OK;
    }
    tenon_weight_view view;
    int32_t status = tenon_weight_view_from(w, quant, &view, &why);
    if (status) return tenon_fail_field(error, status, op, name, field, "%s", why.text);
    *out = (tenon_expert_weight){w->ndim == 3 ? view.experts : 0, view.n, view.k};
    return TENON_OK;
}

int32_t tenon_expert_weight_expect(const char *op, const char *name, int32_t field,
                                   const tenon_expert_weight *weight, int64_t experts, int64_t n,
                                   int64_t k, tenon_error *error) {
    if ((experts < 0 || weight->experts == experts) && (n < 0 || weight->n == n) &&
        (k < 0 || weight->k == k))
        return TENON_OK;
    char want[3][24];
    const int64_t expected[3] = {experts, n, k};
    for (int i = 0; i < 3; i++)
        if (expected[i] < 0)
            snprintf(want[i], sizeof want[i], "any");
        else
            snprintf(want[i], sizeof want[i], "%lld", (long long)expected[i]);
    if (experts == 0)
        return tenon_fail_field(error, TENON_STATUS_INVALID_ARGUMENT, op, name, field,
                                "is [n=%lld, k=%lld]%s, expected [%s, %s] without experts",
                                (long long)weight->n, (long long)weight->k,
                                weight->experts ? " with experts" : "", want[1], want[2]);
    return tenon_fail_field(error, TENON_STATUS_INVALID_ARGUMENT, op, name, field,
                            "is [local=%lld, n=%lld, k=%lld], expected [%s, %s, %s]",
                            (long long)weight->experts, (long long)weight->n, (long long)weight->k,
                            want[0], want[1], want[2]);
}

int32_t tenon_check_moe_limit(const char *op, int32_t field, int32_t activation, float limit,
                              tenon_error *error) {
    if (limit < 0)
        return tenon_fail_field(error, TENON_STATUS_INVALID_ARGUMENT, op, "limit", field,
                                "%g is negative", (double)limit);
    if (limit > 0 && !tenon_activation_has_limit(activation))
        return tenon_fail_field(
            error, TENON_STATUS_INVALID_ARGUMENT, op, "limit", field,
            "%g, but activation=%d does not clamp; only SILU_GATED (%d) and SWIGLU_OAI (%d) do",
            (double)limit, activation, TENON_ACTIVATION_SILU_GATED, TENON_ACTIVATION_SWIGLU_OAI);
    return TENON_OK;
}

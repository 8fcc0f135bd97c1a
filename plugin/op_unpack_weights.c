/* SPDX-License-Identifier: Apache-2.0 */
#include "op_check.h"
#include "packed_blob.h"

int32_t tenon_check_unpack_weights(const void *args, tenon_error *error) {
    const tenon_unpack_weights_args *a = args;
    tenon_weight_view view;
    tenon_reason why;
    TENON_REQUIRE(unpack_weights, w_quant, !a->w_quant || a->w_quant->format != TENON_FORMAT_PACKED,
                  "format PACKED: name the format that the weights had before they were packed");
    int32_t status = tenon_weight_view_from(a->w, a->w_quant, &view, &why);
    if (status)
        return tenon_fail_field(error, status, "unpack_weights", "w",
                                TENON_FIELD(unpack_weights, w), "%s", why.text);
    if (!tenon_data(a->blob)) return TENON_OK;

    const tenon_blob_header *header;
    status = tenon_blob_open(tenon_data(a->blob), (uint64_t)a->blob->shape[0], &header, &why);
    if (!status) status = tenon_blob_matches(header, a->w, a->w_quant, &why);
    if (status)
        return tenon_fail_field(error, status, "unpack_weights", "blob",
                                TENON_FIELD(unpack_weights, blob), "%s", why.text);
    return TENON_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "op_check.h"
#include "weight_view.h"

int32_t tenon_check_pack_weights(const void *args, tenon_error *error) {
    const tenon_pack_weights_args *a = args;
    tenon_weight_view view;
    tenon_reason why;
    TENON_REQUIRE(pack_weights, w_quant, !a->w_quant || a->w_quant->format != TENON_FORMAT_PACKED,
                  "format PACKED: these weights are packed already");
    int32_t status = tenon_weight_view_from(a->w, a->w_quant, &view, &why);
    if (status)
        return tenon_fail_field(error, status, "pack_weights", "w", TENON_FIELD(pack_weights, w),
                                "%s", why.text);
    TENON_REQUIRE(pack_weights, blob,
                  a->blob->shape[0] == 0 || (uintptr_t)tenon_data(a->blob) % 64 == 0,
                  "data + byte_offset = %p is not aligned to 64 bytes", tenon_data(a->blob));
    return TENON_OK;
}

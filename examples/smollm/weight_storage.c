/* SPDX-License-Identifier: Apache-2.0 */
#include "weight_storage.h"

#include <stdlib.h>

static const struct storage_row {
    gguf_format file_format;
    int32_t tenon_format;
    DLDataType type;
} storages[] = {
    {GGUF_F32, TENON_FORMAT_NONE, {kDLFloat, 32, 1}},
    {GGUF_F16, TENON_FORMAT_NONE, {kDLFloat, 16, 1}},
    {GGUF_BF16, TENON_FORMAT_NONE, {kDLBfloat, 16, 1}},
    {GGUF_Q4_0, TENON_FORMAT_GGUF_Q4_0, {kDLUInt, 8, 1}},
    {GGUF_Q4_1, TENON_FORMAT_GGUF_Q4_1, {kDLUInt, 8, 1}},
    {GGUF_Q8_0, TENON_FORMAT_GGUF_Q8_0, {kDLUInt, 8, 1}},
    {GGUF_Q4_K, TENON_FORMAT_GGUF_Q4_K, {kDLUInt, 8, 1}},
    {GGUF_Q6_K, TENON_FORMAT_GGUF_Q6_K, {kDLUInt, 8, 1}},
};

bool view_gguf_tensor(tensor_view *view, tenon_quant *quant, const gguf_tensor *tensor,
                      const void *data, int64_t rows, host_error *error) {
    for (size_t i = 0; i < sizeof storages / sizeof storages[0]; i++) {
        const struct storage_row *storage = &storages[i];
        if (storage->file_format != tensor->format) continue;
        const int64_t row_bytes = (int64_t)gguf_row_bytes(tensor->format, tensor->extent[0]);
        *quant = (tenon_quant){.struct_size = sizeof *quant, .format = storage->tenon_format};
        view_2d(view, data, storage->type, rows, row_bytes * 8 / storage->type.bits);
        return true;
    }
    return host_fail(error, "Tenon has no format for %s", gguf_format_name(tensor->format));
}

bool pack_tensor(const tenon_library *library, packed_weights *packed, const DLTensor *w,
                 const tenon_quant *quant, int32_t compute, host_error *error) {
    const tenon_api *api = library->api;
    tenon_error reason = {.struct_size = sizeof reason};
    tenon_query answer = {.struct_size = sizeof answer};
    tensor_view blob;
    tenon_pack_weights_args args = {.struct_size = sizeof args,
                                    .w = w,
                                    .w_quant = quant,
                                    .blob = view_1d(&blob, NULL, type_u8, 0),
                                    .compute = compute};
    if (api->query(library->context, TENON_OP_PACK_WEIGHTS, &args, NULL, &answer, &reason) !=
        TENON_OK) {
        return host_fail(error, "%s", reason.text);
    }
    if (answer.status != TENON_OK) return host_fail(error, "%s", answer.reason);
    packed->blob_bytes = (size_t)answer.output_bytes;
    packed->blob = aligned_alloc(64, (packed->blob_bytes + 63) / 64 * 64);
    if (!packed->blob) {
        return host_fail(error, "out of memory for %zu packed bytes", packed->blob_bytes);
    }
    view_packed(&blob, packed);
    return tenon_pack_weights_call(api, library->context, &args, &reason) == TENON_OK ||
           host_fail(error, "%s", reason.text);
}

void packed_weights_free(packed_weights *packed) {
    free(packed->blob);
    *packed = (packed_weights){0};
}

const DLTensor *view_packed(tensor_view *view, const packed_weights *packed) {
    return view_1d(view, packed->blob, type_u8, (int64_t)packed->blob_bytes);
}

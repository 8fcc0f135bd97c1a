/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as Tenon takes them: the file's own blocks, or the blob that pack_weights makes of them.
 */
#ifndef SMOLLM_WEIGHT_STORAGE_H
#define SMOLLM_WEIGHT_STORAGE_H

#include "gguf_file.h"
#include "tenon_library.h"
#include "tensor_view.h"

/* `rows` rows of the tensor's format and width at data, as the file stores them: u8 [rows, bytes]
 * for block formats. quant is what to pass beside the view. */
bool view_gguf_tensor(tensor_view *view, tenon_quant *quant, const gguf_tensor *tensor,
                      const void *data, int64_t rows, host_error *error);

typedef struct packed_weights {
    void *blob;
    size_t blob_bytes;
} packed_weights;

/* Packs w for matmuls of the given TENON_COMPUTE_*. */
bool pack_tensor(const tenon_library *library, packed_weights *packed, const DLTensor *w,
                 const tenon_quant *quant, int32_t compute, host_error *error);
void packed_weights_free(packed_weights *packed);

/* To be passed with a descriptor of TENON_FORMAT_PACKED. */
const DLTensor *view_packed(tensor_view *view, const packed_weights *packed);

#endif

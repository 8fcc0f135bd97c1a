/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors to and from a blob that keeps them as they were (kept_blob.h), by all threads. */
#ifndef TENON_KEPT_COPY_H
#define TENON_KEPT_COPY_H

#include "cpu_backend.h"
#include "packed_blob.h"
#include "progress.h"

/* The tensors in the order of a blob's parts, NULL where there is none. */
void tenon_kept_parts(const DLTensor *w, const tenon_quant *quant,
                      const DLTensor *tensors[TENON_BLOB_PARTS]);

/* Copies all of them. blob: where the header's places begin. */
void tenon_kept_copy(const tenon_kernel_plan *plan, const DLTensor *const tensors[TENON_BLOB_PARTS],
                     const tenon_blob_header *header, uint8_t *blob, bool to_blob,
                     tenon_progress *progress);

#endif

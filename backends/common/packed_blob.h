/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_PACKED_BLOB_H
#define TENON_PACKED_BLOB_H

/* The head of every blob that pack_weights makes, whichever backend made it: what the weights are,
 * who laid them out and how, what the checkpoint's own tensors looked like, and two checksums. What
 * follows the head belongs to the layout that it names. All numbers are little endian.
 *
 * The head's checksum is checked whenever a blob is opened, which is cheap; the payload's is
 * checked by unpack_weights, and by whoever has the time: it reads every byte. */

#include "backend.h"
#include "weight_view.h"

#define TENON_BLOB_MAGIC   "TENONPKW"
#define TENON_BLOB_VERSION 1u

/* Source tensors, in this order. */
enum {
    TENON_BLOB_W,
    TENON_BLOB_SCALE,
    TENON_BLOB_ZERO_POINT,
    TENON_BLOB_GLOBAL_SCALE,
    TENON_BLOB_GROUP_INDEX,
    TENON_BLOB_PARTS
};

/* One tensor of the checkpoint. Where a layout keeps it as it was, offset_bytes is its place in the
 * blob (compact, row-major, 64-byte aligned); where a layout folds it into something else, 0. */
typedef struct tenon_blob_part {
    uint32_t present;
    uint8_t dtype_code, dtype_bits;
    uint16_t dtype_lanes;
    int32_t ndim; /* at most 4 */
    uint32_t reserved;
    int64_t shape[4];
    uint64_t offset_bytes;
    uint64_t size_bytes;
} tenon_blob_part;

typedef struct tenon_blob_header {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes;
    uint64_t header_checksum;  /* of the header with this field 0 */
    uint64_t payload_checksum; /* of the bytes from header_bytes to blob_bytes */
    uint64_t blob_bytes;
    int32_t backend; /* TENON_BACKEND_* of the maker */
    int32_t compute; /* TENON_COMPUTE_* it was packed for */
    char layout[64]; /* name of the layout, ends with NUL: only who knows it may read the payload */

    /* the descriptor, as it was given */
    int32_t format, element, scale_layout, group_cols, group_rows;
    uint32_t quant_flags;
    int64_t rows, cols;

    int64_t experts, n, k;    /* logical; experts is 0 for a tensor without that dimension */
    int64_t layout_words[10]; /* the layout's own numbers: tile sizes, paddings, offsets */
    tenon_blob_part part[TENON_BLOB_PARTS];
} tenon_blob_header;

_Static_assert(sizeof(tenon_blob_part) == 64, "a part is 64 bytes in every blob");
_Static_assert(sizeof(tenon_blob_header) == 576, "the head is 576 bytes, a multiple of 64");

/* Fills a header for weights that tenon_weight_view_from has accepted; parts are present with their
 * types and shapes, offsets are 0. */
void tenon_blob_describe(tenon_blob_header *header, const DLTensor *w, const tenon_quant *quant,
                         const tenon_weight_view *view, int32_t backend, const char *layout,
                         int32_t compute);

/* Gives every present part the next aligned place after the header, as a layout that keeps the
 * checkpoint's tensors does. Sets and returns blob_bytes. */
uint64_t tenon_blob_place_parts(tenon_blob_header *header);

/* The last step of packing: header at blob, payload behind it, both checksums. */
void tenon_blob_seal(void *blob, const tenon_blob_header *header);

/* The header of a blob of which available_bytes can be read, after magic, version, size, checksum
 * and parts have been checked. OK, or CORRUPT (INVALID_ARGUMENT for a NULL or unaligned pointer)
 * and why. */
int32_t tenon_blob_open(const void *blob, uint64_t available_bytes,
                        const tenon_blob_header **header, tenon_reason *why);

/* Reads the whole payload: OK, or CORRUPT. */
int32_t tenon_blob_verify(const tenon_blob_header *header, tenon_reason *why);

/* Do the tensors and the descriptor ask for exactly what the blob was made from: the same ones
 * present, with the same types, shapes and descriptor? OK, or INVALID_ARGUMENT and the first
 * difference. */
int32_t tenon_blob_matches(const tenon_blob_header *header, const DLTensor *w,
                           const tenon_quant *quant, tenon_reason *why);

/* The checkpoint's tensors and descriptor as the blob describes them. Data pointers lead into the
 * blob where the part is kept there, else they are NULL. The tensors point into this struct. */
typedef struct tenon_blob_tensors {
    DLTensor tensor[TENON_BLOB_PARTS];
    int64_t shape[TENON_BLOB_PARTS][4], strides[TENON_BLOB_PARTS][4];
    tenon_quant quant;
} tenon_blob_tensors;

void tenon_blob_tensors_of(const tenon_blob_header *header, tenon_blob_tensors *out);

uint64_t tenon_blob_checksum(const void *bytes, uint64_t count);

#endif

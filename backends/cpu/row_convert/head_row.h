/* SPDX-License-Identifier: Apache-2.0 */
/* The row of one head in a cache tensor of any strides: contiguous, split into pieces (rank 5), or
 * with room between its elements. Rows that are not contiguous go through a buffer on the stack, so
 * that one conversion covers many pieces. */
#ifndef TENON_HEAD_ROW_H
#define TENON_HEAD_ROW_H

#include <string.h>

#include "row_convert.h"

enum { TENON_HEAD_ROW_BUFFER = 512 };

typedef struct tenon_head_row {
    int64_t n;            /* elements */
    int64_t piece;        /* elements of a piece */
    int64_t piece_stride; /* bytes from a piece to the next */
    int64_t step;         /* bytes from an element to the next */
    int32_t bytes;        /* of an element */
    bool contiguous;
} tenon_head_row;

/* cache: [.., .., .., d] or [.., .., .., d/x, x]; or the last dim alone of any other tensor. */
static inline tenon_head_row tenon_head_row_of(const DLTensor *cache) {
    const int last = cache->ndim - 1;
    const int64_t bytes = cache->dtype.bits / 8;
    tenon_head_row row = {.n = cache->shape[last],
                          .piece = cache->shape[last],
                          .step = cache->strides[last] * bytes,
                          .bytes = (int32_t)bytes};
    if (cache->ndim == 5) {
        row.n *= cache->shape[3];
        row.piece_stride = cache->strides[3] * bytes;
        if (row.piece == 1) { /* the pieces are the elements */
            row.step = row.piece_stride;
            row.piece = row.n;
        } else if (row.piece_stride == row.piece * row.step || cache->shape[3] == 1) {
            row.piece = row.n;
        }
    }
    row.contiguous = row.piece == row.n && (row.step == bytes || row.n == 1);
    return row;
}

static inline int64_t tenon_head_row_at(const tenon_head_row *row, int64_t i) {
    return row->piece == row->n ? i * row->step
                                : i / row->piece * row->piece_stride + i % row->piece * row->step;
}

/* Elements [i, i + n) between the row and a contiguous buffer. */
static inline void tenon_head_row_copy(const tenon_head_row *row, char *in_row, char *buffer,
                                       int64_t i, int64_t n, bool to_row) {
    const int64_t end = i + n;
    while (i < end) {
        int64_t run = 1;
        if (row->step == row->bytes) {
            run = row->piece - i % row->piece;
            if (run > end - i) run = end - i;
        }
        char *at = in_row + tenon_head_row_at(row, i);
        const size_t size = (size_t)(run * row->bytes);
        if (size == 16)
            memcpy(to_row ? at : buffer, to_row ? buffer : at, 16);
        else
            memcpy(to_row ? at : buffer, to_row ? buffer : at, size);
        buffer += size;
        i += run;
    }
}

/* row = convert(from); from is contiguous, from_bytes each. */
static inline void tenon_head_row_write(const tenon_head_row *row, char *to, const char *from,
                                        int64_t from_bytes, tenon_row_convert_fn convert,
                                        float scale) {
    char buffer[TENON_HEAD_ROW_BUFFER * 4];
    if (row->contiguous) {
        convert(to, from, row->n, scale);
        return;
    }
    for (int64_t i = 0; i < row->n; i += TENON_HEAD_ROW_BUFFER) {
        const int64_t n = row->n - i < TENON_HEAD_ROW_BUFFER ? row->n - i : TENON_HEAD_ROW_BUFFER;
        convert(buffer, from + i * from_bytes, n, scale);
        tenon_head_row_copy(row, to, buffer, i, n, true);
    }
}

/* to = convert(row); to is contiguous, to_bytes each. */
static inline void tenon_head_row_read(const tenon_head_row *row, char *to, const char *from,
                                       int64_t to_bytes, tenon_row_convert_fn convert,
                                       float scale) {
    char buffer[TENON_HEAD_ROW_BUFFER * 4];
    if (row->contiguous) {
        convert(to, from, row->n, scale);
        return;
    }
    for (int64_t i = 0; i < row->n; i += TENON_HEAD_ROW_BUFFER) {
        const int64_t n = row->n - i < TENON_HEAD_ROW_BUFFER ? row->n - i : TENON_HEAD_ROW_BUFFER;
        tenon_head_row_copy(row, (char *)(uintptr_t)from, buffer, i, n, false);
        convert(to + i * to_bytes, buffer, n, scale);
    }
}

#endif /* TENON_HEAD_ROW_H */

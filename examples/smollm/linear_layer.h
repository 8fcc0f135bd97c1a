/* SPDX-License-Identifier: Apache-2.0 */
/* out = a . w^T, with the file's own quantized blocks as w, packed once by Tenon.
 *
 * Several tensors that read the same activations (q, k and v; gate and up) are stacked into one,
 * row under row: fewer and larger calls. Neighbours of one number format become one packed blob;
 * where the format changes, a further call writes the remaining columns of the same output. */
#ifndef SMOLLM_LINEAR_LAYER_H
#define SMOLLM_LINEAR_LAYER_H

#include "weight_storage.h"

enum { LINEAR_MAX_PARTS = 3 };

typedef struct weight_part {
    const gguf_tensor *tensor; /* [k, n] in the file's order of extents */
    /* 0: rows as they stand. Else the head dim of q or k: a llama GGUF stores the rows of each head
     * so that the two halves of a rotary pair are neighbours (0, d/2, 1, d/2 + 1, ..). They are put
     * back into (0, 1, .., d - 1), where rotating is a loop without shuffles. */
    int64_t rotary_head_dim;
} weight_part;

typedef struct linear_piece {
    packed_weights packed;
    int64_t first_row, rows;
    planned_call decode; /* one row of activations */
    planned_call chunk;  /* up to max_tokens rows */
} linear_piece;

typedef struct linear_layer {
    int64_t rows, cols; /* n and k */
    int32_t compute;    /* TENON_COMPUTE_* */
    int piece_count;
    linear_piece pieces[LINEAR_MAX_PARTS];
} linear_layer;

/* The parts agree in their extent[0]. label is not copied. *layer must be freed on failure too. */
bool linear_create(tenon_library *library, linear_layer *layer, const char *label,
                   const weight_part *parts, int part_count, int32_t compute, int64_t max_tokens,
                   host_error *error);
void linear_free(const tenon_library *library, linear_layer *layer);

/* a: [tokens, cols], out: [tokens, rows], both compact. */
bool linear_run(tenon_library *library, linear_layer *layer, const float *a, int64_t tokens,
                float *out, host_error *error);

#endif

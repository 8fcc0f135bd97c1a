/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan of the fused call fixes, and the two grouped matmuls of a chunk of tokens. */
#ifndef TENON_MOE_CPU_H
#define TENON_MOE_CPU_H

#include "cpu_backend.h"
#include "pair_sort.h"
#include "panel_gate.h"
#include "panel_weights.h"

enum {
    TENON_MOE_Y_BYTES =
        128 << 20 /* results that wait for the sum at a time; more tokens are taken in chunks */
};

/* One of the four weights. */
typedef struct tenon_moe_weight {
    tenon_panel_weights weights;
    tenon_blob_header header;
    tenon_panel_shape shape;
    tenon_panel_gate gate;
    int64_t round_rows; /* rows that are prepared at a time */
} tenon_moe_weight;

/* gate_up and down of the routed experts, or of the shared one. */
typedef struct tenon_moe_pair {
    tenon_moe_weight up, down;
} tenon_moe_pair;

typedef struct tenon_moe_state {
    tenon_moe_pair routed, shared;
    bool has_shared;
    tenon_panel_type x_type, first_type,
        between_type; /* of x, of what gate_up reads, of the rows between */
    int64_t local, hidden, k, chunk_tokens;
    /* offsets in the workspace */
    uint64_t sort_at, pair_at, segments_at, scaled_at, between_at, y_at, shared_at, prepared_at,
        scratch_at, bytes;
} tenon_moe_state;

/* Rows in a memory of their own, or picked from x. */
typedef struct tenon_moe_rows {
    const uint8_t *base;
    int64_t stride_bytes;
    const int32_t *pair; /* NULL: row r is at base + r * stride_bytes; else row pair[r] / k is */
    int64_t k;
} tenon_moe_rows;

/* out[r] = act(in[r] . w[e]^T + bias[e]) for the rows [first[e], first[e] + count[e]) of each
 * expert; w: the run's weights. */
typedef struct tenon_moe_product {
    const tenon_moe_weight *weight;
    const tenon_panel_weights *w;
    const DLTensor *bias; /* [local, n], or NULL */
    tenon_moe_rows in;
    tenon_panel_type in_type;
    uint8_t *out;
    int64_t out_stride_bytes;
    const int32_t *first, *count;
    int64_t experts;
} tenon_moe_product;

void tenon_moe_multiply(const tenon_moe_state *state, uint8_t *workspace,
                        const tenon_moe_product *product, tenon_cpu_pool *pool);

#endif /* TENON_MOE_CPU_H */

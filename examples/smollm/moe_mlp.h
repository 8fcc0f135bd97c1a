/* SPDX-License-Identifier: Apache-2.0 */
/* The MLP of a dense layer dressed as a mixture of experts: MOE_EXPERTS copies of it behind a
 * router that projects the hidden state at random, the best MOE_CHOSEN renormalised to weights that
 * sum to one. Whatever the router says, the result must be that of the dense MLP, so any mistake in
 * routing, dispatch, grouped matmul or combining shows in the text.
 *
 * The copies cost no memory: the weights' view has MOE_EXPERTS experts with a stride of 0, on the
 * file's own blocks. A packed blob has no strides, so packing writes every expert out: eight times
 * the memory for the same numbers. A host with experts that differ has to hold them anyway and
 * would pack; moe_options.pack does that here, to measure it. */
#ifndef SMOLLM_MOE_MLP_H
#define SMOLLM_MOE_MLP_H

#include "llama_model.h"
#include "weight_storage.h"

enum { MOE_EXPERTS = 8, MOE_CHOSEN = 2 };

typedef enum moe_mode {
    MOE_OFF,
    MOE_STEPS, /* moe_route, moe_dispatch, moe_matmul twice, moe_combine */
    MOE_FUSED  /* moe_route, moe */
} moe_mode;

typedef struct moe_options {
    moe_mode mode;
    bool pack;
    int32_t compute; /* TENON_COMPUTE_* */
} moe_options;

/* Intermediate results, shared by all layers. */
typedef struct moe_buffers {
    float *logits;                     /* [tokens][experts] */
    float *weights;                    /* [tokens][chosen] */
    int32_t *ids;                      /* [tokens][chosen] */
    int32_t *expert_offsets;           /* [experts + 1] */
    int32_t *row_pairs;                /* [tokens * chosen] */
    int32_t *pair_rows;                /* [tokens][chosen] */
    float *activated;                  /* [tokens * chosen][inter] */
    float *expert_out;                 /* [tokens * chosen][hidden] */
    int64_t chosen_count[MOE_EXPERTS]; /* how often each expert was chosen so far */
} moe_buffers;

typedef struct moe_plans {
    planned_call router, route, dispatch, gate_up, down, combine, fused;
} moe_plans;

typedef struct moe_weight {
    const gguf_tensor *like; /* format and width */
    const void *blocks;      /* of one expert */
    int64_t rows;
    packed_weights packed; /* empty unless packed */
} moe_weight;

typedef struct moe_mlp {
    moe_mode mode;
    int32_t compute;
    int64_t hidden, inter;
    float *router;      /* [experts][hidden] */
    void *gate_up_rows; /* the rows of gate, then those of up */
    moe_weight gate_up, down;
    moe_plans decode, chunk;
} moe_mlp;

bool moe_buffers_create(moe_buffers *buffers, const llama_config *config, int64_t max_tokens,
                        host_error *error);
void moe_buffers_free(moe_buffers *buffers);

/* *mlp must be freed on failure too. seed: of this layer's router. */
bool moe_mlp_create(tenon_library *library, moe_mlp *mlp, const moe_options *options,
                    moe_buffers *buffers, const llama_config *config, const llama_tensors *tensors,
                    int64_t max_tokens, uint64_t seed, host_error *error);
void moe_mlp_free(const tenon_library *library, moe_mlp *mlp);

/* x, out: [tokens][hidden] */
bool moe_mlp_run(tenon_library *library, moe_mlp *mlp, moe_buffers *buffers, const float *x,
                 int64_t tokens, float *out, host_error *error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "attention_fill.h"

#include <math.h>
#include <string.h>

#include "attention/attention_arguments.h"
#include "stored_number.h"

enum { D_MOST = 192, D_V_MOST = 128, LATENT_MOST = 512, LATENT_QK_MOST = 576, GRID_MOST = 65535 };

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}
static bool is_half(tenon_number n) {
    return n == TENON_NUMBER_F16 || n == TENON_NUMBER_BF16;
}
static bool is_byte(tenon_number n) {
    return (n >= TENON_NUMBER_E4M3FN && n <= TENON_NUMBER_E5M2FNUZ) || n == TENON_NUMBER_I8;
}
static int64_t page_size_of(const attention_problem *p) {
    return p->k->shape[1];
}

/* The type of the products: that of the queries; of fp8 queries, that of the cache, else bf16. */
static bool multiplies_f16(const attention_problem *p) {
    const tenon_number q = tenon_number_of(p->q->dtype),
                       k = tenon_stored_number(p->k->dtype, p->kv_element);
    return q == TENON_NUMBER_F16 || (is_byte(q) && k == TENON_NUMBER_F16);
}

static const char *cache_declines(const DLTensor *cache, const int64_t *strides, int64_t d,
                                  const char *name, tenon_reason *reason) {
    const int64_t bytes = cache->dtype.bits / 8;
    if (cache->ndim == 5)
        return tenon_decline(reason, "%s: takes rows in one piece, not split head dims", name);
    if (cache->strides[cache->ndim - 1] != 1)
        return tenon_decline(reason, "%s: elements of a row are %lld apart", name,
                             (long long)cache->strides[cache->ndim - 1]);
    if (d * bytes % 16)
        return tenon_decline(reason, "%s: rows of %lld bytes, not a multiple of 16", name,
                             (long long)(d * bytes));
    for (int i = 0; i < 3; i++)
        if (strides[i] * bytes % 16 || strides[i] < 0)
            return tenon_decline(reason, "%s: rows are not on 16-byte boundaries", name);
    if ((strides[0] * cache->shape[0] + strides[1] * cache->shape[1]) * bytes / 16 >= UINT32_MAX)
        return tenon_decline(reason, "%s: a cache beyond 64 GB", name);
    return NULL;
}

const char *tenon_rocm_attention_declines(const attention_problem *p, tenon_reason *reason) {
    const tenon_number q = tenon_number_of(p->q->dtype),
                       k = tenon_stored_number(p->k->dtype, p->kv_element),
                       v = tenon_stored_number(p->v->dtype, p->kv_element);
    const bool f16 = multiplies_f16(p);
    if (!is_half(q) && !is_byte(q))
        return tenon_decline(reason, "multiplies 16-bit types: takes no f32 queries");
    if (is_half(k) != is_half(v) || (is_half(k) && k != v))
        return tenon_decline(reason, "keys and values of unlike types");
    if (!is_half(k) && (!is_byte(k) || !is_byte(v)))
        return tenon_decline(reason, "takes caches in bf16, f16, fp8 and int8");
    if (is_half(k) && k != (f16 ? TENON_NUMBER_F16 : TENON_NUMBER_BF16))
        return tenon_decline(reason, "queries and cache of unlike 16-bit types");
    if (p->is_latent ? p->d_qk > LATENT_QK_MOST || p->d_v > LATENT_MOST
                     : p->d_qk > D_MOST || p->d_v > D_V_MOST)
        return tenon_decline(reason, "head dims %lld and %lld, above %d and %d", (long long)p->d_qk,
                             (long long)p->d_v, p->is_latent ? LATENT_QK_MOST : D_MOST,
                             p->is_latent ? LATENT_MOST : D_V_MOST);
    if (is_byte(k) && (p->is_latent ? f16 : p->d_qk > 128))
        return tenon_decline(reason, p->is_latent ? "f16 queries on a cache of bytes"
                                                  : "head dims above 128 of a cache of bytes");
    const char *why = cache_declines(p->k, p->k_strides, p->d_qk, "k", reason);
    if (!why) why = cache_declines(p->v, p->v_strides, p->d_v, "v", reason);
    if (why) return why;
    if (p->q->shape[0] * p->q->shape[1] > INT32_MAX || p->k->shape[0] > INT32_MAX ||
        page_size_of(p) > INT32_MAX || p->kv_lens->shape[0] > GRID_MOST || p->heads_kv > GRID_MOST)
        return tenon_decline(reason, "%lld rows, %lld sequences: beyond the grid",
                             (long long)(p->q->shape[0] * p->q->shape[1]),
                             (long long)p->kv_lens->shape[0]);
    return NULL;
}

/* ---- sizes that the plan fixes ---- */

typedef struct sizes {
    int64_t row_blocks, chunks, split_rows, d_held, slots;
} sizes;

static sizes sizes_of(const attention_problem *p) {
    const int64_t group = p->q->shape[1] / p->heads_kv, tokens = p->q->shape[0],
                  rows = (p->max_q_len ? least(p->max_q_len, tokens) : tokens) * group,
                  pages = p->table ? p->table->shape[1] : p->page_indices->shape[0];
    int64_t kv_len = pages > INT32_MAX / page_size_of(p) ? INT32_MAX : pages * page_size_of(p);
    if (p->max_kv_len) kv_len = least(kv_len, p->max_kv_len);
    sizes s = {.row_blocks = most(1, (rows + ATTENTION_BLOCK_ROWS - 1) / ATTENTION_BLOCK_ROWS),
               .chunks = most(1, least(ATTENTION_CHUNKS_MOST, (kv_len + ATTENTION_CHUNK_LEAST - 1) /
                                                                  ATTENTION_CHUNK_LEAST)),
               .split_rows = most(1, least(rows, ATTENTION_SPLIT_ROWS)),
               .d_held = p->is_latent                    ? 512
                         : p->d_qk <= 64 && p->d_v <= 64 ? 64
                                                         : 128};
    if (group > ATTENTION_SPLIT_ROWS) s.chunks = 1; /* no sequence is short enough to be split */
    s.slots = s.chunks > 1 ? p->kv_lens->shape[0] * p->heads_kv * s.chunks * s.split_rows : 0;
    return s;
}

static const char *object_of(const attention_problem *p) {
    return p->is_latent                    ? "attention_latent"
           : p->d_qk <= 64 && p->d_v <= 64 ? "attention_d64"
           : p->d_qk <= 128                ? "attention_d128"
                                           : "attention_d192";
}

int32_t tenon_rocm_attention_plan(tenon_kernel_plan *plan, const attention_problem *p,
                                  tenon_error *error) {
    const sizes s = sizes_of(p);
    char rows[64];
    const bool bytes = is_byte(tenon_stored_number(p->k->dtype, p->kv_element));
    snprintf(rows, sizeof rows, "%s_%s_%s", object_of(p), multiplies_f16(p) ? "f16" : "bf16",
             bytes ? "bytes" : "same");
    const char *const symbols[] = {rows, "attention_finish", NULL};
    plan->workspace_bytes =
        ((uint64_t)(s.slots * s.d_held + 2 * s.slots) * sizeof(float) + 63) / 64 * 64;
    return tenon_rocm_load(plan, object_of(p), symbols, error);
}

/* ---- the struct of a run ---- */

static attention_side side_of(const DLTensor *cache, const int64_t *strides, const DLTensor *scale,
                              int64_t d, int32_t kv_element) {
    const int64_t bytes = cache->dtype.bits / 8;
    attention_side s = {.data = tenon_data(cache),
                        .scale = scale ? tenon_data(scale) : NULL,
                        .head_bytes = strides[2] * bytes,
                        .page_pieces = (uint32_t)(strides[0] * bytes / 16),
                        .slot_pieces = (uint32_t)(strides[1] * bytes / 16),
                        .d = (uint32_t)d,
                        .number = (uint32_t)tenon_stored_number(cache->dtype, kv_element)};
    if (scale && scale->ndim == 3) {
        s.scale_is_per_slot = 1;
        s.scale_page = scale->strides[0], s.scale_slot = scale->strides[1];
        s.scale_head = scale->strides[2];
    } else if (scale && scale->shape[0] > 1) {
        s.scale_head = scale->strides[0];
    }
    return s;
}

/* j / n for j below 2^31: the high half of j * magic, shifted. */
static void set_division(attention_arguments *k, uint32_t n) {
    uint32_t bits = 1;
    while (bits < 31 && (UINT32_C(1) << bits) < n) bits++;
    k->page_magic = (uint32_t)((UINT64_C(1) << (31 + bits)) / n + 1);
    k->page_shift = bits - 1;
}

int32_t tenon_rocm_attention_run(const tenon_kernel_plan *plan, const attention_problem *planned,
                                 const attention_problem *p, tenon_error *error) {
    const float log2_e = 1.44269504088896341f,
                scale = p->softmax_scale > 0 ? p->softmax_scale : 1 / sqrtf((float)p->d_qk);
    const sizes s = sizes_of(planned);
    const DLTensor *slopes = p->alibi_slopes, *q_scale = p->q_scale;
    attention_arguments k = {
        .k = side_of(p->k, p->k_strides, p->k_scale, p->d_qk, p->kv_element),
        .v = side_of(p->v, p->v_strides, p->v_scale, p->d_v, p->kv_element),
        .q = tenon_data(p->q),
        .sinks = tenon_data(p->sinks),
        .out = tenon_data(p->out),
        .lse = tenon_data(p->lse),
        .partial = p->workspace,
        .row_offsets = tenon_data(p->row_offsets),
        .kv_lens = tenon_data(p->kv_lens),
        .table = tenon_data(p->table),
        .page_indptr = tenon_data(p->page_indptr),
        .page_indices = tenon_data(p->page_indices),
        .alibi_slopes = tenon_data(slopes),
        .q_scale = tenon_data(q_scale),
        .tree_mask = tenon_data(p->tree_mask),
        .fault = (void *)p->fault,
        .table_stride = p->table ? p->table->strides[0] : 0,
        .lse_token = p->lse ? p->lse->strides[0] : 0,
        .lse_head = p->lse ? p->lse->strides[1] : 0,
        .alibi_sequence = slopes && slopes->ndim == 2 ? slopes->strides[0] : 0,
        .tree_token = p->tree_mask ? p->tree_mask->strides[0] : 0,
        .q_scale_sequence = q_scale && q_scale->ndim == 2 ? q_scale->strides[0] : 0,
        .q_scale_head = !q_scale                ? 0
                        : q_scale->ndim == 2    ? q_scale->strides[1]
                        : q_scale->shape[0] > 1 ? q_scale->strides[0]
                                                : 0,
        .op = p->op,
        .n_sequences = (int32_t)p->kv_lens->shape[0],
        .n_tokens = (int32_t)p->q->shape[0],
        .max_rows = p->max_q_len ? p->max_q_len : INT32_MAX,
        .max_kv_len = p->max_kv_len ? p->max_kv_len : INT32_MAX,
        .window_left = p->window_left,
        .window_right = p->window_right,
        .pages = (int32_t)p->k->shape[0],
        .page_size = (int32_t)page_size_of(p),
        .table_pages = p->table ? (int32_t)p->table->shape[1] : 0,
        .page_entries = p->page_indices ? (int32_t)p->page_indices->shape[0] : 0,
        .heads_q = (uint32_t)p->q->shape[1],
        .heads_kv = (uint32_t)p->heads_kv,
        .group = (uint32_t)(p->q->shape[1] / p->heads_kv),
        .row_blocks = (uint32_t)s.row_blocks,
        .chunks = (uint32_t)s.chunks,
        .split_rows = (uint32_t)s.split_rows,
        .d_held = (uint32_t)s.d_held,
        .q_number = (uint32_t)tenon_number_of(p->q->dtype),
        .out_number = (uint32_t)tenon_number_of(p->out->dtype),
        .sinks_number = p->sinks ? (uint32_t)tenon_number_of(p->sinks->dtype) : 0,
        .causal = p->causal,
        .base2 = p->base2,
        .scale_log2 = p->softcap > 0 ? scale : scale * log2_e,
        .softcap_in = p->softcap > 0 ? 1 / p->softcap : 0,
        .softcap_out = p->softcap * log2_e,
    };
    if (!k.n_tokens) return TENON_OK;
    k.partial_state = k.partial ? k.partial + s.slots * s.d_held : NULL;
    set_division(&k, (uint32_t)k.page_size);
    const tenon_rocm_grid rows = {.blocks = (uint32_t)(s.row_blocks * s.chunks),
                                  .blocks_y = k.heads_kv,
                                  .blocks_z = (uint32_t)k.n_sequences,
                                  .block_lanes = ATTENTION_BLOCK_LANES},
                          finish = {.blocks = (uint32_t)k.n_tokens,
                                    .block_lanes = ATTENTION_BLOCK_LANES};
    int32_t status = TENON_OK;
    if (k.n_sequences) status = tenon_rocm_launch(plan, 0, rows, p->stream, &k, error);
    return status ? status : tenon_rocm_launch(plan, 1, finish, p->stream, &k, error);
}

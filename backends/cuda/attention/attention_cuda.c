/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "attention_call.h"
#include "cuda_launch.h"
#include "stored_number.h"

enum { FUNCTION_CHECK, FUNCTION_MERGE, FUNCTION_LONG, FUNCTION_SHORT };
enum { SHARED_BYTES_DECLARED = 1024 }; /* by the kernels, rounded up as dynamic_shared is aligned */

/* Device code by head dims. A block keeps two tiles of 16-bit caches, or as many bytes of 8-bit
 * ones and a wide tile; with the largest head dims one. In the end the warps of a short block meet
 * there. */
typedef struct dims {
    const char *image, *suffix;
    int32_t d_qk, d_v;
    uint32_t stages;
    bool queries_shared;
} dims;
static const dims all_dims[] = {{"attention_d64", "d64", 64, 64, 2, false},
                                {"attention_d128", "d128", 128, 128, 2, false},
                                {"attention_d192", "d192", 192, 128, 2, false},
                                {"attention_d256", "d256", 256, 256, 1, true}};

static const dims *dims_of(const tenon_attention_args *a) {
    for (size_t i = 0; i < sizeof all_dims / sizeof all_dims[0]; i++)
        if (a->q->shape[2] <= all_dims[i].d_qk && a->out->shape[2] <= all_dims[i].d_v)
            return &all_dims[i];
    return NULL;
}

static bool is_fp8(tenon_number number) {
    return number >= TENON_NUMBER_E4M3FN && number <= TENON_NUMBER_E5M2FNUZ;
}

static uint32_t shared_bytes_of(const dims *d, bool fp8) {
    const uint32_t tile = ATTENTION_TILE * (uint32_t)(d->d_qk + d->d_v),
                   queries = d->queries_shared ? 2 * ATTENTION_BLOCK_ROWS * (uint32_t)d->d_qk : 0,
                   tiles = (fp8 ? (d->stages + 2) * tile : d->stages * 2 * tile) + queries,
                   meeting = 4 * 16 * 4 * (uint32_t)(d->d_v + ATTENTION_PARTIAL_HEAD);
    return tiles > meeting ? tiles : meeting;
}

static const char *cache_declines(const DLTensor *t, const DLTensor *scale, tenon_number number,
                                  const char *name, tenon_reason *reason) {
    const int64_t bytes = tenon_number_bytes(number);
    if (t->ndim != 4 || t->strides[3] != 1)
        return tenon_decline(reason, "%s: the head dim must be contiguous", name);
    if (t->shape[3] * bytes % 16)
        return tenon_decline(reason, "%s: a head dim of %lld bytes, must be a multiple of 16", name,
                             (long long)(t->shape[3] * bytes));
    for (int i = 0; i < 3; i++)
        if (t->shape[i] > 1 && t->strides[i] * bytes % 16)
            return tenon_decline(reason, "%s: stride %d is %lld bytes, must be a multiple of 16",
                                 name, i, (long long)(t->strides[i] * bytes));
    if ((uintptr_t)tenon_data(t) % 16)
        return tenon_decline(reason, "%s does not begin at a multiple of 16 bytes", name);
    if (scale && scale->ndim == 3)
        return tenon_decline(reason, "%s: a scale for each token is not built in", name);
    return NULL;
}

static const char *declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_attention_args *a = problem->args;
    if (a->flags & TENON_ATTENTION_NATIVE_CACHE)
        return tenon_decline(reason, "reads strided caches only");
    const tenon_number q = tenon_number_of(a->q->dtype),
                       k = tenon_stored_number(a->k->dtype, a->kv_element),
                       v = tenon_stored_number(a->v->dtype, a->kv_element);
    if (k != v) return tenon_decline(reason, "k and v of different types");
    if (!(q == TENON_NUMBER_BF16 && (k == q || is_fp8(k))) && !(q == TENON_NUMBER_F16 && k == q))
        return tenon_decline(reason, "takes bf16 queries with bf16 and fp8 caches, f16 with f16");
    if (!dims_of(a))
        return tenon_decline(reason, "head dims %lld and %lld, at most 256 and 256",
                             (long long)a->q->shape[2], (long long)a->out->shape[2]);
    const uint32_t shared_bytes = shared_bytes_of(dims_of(a), is_fp8(k));
    const int32_t most_bytes = tenon_cuda_device_of(problem)->shared_bytes;
    if (shared_bytes + SHARED_BYTES_DECLARED > (uint32_t)most_bytes)
        return tenon_decline(reason, "%u bytes of shared memory in a block, the device has %d",
                             shared_bytes, most_bytes);
    const char *why = cache_declines(a->k, a->k_scale, k, "k", reason);
    if (!why) why = cache_declines(a->v, a->v_scale, v, "v", reason);
    if (why) return why;
    const int64_t rows = a->q->shape[0] * a->q->shape[1], heads_kv = a->k->shape[2],
                  sequences = a->seq_lens->shape[0];
    if (rows > INT32_MAX - 65536 || heads_kv > 65535 || sequences > 65535 ||
        a->k->shape[1] > INT32_MAX || a->q->shape[1] * a->out->shape[2] > INT32_MAX)
        return tenon_decline(reason, "%lld rows, %lld KV heads, %lld sequences: too many",
                             (long long)rows, (long long)heads_kv, (long long)sequences);
    return NULL;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* What a plan fixes: how far a short sequence can be split, rows of its partial results. */
typedef struct shape {
    int64_t group, heads_kv, sequences, splits, short_rows, partial_row, record_bytes;
} shape;

static shape shape_of(const tenon_attention_args *a) {
    const int64_t page_size = a->k->shape[1], tokens = a->q->shape[0],
                  entries = a->block_table ? a->block_table->shape[1] : a->page_indices->shape[0];
    shape s = {.heads_kv = a->k->shape[2], .sequences = a->seq_lens->shape[0]};
    int64_t kv_len = page_size && entries > INT32_MAX / page_size ? INT32_MAX : entries * page_size;
    if (a->max_kv_len) kv_len = least(kv_len, a->max_kv_len);
    /* A window may begin inside of the first chunk's tile. */
    s.splits = least(ATTENTION_SPLITS, (kv_len + ATTENTION_TILE) / ATTENTION_CHUNK + 1);
    s.group = a->q->shape[1] / s.heads_kv;
    s.short_rows = least(ATTENTION_SHORT_ROWS,
                         (a->max_q_len ? least(a->max_q_len, tokens) : tokens) * s.group);
    s.partial_row = (a->out->shape[2] + 3) / 4 * 4 + ATTENTION_PARTIAL_HEAD;
    s.record_bytes = (s.sequences * ATTENTION_RECORD_BYTES + 63) / 64 * 64;
    return s;
}

static tenon_number cache_number(const tenon_attention_args *a) {
    return tenon_stored_number(a->k->dtype, a->kv_element);
}

static int32_t plan(tenon_kernel_plan *p, tenon_error *error) {
    const tenon_attention_args *a = p->problem.args;
    const dims *d = dims_of(a);
    const tenon_number number = cache_number(a);
    static const char *const kinds[] = {"check", "merge", "long", "short"};
    const char *type = is_fp8(number) ? "fp8_" : number == TENON_NUMBER_F16 ? "f16_" : "bf16_";
    char names[4][64];
    for (int i = 0; i < 4; i++)
        snprintf(names[i], sizeof names[i], "attention_%s_%s%s", kinds[i],
                 i < FUNCTION_LONG ? "" : type, d->suffix);
    const char *const symbols[] = {names[0], names[1], names[2], names[3], NULL};
    const shape s = shape_of(a);
    p->workspace_bytes = (uint64_t)s.record_bytes;
    if (s.splits > 1)
        p->workspace_bytes +=
            (uint64_t)(s.sequences * s.heads_kv * s.splits * s.short_rows * s.partial_row * 4);
    int32_t status = tenon_cuda_load(p, d->image, symbols, error);
    for (uint32_t i = FUNCTION_LONG; i <= FUNCTION_SHORT && !status; i++)
        status = tenon_cuda_allow_shared(p, i, shared_bytes_of(d, is_fp8(number)), error);
    return status;
}

static attention_cache cache_of(const DLTensor *t, const DLTensor *scale, tenon_number number) {
    const int64_t bytes = tenon_number_bytes(number);
    return (attention_cache){.data = tenon_data(t),
                             .scale = scale ? tenon_data(scale) : NULL,
                             .page = t->strides[0] * bytes,
                             .slot = t->strides[1] * bytes,
                             .head = t->strides[2] * bytes,
                             .d = (int32_t)t->shape[3],
                             .scale_head =
                                 scale && scale->shape[0] > 1 ? (int32_t)scale->strides[0] : 0};
}

/* Of [1], [heads] or [sequences, heads]. */
static int64_t stride_of(const DLTensor *t, bool of_head) {
    if (!t || (t->ndim == 1 && t->shape[0] == 1)) return 0;
    return of_head ? t->strides[t->ndim - 1] : t->ndim == 2 ? t->strides[0] : 0;
}

static attention_arguments arguments_of(const tenon_attention_args *a) {
    const float log2_e = 1.44269504f;
    const shape s = shape_of(a);
    const tenon_number number = cache_number(a);
    const bool causal = a->flags & TENON_ATTENTION_CAUSAL;
    attention_arguments k = {
        .q = tenon_data(a->q),
        .tree = a->tree_mask ? tenon_data(a->tree_mask) : NULL,
        .sinks = a->sinks ? tenon_data(a->sinks) : NULL,
        .slopes = a->alibi_slopes ? tenon_data(a->alibi_slopes) : NULL,
        .q_scale = a->q_scale ? tenon_data(a->q_scale) : NULL,
        .out = tenon_data(a->out),
        .lse = a->lse ? tenon_data(a->lse) : NULL,
        .record = a->workspace,
        .partial = (float *)(void *)((char *)a->workspace + s.record_bytes),
        .k = cache_of(a->k, a->k_scale, number),
        .v = cache_of(a->v, a->v_scale, number),
        .row_offsets = tenon_data(a->cu_seqlens_q),
        .kv_lens = tenon_data(a->seq_lens),
        .table = a->block_table ? tenon_data(a->block_table) : NULL,
        .page_indptr = a->page_indptr ? tenon_data(a->page_indptr) : NULL,
        .page_indices = a->page_indices ? tenon_data(a->page_indices) : NULL,
        .fault = (void *)a->fault,
        .q_token = a->q->strides[0],
        .q_head = a->q->strides[1],
        .out_token = a->out->strides[0],
        .out_head = a->out->strides[1],
        .lse_token = a->lse ? a->lse->strides[0] : 0,
        .lse_head = a->lse ? a->lse->strides[1] : 0,
        .tree_row = a->tree_mask ? a->tree_mask->strides[0] : 0,
        .table_pages = a->block_table ? a->block_table->shape[1] : 0,
        .table_stride = a->block_table ? a->block_table->strides[0] : 0,
        .page_entries = a->page_indices ? a->page_indices->shape[0] : 0,
        .n_pages = a->k->shape[0],
        .max_rows = a->max_q_len ? a->max_q_len : INT64_MAX,
        .max_kv_len = a->max_kv_len ? a->max_kv_len : INT64_MAX,
        .slopes_sequence = stride_of(a->alibi_slopes, false),
        .slopes_head = stride_of(a->alibi_slopes, true),
        .q_scale_sequence = stride_of(a->q_scale, false),
        .q_scale_head = stride_of(a->q_scale, true),
        .n_rows = (int32_t)a->q->shape[0],
        .n_sequences = (int32_t)s.sequences,
        .heads_q = (int32_t)a->q->shape[1],
        .heads_kv = (int32_t)s.heads_kv,
        .group = (int32_t)s.group,
        .page_size = (int32_t)a->k->shape[1],
        .n_splits = (int32_t)s.splits,
        .short_rows = (int32_t)s.short_rows,
        .partial_row = (int32_t)s.partial_row,
        .window_left = a->window_left > 0 ? a->window_left : 0,
        .window_right = causal                ? 0
                        : a->window_right > 0 ? a->window_right
                                              : -1,
        .rows_are_cached = causal || a->tree_mask,
        .q_number = (uint32_t)tenon_number_of(a->q->dtype),
        .kv_number = (uint32_t)number,
        .out_number = (uint32_t)tenon_number_of(a->out->dtype),
        .sinks_number = a->sinks ? (uint32_t)tenon_number_of(a->sinks->dtype) : 0,
        .sinks_stride = a->sinks ? (int32_t)a->sinks->strides[0] : 0,
        .softcap = a->softcap * log2_e,
        .lse_scale = a->flags & TENON_ATTENTION_LSE_BASE2 ? 1 : 0.693147181f,
    };
    k.logit_scale =
        log2_e * (a->softmax_scale > 0 ? a->softmax_scale : 1 / sqrtf((float)a->q->shape[2]));
    if (k.softcap > 0) k.softcap_exponent = 2 * log2_e / k.softcap;
    return k;
}

static uint32_t parts(int64_t n, int64_t of) {
    return (uint32_t)((n + of - 1) / of);
}

static int32_t run(const tenon_kernel_plan *p, const void *args, tenon_error *error) {
    const tenon_attention_args *a = args;
    const attention_arguments k = arguments_of(a);
    const dims *d = dims_of(a);
    const int64_t rows = (int64_t)k.n_rows * k.group;
    if (!k.n_rows) return TENON_OK;
    tenon_gpu_grid grid = {.blocks = k.n_sequences ? (uint32_t)k.n_sequences : 1,
                           .block_lanes = ATTENTION_BLOCK_LANES};
    int32_t status = tenon_cuda_launch(p, FUNCTION_CHECK, grid, a->stream, &k, error);
    if (status || !k.n_sequences) return status;
    grid.shared_bytes = shared_bytes_of(d, is_fp8((tenon_number)k.kv_number));
    grid.blocks_y = (uint32_t)k.heads_kv;
    if (!a->max_q_len || (int64_t)a->max_q_len * k.group > ATTENTION_SHORT_ROWS) {
        if (rows > ATTENTION_SHORT_ROWS) {
            grid.blocks = parts(rows, ATTENTION_BLOCK_ROWS) + (uint32_t)k.n_sequences;
            status = tenon_cuda_launch(p, FUNCTION_LONG, grid, a->stream, &k, error);
        }
    }
    grid.blocks = (uint32_t)k.n_splits * parts(k.short_rows, 16);
    grid.blocks_z = (uint32_t)k.n_sequences;
    if (!status) status = tenon_cuda_launch(p, FUNCTION_SHORT, grid, a->stream, &k, error);
    grid.shared_bytes = 0;
    grid.blocks = parts(k.short_rows, ATTENTION_BLOCK_LANES / 32);
    if (!status && k.n_splits > 1)
        status = tenon_cuda_launch(p, FUNCTION_MERGE, grid, a->stream, &k, error);
    return status;
}

TENON_CUDA_WHY_NOT(why_not_sm80, TENON_CUDA_SM80, declines)
extern const tenon_kernel tenon_cuda_attention_sm80;
const tenon_kernel tenon_cuda_attention_sm80 = {
    .name = "cuda_attention_sm80",
    .op = TENON_OP_ATTENTION,
    .traits = TENON_TRAIT_CAPTURE_SAFE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .needs = TENON_CUDA_SM80,
    .checked_on = "emulated",
    .why_not = why_not_sm80,
    .plan = plan,
    .run = run,
    .release = tenon_cuda_release,
};

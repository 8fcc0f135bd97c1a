/* SPDX-License-Identifier: Apache-2.0 */
/* Attention on the CPU: what a row takes, the sizes that a plan fixes, and the job of a run. */
#include <math.h>

#include "attention_layout.h"
#include "latent_row.h"

enum { COUNT_MAX = 1 << 30 }; /* tokens, heads: so that sums of two fit an int32_t */

static int64_t element_bytes(const DLTensor *t) {
    return t->dtype.bits / 8;
}

static bool is_float(tenon_number n) {
    return n == TENON_NUMBER_F32 || n == TENON_NUMBER_F16 || n == TENON_NUMBER_BF16;
}

static bool is_latent(const tenon_attention_args *a) {
    return a->kv_element == TENON_CPU_ELEMENT_FP8_DS;
}

static tenon_number stored_type(const tenon_attention_args *a, const DLTensor *cache) {
    return is_latent(a) ? TENON_NUMBER_E4M3FN : tenon_stored_number(cache->dtype, a->kv_element);
}

/* What the caches hold, whatever their layout. */
typedef struct cache_shape {
    bool native;
    int64_t pages, page_size, heads_kv, d_qk, d_v;
} cache_shape;

static tenon_native_cache native_of(const cache_shape *c, int64_t d) {
    return (tenon_native_cache){
        .pages = c->pages, .page_size = c->page_size, .heads_kv = c->heads_kv, .d = d};
}

static cache_shape shape_of(const tenon_attention_args *a) {
    cache_shape c = {.native = a->flags & TENON_ATTENTION_NATIVE_CACHE,
                     .d_qk = a->q->shape[2],
                     .d_v = a->out->shape[2]};
    c.page_size = c.native ? a->page_size : a->k->shape[1];
    c.heads_kv = c.native ? a->n_kv_heads : a->k->shape[2];
    const tenon_native_cache page = native_of(&c, tenon_most(c.d_qk, c.d_v));
    c.pages = !c.native                        ? a->k->shape[0]
              : tenon_native_page_bytes(&page) ? a->k->shape[0] / tenon_native_page_bytes(&page)
                                               : 0;
    return c;
}

/* ---- what a row takes ---- */

static const char *native_why_not(const tenon_attention_args *a, tenon_reason *reason) {
    if (a->k_scale || a->v_scale || a->kv_element != TENON_ELEMENT_AS_TENSOR)
        return tenon_decline(reason, "the native cache holds bf16, without scales");
    if (!tenon_native_cache_fits(a->page_size, a->q->shape[2]) ||
        !tenon_native_cache_fits(a->page_size, a->out->shape[2]))
        return tenon_decline(
            reason, "page_size=%d, head dims %lld and %lld: the native cache needs multiples of %d",
            a->page_size, (long long)a->q->shape[2], (long long)a->out->shape[2],
            TENON_NATIVE_GROUP);
    return NULL;
}

/* bf16 products are exact for what bf16 holds: bf16, fp8 and int8, before their scales. */
static const char *pairs_why_not(const tenon_attention_args *a, tenon_reason *reason) {
    const tenon_number wide[] = {TENON_NUMBER_F32, TENON_NUMBER_F16};
    const bool native = a->flags & TENON_ATTENTION_NATIVE_CACHE;
    for (int i = 0; i < 2; i++)
        if (tenon_number_of(a->q->dtype) == wide[i] ||
            (!native && (stored_type(a, a->k) == wide[i] || stored_type(a, a->v) == wide[i])))
            return tenon_decline(reason, "multiplies bf16: takes no f16 or f32 queries and caches");
    return NULL;
}

const char *tenon_attention_cpu_why_not(const tenon_problem *problem,
                                        const tenon_attention_engine *engine,
                                        tenon_reason *reason) {
    const tenon_attention_args *a = problem->args;
    if (a->q->shape[0] > COUNT_MAX || a->q->shape[1] > COUNT_MAX / 1024 ||
        a->q->shape[2] > COUNT_MAX / 1024 || a->out->shape[2] > COUNT_MAX / 1024)
        return tenon_decline(reason,
                             "%lld tokens, %lld heads, head dims %lld and %lld: rows and their "
                             "elements are counted in 30 bits",
                             (long long)a->q->shape[0], (long long)a->q->shape[1],
                             (long long)a->q->shape[2], (long long)a->out->shape[2]);
    const char *why = engine->pairs ? pairs_why_not(a, reason) : NULL;
    return why ? why : a->flags & TENON_ATTENTION_NATIVE_CACHE ? native_why_not(a, reason) : NULL;
}

/* ---- the caches of a job ---- */

/* Rows that are packed and multiplied as they are: 16 bytes at a time. */
static bool is_plain(const tenon_attention_args *a, const DLTensor *cache,
                     const tenon_attention_engine *engine) {
    const tenon_number type = stored_type(a, cache);
    const tenon_head_row row = tenon_head_row_of(cache);
    return !is_latent(a) && row.contiguous && row.n % 8 == 0 &&
           (engine->pairs ? type == TENON_NUMBER_BF16 : is_float(type));
}

static bool is_staged(const tenon_attention_args *a, const tenon_attention_engine *engine) {
    return !(a->flags & TENON_ATTENTION_NATIVE_CACHE) &&
           (!is_plain(a, a->k, engine) || !is_plain(a, a->v, engine));
}

static tenon_attention_stage stage_of(const tenon_attention_args *a, const DLTensor *cache,
                                      const tenon_attention_engine *engine) {
    const tenon_number staged = engine->pairs ? TENON_NUMBER_BF16 : TENON_NUMBER_F32,
                       type = stored_type(a, cache);
    tenon_attention_stage stage = {.convert = engine->converters->to_from[staged][type],
                                   .row = tenon_head_row_of(cache),
                                   .latent = is_latent(a) ? engine->converters : NULL};
    if (engine->decoders && stage.row.contiguous)
        stage.decode = is_latent(a) ? engine->decoders->fp8_ds : engine->decoders->from[type];
    return stage;
}

static tenon_attention_cache cache_of(const tenon_attention_args *a, const cache_shape *shape,
                                      const DLTensor *cache, const DLTensor *scale, int64_t d,
                                      const tenon_attention_engine *engine) {
    tenon_attention_cache c = {.data = tenon_data(cache),
                               .d = (int32_t)d,
                               .row_bytes = (int32_t)(d * element_bytes(cache)),
                               .type = TENON_NUMBER_BF16,
                               .scale = scale};
    if (shape->native) {
        c.native = native_of(shape, d);
        c.row_bytes = (int32_t)(d * 2 * TENON_NATIVE_GROUP);
        c.stride[2] = shape->page_size * d * 2;
        return c;
    }
    for (int i = 0; i < 3; i++) c.stride[i] = cache->strides[i] * element_bytes(cache);
    if (is_latent(a)) c.row_bytes = TENON_DS_ROW_BYTES;
    if (is_plain(a, cache, engine)) {
        c.type = stored_type(a, cache);
        return c;
    }
    c.stage = stage_of(a, cache, engine);
    if (c.stage.decode && !is_latent(a) && d % TENON_ROW_DECODE_STEP == 0)
        c.words = engine->decoders->words[stored_type(a, cache)];
    c.integers = stored_type(a, cache) == TENON_NUMBER_I8;
    c.type = engine->pairs ? TENON_NUMBER_BF16 : TENON_NUMBER_F32;
    return c;
}

static bool is_one_cache(const tenon_attention_args *a) {
    const DLTensor *k = a->k, *v = a->v;
    bool same = !(a->flags & TENON_ATTENTION_NATIVE_CACHE) && tenon_data(k) == tenon_data(v) &&
                k->ndim == 4 && v->ndim == 4 && k->shape[2] == 1 && v->shape[3] <= k->shape[3] &&
                k->dtype.code == v->dtype.code && k->dtype.bits == v->dtype.bits;
    for (int i = 0; same && i < 4; i++) same = i == 2 || k->strides[i] == v->strides[i];
    return same;
}

/* ---- sizes that the plan fixes ---- */

static tenon_attention_layout layout_of(const tenon_kernel_plan *plan,
                                        const tenon_attention_engine *engine) {
    const tenon_attention_args *a = plan->problem.args;
    const cache_shape c = shape_of(a);
    const int64_t batch = a->seq_lens->shape[0], threads = tenon_cpu_threads(plan);
    const int64_t step = engine->lanes * (engine->pairs ? 2 : 1),
                  widest = tenon_most(c.d_qk, c.d_v);
    tenon_attention_layout l = {.group = a->q->shape[1] / c.heads_kv};
    l.max_q = a->max_q_len ? tenon_least(a->max_q_len, a->q->shape[0]) : a->q->shape[0];
    l.max_q = tenon_most(l.max_q, 1);
    l.block_max = tenon_most(1, tenon_least(TENON_ATTENTION_BLOCK_ROWS_MAX / l.group, l.max_q));
    const int64_t position_bytes = c.native
                                       ? 2 * (c.d_qk + c.d_v)
                                       : c.d_qk * element_bytes(a->k) + c.d_v * element_bytes(a->v);
    l.heads_max = tenon_most(1, tenon_least(c.heads_kv, TENON_ATTENTION_TILE_BYTES /
                                                            TENON_ATTENTION_TILE / position_bytes));
    l.rows_max = tenon_most(
        l.block_max * l.group,
        tenon_least(TENON_ATTENTION_TASK_ROWS,
                    l.heads_max * tenon_least(l.max_q * l.group, TENON_ATTENTION_SHORT_ROWS)));
    l.out_stride = tenon_round_up(c.d_v, 2 * engine->lanes);
    l.q_stride = tenon_round_up(c.d_qk, step) / (engine->pairs ? 2 : 1);
    l.stage_bytes = is_staged(a, engine)
                        ? tenon_round_up(widest, TENON_ROW_DECODE_STEP) * (engine->pairs ? 2 : 4)
                        : 0;
    l.zero_bytes =
        tenon_round_up(tenon_most(widest * 2 * TENON_NATIVE_GROUP, TENON_DS_ROW_BYTES), 64);
    l.slot_rows =
        tenon_least(tenon_most(1, TENON_ATTENTION_SHORT_ROWS / l.group), l.max_q) * l.group;
    const int64_t splits = tenon_least(batch, 4 * threads) * TENON_ATTENTION_CHUNKS_MAX;
    l.n_slots = threads > 1 ? tenon_least(splits, 2 * threads + 4 * TENON_ATTENTION_CHUNKS_MAX) : 0;
    l.n_counts = l.n_slots / 2 * c.heads_kv;
    l.slot_bytes =
        tenon_attention_state_bytes(c.heads_kv * l.slot_rows, l.out_stride, engine->lanes);
    l.scratch_bytes = tenon_attention_scratch_bytes(&l, c.d_qk, engine->lanes);
    l.counts_at = (uint64_t)tenon_round_up(batch * (int64_t)sizeof(tenon_attention_sequence), 64);
    l.slots_at = l.counts_at + tenon_attention_lines(l.n_counts);
    l.scratch_at = l.slots_at + (uint64_t)l.n_slots * l.slot_bytes;
    l.total = l.scratch_at + (uint64_t)threads * l.scratch_bytes;
    return l;
}

static int32_t check_native(const tenon_attention_args *a, tenon_error *error) {
    const cache_shape c = shape_of(a);
    const tenon_native_cache k = native_of(&c, c.d_qk), v = native_of(&c, c.d_v);
    if (!c.native) return TENON_OK;
    const int32_t status =
        tenon_native_cache_check(&k, a->k, "attention: k", TENON_OP_ATTENTION, 1, error);
    return status
               ? status
               : tenon_native_cache_check(&v, a->v, "attention: v", TENON_OP_ATTENTION, 2, error);
}

int32_t tenon_attention_cpu_plan(tenon_kernel_plan *plan, const tenon_attention_engine *engine,
                                 tenon_error *error) {
    plan->workspace_bytes = layout_of(plan, engine).total;
    return check_native(plan->problem.args, error);
}

int32_t tenon_attention_cpu_run(const tenon_kernel_plan *plan, const tenon_attention_args *args,
                                const tenon_attention_engine *engine, tenon_error *error) {
    const int32_t status = check_native(args, error);
    if (status) return status;
    const tenon_attention_layout l = layout_of(plan, engine);
    const cache_shape c = shape_of(args);
    uint8_t *workspace = args->workspace;
    tenon_attention_sequence *sequences = (tenon_attention_sequence *)workspace;
    const float scale =
        args->softmax_scale != 0 ? args->softmax_scale : 1.0f / sqrtf((float)c.d_qk);
    const float log2_e = 1.44269504088896341f;
    tenon_attention_job job = {
        .args = args,
        .engine = engine,
        .sequences = sequences,
        .n_sequences = args->seq_lens->shape[0],
        .heads_kv = (int32_t)c.heads_kv,
        .group = (int32_t)l.group,
        .d_qk = (int32_t)c.d_qk,
        .d_v = (int32_t)c.d_v,
        .q_stride = (int32_t)l.q_stride,
        .out_stride = (int32_t)l.out_stride,
        .rows_max = (int32_t)l.rows_max,
        .page_size = (int32_t)tenon_least(c.page_size, INT32_MAX), /* positions are below that */
        .left = args->window_left > 0 ? args->window_left : -1,
        .right = args->tree_mask                        ? -1
                 : args->flags & TENON_ATTENTION_CAUSAL ? 0
                 : args->window_right > 0 ? args->window_right
                                          : -1, /* a tree mask hides later tokens itself */
        .native = c.native,
        .k = cache_of(args, &c, args->k, args->k_scale, c.d_qk, engine),
        .v = cache_of(args, &c, args->v, args->v_scale, c.d_v, engine),
        .q_type = tenon_number_of(args->q->dtype),
        .out_type = tenon_number_of(args->out->dtype),
        .stage_bytes = (int32_t)l.stage_bytes,
        .zero_bytes = (int32_t)l.zero_bytes,
        .logit_scale = args->softcap > 0 ? scale / args->softcap : scale * log2_e,
        .softcap = args->softcap * log2_e,
        .counts = (int32_t *)(workspace + l.counts_at),
        .slots = workspace + l.slots_at,
        .scratch = workspace + l.scratch_at,
        .slot_bytes = l.slot_bytes,
        .scratch_bytes = l.scratch_bytes,
        .slot_rows = (int32_t)l.slot_rows,
    };
    job.one_cache = is_one_cache(args);
    if (job.one_cache) job.k.words = job.v.words = NULL; /* staged once for both */
    if (!is_float(job.q_type))
        job.q_convert =
            engine->converters
                ->to_from[engine->pairs ? TENON_NUMBER_BF16 : TENON_NUMBER_F32][job.q_type];
    tenon_attention_read_sequences(&job, sequences, c.pages);
    tenon_cpu_run(plan, tenon_attention_cut(&job, &l, tenon_cpu_threads(plan), sequences),
                  tenon_attention_task, &job);
    return TENON_OK;
}

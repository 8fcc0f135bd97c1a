/* SPDX-License-Identifier: Apache-2.0 */
/* Attention on the CPU: checks the lengths of a run, cuts it into tasks, and puts the partial
 * results together.
 *
 * A task is a block of rows of one sequence and KV head, over all chunks that the block sees; when
 * a run has too few of them for the threads, short blocks become one task per chunk, and the task
 * that finishes last folds the partial states. Both ways fold the same chunks in the same order, so
 * bits depend neither on the threads nor on the rest of the batch.
 */
#include <math.h>

#include "attention_cpu.h"
#include "paged_sequence.h"

enum {
    BLOCK_ROWS_MAX = 96, /* K and V tiles are packed once for that many rows */
    BLOCK_ROWS_MIN = 24, /* no smaller only to have more tasks */
    SPLIT_ROWS = 32,     /* longer blocks are never split over kv */
    CHUNKS_MAX = 16,
    COUNT_MAX = 1 << 30, /* positions, tokens: so that sums of two fit an int32_t */
    CHUNK_MIN = 4 * TENON_ATTENTION_TILE
};

static int64_t round_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit * unit;
}
static int64_t divide_up(int64_t n, int64_t unit) {
    return (n + unit - 1) / unit;
}
static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* From the sequence's own lengths and nothing else. Where there are many rows there are many
 * blocks: one chunk. */
static int32_t chunk_of(int64_t n_queries, int64_t group, int64_t kv_length) {
    const bool whole = n_queries > 1 && n_queries * group > SPLIT_ROWS;
    return (int32_t)round_up(most(CHUNK_MIN, whole ? kv_length : divide_up(kv_length, CHUNKS_MAX)),
                             TENON_ATTENTION_TILE);
}

static int64_t element_bytes(const DLTensor *t) {
    return t->dtype.bits / 8;
}

static bool is_float(const DLTensor *t) {
    const tenon_number n = tenon_number_of(t->dtype);
    return n == TENON_NUMBER_F32 || n == TENON_NUMBER_F16 || n == TENON_NUMBER_BF16;
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
    const tenon_native_cache page = native_of(&c, most(c.d_qk, c.d_v));
    c.pages = !c.native                        ? a->k->shape[0]
              : tenon_native_page_bytes(&page) ? a->k->shape[0] / tenon_native_page_bytes(&page)
                                               : 0;
    return c;
}

static const char *native_why_not(const tenon_attention_args *a, tenon_reason *reason) {
    if (a->k_scale || a->v_scale || a->kv_element != TENON_ELEMENT_AS_TENSOR)
        return tenon_decline(reason, "the native cache holds bf16, without scales");
    if (!tenon_native_cache_fits(a->page_size, a->q->shape[2]) ||
        !tenon_native_cache_fits(a->page_size, a->out->shape[2]) ||
        most(a->q->shape[2], a->out->shape[2]) > 1024)
        return tenon_decline(reason,
                             "page_size=%d, head dims %lld and %lld: the native cache needs "
                             "multiples of %d, dims up to 1024",
                             a->page_size, (long long)a->q->shape[2], (long long)a->out->shape[2],
                             TENON_NATIVE_GROUP);
    return NULL;
}

static int64_t row_dim(const DLTensor *cache) {
    return cache->ndim == 5 ? cache->shape[3] * cache->shape[4] : cache->shape[3];
}

/* Rows of bf16, f16 or f32 that can be packed as they are: 16 bytes at a time. */
static bool is_plain(const tenon_attention_args *a) {
    return is_float(a->k) && is_float(a->v) && a->k->dtype.code == a->v->dtype.code &&
           a->k->dtype.bits == a->v->dtype.bits && a->k->ndim == 4 && a->v->ndim == 4 &&
           a->k->shape[3] % 8 == 0 && a->v->shape[3] % 8 == 0;
}

static const char *strided_why_not(const tenon_attention_args *a,
                                   const tenon_attention_engine *engine, tenon_reason *reason) {
    const DLTensor *caches[] = {a->k, a->v};
    for (int i = 0; i < 2; i++) {
        const DLTensor *c = caches[i];
        const int last = c->ndim - 1;
        if (c->shape[last] > 1 && c->strides[last] != 1)
            return tenon_decline(reason, "the head dim of %s has stride %lld", i ? "v" : "k",
                                 (long long)c->strides[last]);
        if (row_dim(c) > 1024)
            return tenon_decline(reason, "head dim %lld: takes up to 1024", (long long)row_dim(c));
    }
    if (!engine->converters && !is_plain(a))
        return tenon_decline(reason,
                             "takes bf16 caches of rank 4 only, with head dims of multiples of 8");
    return NULL;
}

/* kv positions that a sequence may have; INT64_MAX when the page list could hold more than that. */
static int64_t max_kv_of(const tenon_attention_args *a, int64_t page_size) {
    int64_t positions;
    if (a->max_kv_len) return a->max_kv_len;
    return __builtin_mul_overflow(a->block_table ? a->block_table->shape[1]
                                                 : a->page_indices->shape[0],
                                  page_size, &positions)
               ? INT64_MAX
               : positions;
}

const char *tenon_attention_cpu_why_not(const tenon_problem *problem,
                                        const tenon_attention_engine *engine,
                                        tenon_reason *reason) {
    const tenon_attention_args *a = problem->args;
    const int64_t page_size = shape_of(a).page_size, max_kv = max_kv_of(a, page_size);
    if (page_size > COUNT_MAX || max_kv > COUNT_MAX || a->q->shape[0] > COUNT_MAX ||
        a->q->shape[1] > COUNT_MAX / 1024)
        return tenon_decline(reason,
                             "page_size=%lld, kv length up to %lld, %lld tokens, %lld heads: "
                             "positions are counted in 30 bits",
                             (long long)page_size, (long long)max_kv, (long long)a->q->shape[0],
                             (long long)a->q->shape[1]);
    if (!engine->converters && !is_float(a->q))
        return tenon_decline(reason, "takes no fp8 queries");
    return a->flags & TENON_ATTENTION_NATIVE_CACHE ? native_why_not(a, reason)
                                                   : strided_why_not(a, engine, reason);
}

/* ---- sizes that the plan fixes ---- */

typedef struct layout {
    int64_t max_q, max_kv, group, block_max, rows_max, out_stride, q_stride;
    int64_t k_depth,
        stage_stride; /* rows of the K tile; floats of a staged row, 0: nothing is staged */
    int64_t slot_rows, n_slots, n_counts;
    uint64_t slot_bytes, scratch_bytes;
    uint64_t counts_at, slots_at, scratch_at, total;
} layout;

/* A row of f32, or a native group. */
static int64_t zero_words(int64_t d_qk, int64_t d_v) {
    return most(d_qk, d_v) * TENON_NATIVE_GROUP / 2;
}

static uint64_t aligned(int64_t n_words) {
    return (uint64_t)round_up(n_words * 4, 64);
}

static uint64_t state_bytes(int64_t rows, int64_t out_stride,
                            const tenon_attention_engine *engine) {
    return aligned(rows) + aligned(rows * engine->lanes) + aligned(rows * out_stride);
}

static layout layout_of(const tenon_kernel_plan *plan, const tenon_attention_engine *engine) {
    const tenon_attention_args *a = plan->problem.args;
    const cache_shape c = shape_of(a);
    const int64_t batch = a->seq_lens->shape[0];
    const int64_t threads = tenon_cpu_threads(plan);
    layout l = {.group = a->q->shape[1] / c.heads_kv};
    l.max_q = a->max_q_len ? a->max_q_len : a->q->shape[0];
    l.max_kv = max_kv_of(a, c.page_size);
    l.block_max = most(1, least(BLOCK_ROWS_MAX / l.group, l.max_q));
    l.rows_max = l.block_max * l.group;
    l.out_stride = round_up(c.d_v, engine->lanes);
    l.q_stride = engine->pairs ? c.d_qk / 2 : round_up(c.d_qk, engine->lanes);
    l.k_depth = round_up(c.d_qk, 8);
    l.stage_stride = c.native || is_plain(a) ? 0 : round_up(most(c.d_qk, c.d_v), 16);
    l.slot_rows = least(most(1, SPLIT_ROWS / l.group), l.max_q) * l.group;
    l.n_counts = threads > 1 ? least(2 * threads - 1, batch * c.heads_kv) : 0;
    l.n_slots = l.n_counts * least(CHUNKS_MAX, divide_up(l.max_kv, CHUNK_MIN));
    l.slot_bytes = state_bytes(l.slot_rows, l.out_stride, engine);
    l.scratch_bytes =
        aligned(l.rows_max * l.q_stride) + aligned(l.k_depth * TENON_ATTENTION_TILE) +
        aligned(l.out_stride * TENON_ATTENTION_TILE) + aligned(l.rows_max * TENON_ATTENTION_TILE) +
        aligned(l.rows_max * TENON_ATTENTION_TILE / 2) +
        aligned(l.stage_stride * TENON_ATTENTION_TILE) + aligned(zero_words(c.d_qk, c.d_v)) +
        2 * state_bytes(l.rows_max, l.out_stride, engine);
    l.counts_at = (uint64_t)round_up(batch * (int64_t)sizeof(tenon_attention_sequence), 64);
    l.slots_at = l.counts_at + aligned(l.n_counts);
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

static void *carve(uint8_t **at, uint64_t bytes) {
    void *p = *at;
    *at += bytes;
    return p;
}

static tenon_attention_state carve_state(const tenon_attention_job *job, uint8_t **at,
                                         int64_t rows) {
    tenon_attention_state s;
    s.max = carve(at, aligned(rows));
    s.sum = carve(at, aligned(rows * job->engine->lanes));
    s.out = carve(at, aligned(rows * job->out_stride));
    return s;
}

static tenon_attention_scratch scratch_of(const tenon_attention_job *job, int32_t thread) {
    uint8_t *at = job->scratch + (uint64_t)thread * job->scratch_bytes;
    tenon_attention_scratch s;
    s.q = carve(&at, aligned((int64_t)job->rows_max * job->q_stride));
    s.k = carve(&at, aligned(round_up(job->d_qk, 8) * TENON_ATTENTION_TILE));
    s.v = carve(&at, aligned((int64_t)job->out_stride * TENON_ATTENTION_TILE));
    s.logits = carve(&at, aligned((int64_t)job->rows_max * TENON_ATTENTION_TILE));
    s.weights = carve(&at, aligned((int64_t)job->rows_max * TENON_ATTENTION_TILE / 2));
    s.staged = carve(&at, aligned((int64_t)job->stage_stride * TENON_ATTENTION_TILE));
    s.zeros = carve(&at, aligned(zero_words(job->d_qk, job->d_v)));
    s.total = carve_state(job, &at, job->rows_max);
    s.chunk = carve_state(job, &at, job->rows_max);
    memset(s.zeros, 0, aligned(zero_words(job->d_qk, job->d_v)));
    return s;
}

static tenon_attention_state slot_of(const tenon_attention_job *job, int64_t slot) {
    uint8_t *at = job->slots + (uint64_t)slot * job->slot_bytes;
    return carve_state(job, &at, job->slot_rows);
}

/* ---- one task ---- */

/* What any of the queries sees; tree masks only take away. */
static void visible_range(const tenon_attention_job *job, const tenon_attention_sequence *s,
                          int32_t first_query, int32_t n, int32_t *first, int32_t *end) {
    int32_t other;
    tenon_attention_visible(job, s, first_query, first, &other);
    tenon_attention_visible(job, s, first_query + n - 1, &other, end);
}

static const tenon_attention_sequence *sequence_of(const tenon_attention_job *job, int64_t task) {
    int64_t low = 0, high = job->n_sequences;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        *(job->sequences[middle].first_task <= task ? &low : &high) = middle;
    }
    return &job->sequences[low];
}

static void run_chunk(const tenon_attention_job *job, const tenon_attention_block *block,
                      int32_t chunk, tenon_attention_scratch *scratch,
                      tenon_attention_state *state) {
    const int64_t first = (int64_t)chunk * block->sequence->chunk;
    job->engine->accumulate(job, block, (int32_t)first,
                            (int32_t)least(first + block->sequence->chunk, block->kv_end), scratch,
                            state);
}

static void run_block(const tenon_attention_job *job, const tenon_attention_block *block,
                      tenon_attention_scratch *scratch) {
    const int32_t size = block->sequence->chunk, first = block->kv_first / size;
    run_chunk(job, block, first, scratch, &scratch->total);
    for (int32_t chunk = first + 1; (int64_t)chunk * size < block->kv_end; chunk++) {
        run_chunk(job, block, chunk, scratch, &scratch->chunk);
        job->engine->fold(job, block->n_rows, &scratch->total, &scratch->chunk);
    }
    job->engine->store(job, block, &scratch->total);
}

static void run_split(const tenon_attention_job *job, const tenon_attention_block *block,
                      int32_t chunk, tenon_attention_scratch *scratch) {
    const tenon_attention_sequence *s = block->sequence;
    const int64_t slots = s->first_slot + (int64_t)block->kv_head * s->n_chunks;
    tenon_attention_state state = slot_of(job, slots + chunk);
    run_chunk(job, block, s->first_chunk + chunk, scratch, &state);
    if (__atomic_sub_fetch(&job->counts[s->first_count + block->kv_head], 1, __ATOMIC_ACQ_REL))
        return;
    tenon_attention_state total = slot_of(job, slots);
    for (int32_t i = 1; i < s->n_chunks; i++) {
        const tenon_attention_state next = slot_of(job, slots + i);
        job->engine->fold(job, block->n_rows, &total, &next);
    }
    job->engine->store(job, block, &total);
}

static void run_task(void *arg, int64_t task, int32_t thread) {
    const tenon_attention_job *job = arg;
    const tenon_attention_sequence *s = sequence_of(job, task);
    const int32_t index = (int32_t)((task - s->first_task) / job->heads_kv);
    const int32_t n_blocks = (int32_t)divide_up(s->n_queries, s->block);
    tenon_attention_scratch scratch = scratch_of(job, thread);
    tenon_attention_block block = {.sequence = s,
                                   .kv_head = (int32_t)((task - s->first_task) % job->heads_kv)};
    /* Causal blocks at the end see most: they come first, so that short ones fill the gaps. */
    block.first_query = s->n_chunks ? 0 : (n_blocks - 1 - index) * s->block;
    block.n_queries = (int32_t)least(s->block, s->n_queries - block.first_query);
    block.n_rows = block.n_queries * job->group;
    visible_range(job, s, block.first_query, block.n_queries, &block.kv_first, &block.kv_end);
    job->engine->load_queries(job, &block, &scratch);
    if (s->n_chunks)
        run_split(job, &block, index, &scratch);
    else
        run_block(job, &block, &scratch);
}

/* ---- a run: check, cut, go ---- */

static void clear_rows(const tenon_attention_job *job, int64_t first, int64_t end) {
    const DLTensor *out = job->args->out, *lse = job->args->lse;
    for (int64_t t = first; t < end; t++)
        for (int64_t h = 0; h < out->shape[1]; h++) {
            memset((uint8_t *)tenon_data(out) +
                       (t * out->strides[0] + h * out->strides[1]) * element_bytes(out),
                   0, (size_t)(out->shape[2] * element_bytes(out)));
            if (lse)
                ((float *)tenon_data(lse))[t * lse->strides[0] + h * lse->strides[1]] = -INFINITY;
        }
}

/* Lengths and page lists hold anything: a sequence that fails its check keeps no queries, and its
 * rows are empty. */
static void read_sequences(const tenon_attention_job *job, tenon_attention_sequence *sequences) {
    const tenon_paged_batch batch =
        tenon_attention_batch(job->args, job->k_native.pages, job->page_size);
    const bool ok = tenon_paged_batch_ok(&batch);
    for (int64_t b = 0; b < job->n_sequences; b++) {
        tenon_attention_sequence *s = &sequences[b];
        tenon_paged_sequence checked;
        memset(s, 0, sizeof *s);
        if (!ok) continue;
        if (tenon_paged_sequence_at(&batch, b, &checked)) {
            s->pages = checked.pages;
            s->n_queries = (int32_t)checked.n_rows;
            s->kv_length = (int32_t)checked.kv_len;
        } else {
            clear_rows(job, checked.first_row, checked.first_row + checked.n_rows);
        }
        s->first_token = checked.first_row;
        s->chunk = chunk_of(s->n_queries, job->group, s->kv_length);
    }
    clear_rows(job, ok ? tenon_paged_batch_end(&batch) : 0, batch.n_rows);
}

static int64_t count_blocks(const tenon_attention_job *job,
                            const tenon_attention_sequence *sequences, int64_t block) {
    int64_t n = 0;
    for (int64_t b = 0; b < job->n_sequences; b++) n += divide_up(sequences[b].n_queries, block);
    return n * job->heads_kv;
}

/* Numbers the tasks and returns how many there are. */
static int64_t cut(const tenon_attention_job *job, const layout *l, int32_t threads,
                   tenon_attention_sequence *sequences) {
    int64_t block = l->block_max, n_tasks = 0, n_slots = 0, n_counts = 0;
    while (threads > 1 && block * l->group > BLOCK_ROWS_MIN &&
           count_blocks(job, sequences, block) < 4 * (int64_t)threads)
        block = (block + 1) / 2;
    const bool split = threads > 1 && count_blocks(job, sequences, block) < 2 * (int64_t)threads;
    for (int64_t b = 0; b < job->n_sequences; b++) {
        tenon_attention_sequence *s = &sequences[b];
        s->first_task = n_tasks;
        s->block = (int32_t)block;
        if (!s->n_queries) continue;
        if (split && s->n_queries * l->group <= l->slot_rows) {
            int32_t first, end;
            visible_range(job, s, 0, s->n_queries, &first, &end);
            const int64_t chunks = end > first ? divide_up(end, s->chunk) - first / s->chunk : 0;
            if (chunks > 1 && n_counts + job->heads_kv <= l->n_counts &&
                n_slots + chunks * job->heads_kv <= l->n_slots) {
                s->block = s->n_queries;
                s->first_chunk = first / s->chunk;
                s->n_chunks = (int32_t)chunks;
                s->first_slot = (int32_t)n_slots;
                s->first_count = (int32_t)n_counts;
                for (int32_t h = 0; h < job->heads_kv; h++) job->counts[n_counts++] = s->n_chunks;
                n_slots += chunks * job->heads_kv;
            }
        }
        n_tasks += job->heads_kv * (s->n_chunks ? s->n_chunks : divide_up(s->n_queries, s->block));
    }
    return n_tasks;
}

static tenon_attention_stage stage_of(const tenon_attention_args *a, const DLTensor *cache,
                                      const DLTensor *scale, const tenon_attention_engine *engine) {
    const bool split = cache->ndim == 5;
    return (tenon_attention_stage){
        .convert = engine->converters->to_from[TENON_NUMBER_F32]
                                              [tenon_stored_number(cache->dtype, a->kv_element)],
        .scale = scale,
        .n_pieces = split ? (int32_t)cache->shape[3] : 1,
        .piece = (int32_t)cache->shape[cache->ndim - 1],
        .piece_stride = split ? cache->strides[3] * element_bytes(cache) : 0};
}

static void set_strides(const DLTensor *t, int64_t *strides) {
    for (int i = 0; i < 3; i++) strides[i] = t->strides[i] * element_bytes(t);
}

int32_t tenon_attention_cpu_run(const tenon_kernel_plan *plan, const tenon_attention_args *args,
                                const tenon_attention_engine *engine, tenon_error *error) {
    const int32_t status = check_native(args, error);
    if (status) return status;
    const layout l = layout_of(plan, engine);
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
        .page_size = (int32_t)c.page_size,
        .left = args->window_left > 0 ? args->window_left : -1,
        .right = args->tree_mask                        ? -1
                 : args->flags & TENON_ATTENTION_CAUSAL ? 0
                 : args->window_right > 0 ? args->window_right
                                          : -1, /* a tree mask hides later tokens itself */
        .k_data = tenon_data(args->k),
        .v_data = tenon_data(args->v),
        .native = c.native,
        .k_native = native_of(&c, c.d_qk),
        .v_native = native_of(&c, c.d_v),
        .k_row_bytes =
            (int32_t)(c.d_qk * (c.native ? 2 * TENON_NATIVE_GROUP : element_bytes(args->k))),
        .v_row_bytes =
            (int32_t)(c.d_v * (c.native ? 2 * TENON_NATIVE_GROUP : element_bytes(args->v))),
        .q_type = tenon_number_of(args->q->dtype),
        .kv_type = tenon_number_of(args->k->dtype),
        .stage_stride = (int32_t)l.stage_stride,
        .out_type = tenon_number_of(args->out->dtype),
        .logit_scale = args->softcap > 0 ? scale / args->softcap : scale * log2_e,
        .softcap = args->softcap * log2_e,
        .counts = (int32_t *)(workspace + l.counts_at),
        .slots = workspace + l.slots_at,
        .scratch = workspace + l.scratch_at,
        .slot_bytes = l.slot_bytes,
        .scratch_bytes = l.scratch_bytes,
        .slot_rows = (int32_t)l.slot_rows,
    };
    if (!c.native) {
        set_strides(args->k, job.k_stride);
        set_strides(args->v, job.v_stride);
    }
    if (l.stage_stride) {
        job.k_stage = stage_of(args, args->k, args->k_scale, engine);
        job.v_stage = stage_of(args, args->v, args->v_scale, engine);
    }
    if (!is_float(args->q))
        job.q_convert = engine->converters->to_from[TENON_NUMBER_F32][job.q_type];
    read_sequences(&job, sequences);
    tenon_cpu_run(plan, cut(&job, &l, tenon_cpu_threads(plan), sequences), run_task, &job);
    return TENON_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "mla_attention_cpu.h"

#include <math.h>
#include <string.h>

#include "paged_sequence.h"

/* An FP8_DS row: 512 e4m3fn, 4 f32 scales, 64 bf16. */
enum { DS_LATENT = 512, DS_GROUP = 128, DS_ROPE = 64, DS_SCALES_AT = 512, DS_ROPE_AT = 528 };
enum { CONVERT_POSITIONS = 64, MAX_POSITIONS = 1 << 20 };

/* A tensor that this file makes up. */
typedef struct view {
    DLTensor t;
    int64_t shape[4], strides[4];
} view;

/* The attention problem that stands for a latent one. */
typedef struct stand_in {
    tenon_attention_args args;
    view k, v, q, out, lse, cu, lens, table;
    int32_t cu_data[2], lens_data[1], table_data[1];
} stand_in;

typedef struct state {
    const tenon_mla_level *level;
    stand_in s; /* as planned */
    tenon_kernel_plan attention;
    int64_t max_kv; /* positions that the converted sequence has room for; 0: the cache is read as
                       it stands */
    uint64_t converted_bytes; /* at the start of the workspace; attention's own follows */
} state;

static void set_view(view *v, const DLTensor *like, void *data, int32_t ndim, const int64_t *shape,
                     const int64_t *strides) {
    v->t = *like;
    v->t.data = data;
    v->t.byte_offset = 0;
    v->t.ndim = ndim;
    v->t.shape = v->shape;
    v->t.strides = v->strides;
    memcpy(v->shape, shape, (size_t)ndim * sizeof *shape);
    memcpy(v->strides, strides, (size_t)ndim * sizeof *strides);
}

/* Fields that do not depend on where the cache is. Pointers lead into *s: it must not move
 * afterwards. */
static void stand_for(stand_in *s, const tenon_mla_attention_args *a) {
    memset(&s->args, 0, sizeof s->args);
    s->args.struct_size = sizeof s->args;
    if (a->flags & TENON_MLA_ATTENTION_CAUSAL) s->args.flags |= TENON_ATTENTION_CAUSAL;
    if (a->flags & TENON_MLA_ATTENTION_LSE_BASE2) s->args.flags |= TENON_ATTENTION_LSE_BASE2;
    s->args.q = a->q;
    s->args.out = a->out;
    s->args.lse = a->lse;
    s->args.cu_seqlens_q = a->cu_seqlens_q;
    s->args.seq_lens = a->seq_lens;
    s->args.sinks = a->sinks;
    s->args.softmax_scale = a->softmax_scale;
    s->args.window_left = s->args.window_right = -1;
    s->args.max_q_len = a->max_q_len;
    s->args.max_kv_len = a->max_kv_len;
    s->args.k = &s->k.t;
    s->args.v = &s->v.t;
}

/* k and v over the cache itself. */
static void read_in_place(stand_in *s, const tenon_mla_attention_args *a) {
    const DLTensor *c = a->cache;
    const int64_t last = c->strides[c->ndim - 1],
                  strides[4] = {c->strides[0], c->strides[1], c->strides[1], last};
    const int64_t k[4] = {c->shape[0], c->shape[1], 1, a->q->shape[2]},
                  v[4] = {c->shape[0], c->shape[1], 1, a->out->shape[2]};
    set_view(&s->k, c, tenon_data(c), 4, k, strides);
    set_view(&s->v, c, tenon_data(c), 4, v, strides);
    s->args.k_scale = s->args.v_scale = a->kv_scale;
    s->args.kv_element = a->kv_element;
    s->args.block_table = a->block_table;
    s->args.page_indptr = a->page_indptr;
    s->args.page_indices = a->page_indices;
}

/* k and v over one page of converted positions, and lists that name one sequence of it. */
static void read_converted(stand_in *s, const tenon_mla_attention_args *a, tenon_number type,
                           void *data, int64_t max_kv) {
    const int64_t d = a->q->shape[2], k[4] = {1, max_kv, 1, d},
                  v[4] = {1, max_kv, 1, a->out->shape[2]}, strides[4] = {max_kv * d, d, d, 1},
                  one[4] = {1, 1, 1, 1};
    const int64_t two[1] = {2};
    DLTensor like = *a->cache;
    like.dtype = (DLDataType){(uint8_t)(type == TENON_NUMBER_BF16 ? kDLBfloat : kDLFloat),
                              (uint8_t)(8 * tenon_number_bytes(type)), 1};
    set_view(&s->k, &like, data, 4, k, strides);
    set_view(&s->v, &like, data, 4, v, strides);
    set_view(&s->cu, a->cu_seqlens_q, s->cu_data, 1, two, one);
    set_view(&s->lens, a->seq_lens, s->lens_data, 1, one, one);
    set_view(&s->table, a->seq_lens, s->table_data, 2, one, one);
    s->table_data[0] = 0;
    s->args.cu_seqlens_q = &s->cu.t;
    s->args.seq_lens = &s->lens.t;
    s->args.block_table = &s->table.t;
    s->args.max_kv_len = (int32_t)max_kv;
}

static int64_t max_positions(const tenon_mla_attention_args *a) {
    if (a->max_kv_len) return a->max_kv_len;
    int64_t entries = a->block_table ? a->block_table->shape[1] : a->page_indices->shape[0],
            positions;
    if (__builtin_mul_overflow(entries, a->cache->shape[1], &positions)) return INT64_MAX;
    return positions > 0 ? positions : 1;
}

/* Makes *s the problem that the attention row takes, in place if it can; max_kv is 0 then. */
static const char *choose(const tenon_mla_level *level, const tenon_problem *problem, stand_in *s,
                          int64_t *max_kv, tenon_reason *reason) {
    const tenon_mla_attention_args *a = problem->args;
    tenon_problem inner = *problem;
    inner.op = TENON_OP_ATTENTION;
    inner.args = &s->args;
    *max_kv = 0;
    stand_for(s, a);
    if (a->cache_format == TENON_MLA_CACHE_PLAIN) {
        read_in_place(s, a);
        const char *why = level->attention->why_not(&inner, reason);
        if (!why || a->cache->dtype.bits > 8) return why;
        stand_for(s, a);
    }
    int64_t positions = max_positions(a), last = a->cache->strides[a->cache->ndim - 1];
    if (positions > MAX_POSITIONS)
        return tenon_decline(
            reason,
            "converts a sequence at a time, and one may have %lld positions: give max_kv_len",
            (long long)positions);
    if (last != 1 && a->cache->shape[a->cache->ndim - 1] > 1)
        return tenon_decline(reason, "the cache's rows have stride %lld", (long long)last);
    *max_kv = positions;
    read_converted(s, a, level->converted, NULL, positions);
    return level->attention->why_not(&inner, reason);
}

const char *tenon_cpu_mla_attention_why_not(const tenon_mla_level *level,
                                            const tenon_problem *problem, tenon_reason *reason) {
    stand_in s;
    int64_t max_kv;
    return choose(level, problem, &s, &max_kv, reason);
}

int32_t tenon_cpu_mla_attention_plan(const tenon_mla_level *level, tenon_kernel_plan *plan,
                                     tenon_error *error) {
    const tenon_mla_attention_args *a = plan->problem.args;
    tenon_reason reason;
    state *st = tenon_platform_allocate(plan->problem.platform, sizeof *st);
    if (!st)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, TENON_OP_MLA_ATTENTION, -1,
                          "mla_attention: %zu bytes", sizeof *st);
    memset(st, 0, sizeof *st);
    plan->state = st;
    st->level = level;
    const char *why = choose(level, &plan->problem, &st->s, &st->max_kv, &reason);
    if (why)
        return tenon_fail(error, TENON_STATUS_INTERNAL, TENON_OP_MLA_ATTENTION, -1,
                          "mla_attention: was chosen, but %s", why);
    st->converted_bytes =
        ((uint64_t)(st->max_kv * a->q->shape[2] * tenon_number_bytes(level->converted)) + 63) / 64 *
        64;
    st->attention.kernel = level->attention;
    st->attention.problem = plan->problem;
    st->attention.problem.op = TENON_OP_ATTENTION;
    st->attention.problem.args = &st->s.args;
    int32_t status =
        level->attention->plan ? level->attention->plan(&st->attention, error) : TENON_OK;
    plan->workspace_bytes = st->converted_bytes + st->attention.workspace_bytes;
    if (st->attention.workspace_bytes_max)
        plan->workspace_bytes_max = st->converted_bytes + st->attention.workspace_bytes_max;
    return status;
}

void tenon_cpu_mla_attention_release(tenon_kernel_plan *plan) {
    state *st = plan->state;
    if (!st) return;
    if (st->attention.kernel && st->attention.kernel->release)
        st->attention.kernel->release(&st->attention);
    tenon_platform_release(plan->problem.platform, st, sizeof *st);
}

/* Attention reports into a slot of its own, so that the fault carries this operation's number. */
static int32_t attend(const state *st, stand_in *s, const tenon_mla_attention_args *a,
                      tenon_error *error) {
    tenon_fault fault = {0};
    s->args.fault = &fault;
    s->args.workspace = (char *)a->workspace + st->converted_bytes;
    s->args.workspace_bytes = a->workspace_bytes - st->converted_bytes;
    if (!a->workspace) s->args.workspace = NULL, s->args.workspace_bytes = 0;
    int32_t status = st->level->attention->run(&st->attention, &s->args, error);
    if (fault.code)
        tenon_report_fault(a->fault, TENON_OP_MLA_ATTENTION, fault.code, fault.position,
                           fault.value, fault.limit);
    return status;
}

/* ---- quantized caches ---- */

typedef struct conversion {
    const tenon_mla_attention_args *a;
    const state *st;
    const tenon_paged_sequence *sequence;
} conversion;

static void convert_row(const conversion *c, uint8_t *out, const uint8_t *row) {
    const tenon_mla_attention_args *a = c->a;
    const tenon_number to = c->st->level->converted;
    const tenon_row_convert_fn *from = c->st->level->converters->to_from[to];
    if (a->cache_format != TENON_MLA_CACHE_FP8_DS) {
        from[tenon_stored_number(a->cache->dtype, a->kv_element)](
            out, row, a->q->shape[2], a->kv_scale ? *(const float *)tenon_data(a->kv_scale) : 1);
        return;
    }
    for (int64_t group = 0; group < DS_LATENT / DS_GROUP; group++) {
        float scale;
        memcpy(&scale, row + DS_SCALES_AT + group * 4, sizeof scale);
        from[TENON_NUMBER_E4M3FN](out + group * DS_GROUP * tenon_number_bytes(to),
                                  row + group * DS_GROUP, DS_GROUP, scale);
    }
    from[TENON_NUMBER_BF16](out + DS_LATENT * tenon_number_bytes(to), row + DS_ROPE_AT, DS_ROPE, 1);
}

static void convert_some(void *arg, int64_t task, int32_t thread) {
    const conversion *c = arg;
    const DLTensor *cache = c->a->cache;
    const int64_t page_size = cache->shape[1],
                  row_bytes = c->a->q->shape[2] * tenon_number_bytes(c->st->level->converted);
    const int64_t end = (task + 1) * CONVERT_POSITIONS < c->sequence->kv_len
                            ? (task + 1) * CONVERT_POSITIONS
                            : c->sequence->kv_len;
    (void)thread;
    for (int64_t j = task * CONVERT_POSITIONS; j < end; j++) {
        int64_t at = c->sequence->pages[j / page_size] * cache->strides[0] +
                     j % page_size * cache->strides[1]; /* elements are bytes here */
        convert_row(c, (uint8_t *)c->a->workspace + j * row_bytes,
                    (const uint8_t *)tenon_data(cache) + at);
    }
}

static void empty_rows(const tenon_mla_attention_args *a, int64_t begin, int64_t end) {
    const int64_t bytes = a->out->dtype.bits / 8;
    for (int64_t t = begin; t < end; t++)
        for (int64_t h = 0; h < a->out->shape[1]; h++) {
            memset((char *)tenon_data(a->out) +
                       (t * a->out->strides[0] + h * a->out->strides[1]) * bytes,
                   0, (size_t)(a->out->shape[2] * bytes));
            if (a->lse)
                ((float *)tenon_data(a->lse))[t * a->lse->strides[0] + h * a->lse->strides[1]] =
                    -INFINITY;
        }
}

/* The rows of one sequence, as a view of a tensor over all tokens. */
static const DLTensor *rows_of(view *v, const DLTensor *t, const tenon_paged_sequence *s) {
    if (!t) return NULL;
    set_view(v, t, (char *)tenon_data(t) + s->first_row * t->strides[0] * (t->dtype.bits / 8),
             t->ndim, t->shape, t->strides);
    v->shape[0] = s->n_rows;
    return &v->t;
}

static int32_t run_converted(const tenon_kernel_plan *plan, const tenon_mla_attention_args *a,
                             tenon_error *error) {
    const state *st = plan->state;
    tenon_paged_batch batch = tenon_mla_attention_batch(a);
    stand_in s;
    if (!tenon_paged_batch_ok(&batch)) {
        empty_rows(a, 0, batch.n_rows);
        return TENON_OK;
    }
    stand_for(&s, a);
    read_converted(&s, a, st->level->converted, a->workspace, st->max_kv);
    for (int64_t b = 0; b < batch.n_sequences; b++) {
        tenon_paged_sequence sequence;
        if (!tenon_paged_sequence_at(&batch, b, &sequence) || sequence.kv_len == 0) {
            empty_rows(a, sequence.first_row, sequence.first_row + sequence.n_rows);
            continue;
        }
        conversion c = {a, st, &sequence};
        tenon_cpu_run(plan, (sequence.kv_len + CONVERT_POSITIONS - 1) / CONVERT_POSITIONS,
                      convert_some, &c);
        s.cu_data[0] = 0;
        s.cu_data[1] = (int32_t)sequence.n_rows;
        s.lens_data[0] = (int32_t)sequence.kv_len;
        s.args.q = rows_of(&s.q, a->q, &sequence);
        s.args.out = rows_of(&s.out, a->out, &sequence);
        s.args.lse = rows_of(&s.lse, a->lse, &sequence);
        int32_t status = attend(st, &s, a, error);
        if (status) return status;
    }
    empty_rows(a, tenon_paged_batch_end(&batch), batch.n_rows);
    return TENON_OK;
}

int32_t tenon_cpu_mla_attention_run(const tenon_kernel_plan *plan, const void *args,
                                    tenon_error *error) {
    const tenon_mla_attention_args *a = args;
    const state *st = plan->state;
    if (st->max_kv) return run_converted(plan, a, error);
    stand_in s;
    stand_for(&s, a);
    read_in_place(&s, a);
    return attend(st, &s, a, error);
}

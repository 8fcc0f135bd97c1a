/* SPDX-License-Identifier: Apache-2.0 */
#include "kv_append_cpu.h"

#include "head_row.h"

/* A task below this costs more to hand to another thread than to do. */
enum { TASK_BYTES = 64 * 1024 };

/* One of the two caches. */
typedef struct half {
    tenon_row_convert_fn convert;
    tenon_row_amax_fn amax; /* NULL: scales are given */
    tenon_number stored;
} half;

typedef struct state {
    half k, v;
} state;

typedef struct job {
    const tenon_kv_append_args *a;
    const state *s;
    int64_t n_tasks;
} job;

const char *tenon_cpu_kv_append_why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_kv_append_args *a = problem->args;
    if (a->flags & TENON_KV_APPEND_NATIVE_CACHE)
        return tenon_decline(reason, "writes strided caches only");
    return NULL;
}

static half half_of(const tenon_row_converters *c, const DLTensor *x, const DLTensor *cache,
                    int32_t kv_element, bool dynamic) {
    tenon_number from = tenon_number_of(x->dtype),
                 to = tenon_stored_number(cache->dtype, kv_element);
    return (half){c->to_from[to][from], dynamic ? c->amax[from] : NULL, to};
}

int32_t tenon_cpu_kv_append_plan(tenon_kernel_plan *plan, const tenon_row_converters *converters,
                                 tenon_error *error) {
    const tenon_kv_append_args *a = plan->problem.args;
    const bool dynamic = a->flags & TENON_KV_APPEND_DYNAMIC_SCALE;
    state *s = tenon_platform_allocate(plan->problem.platform, sizeof *s);
    if (!s)
        return tenon_fail(error, TENON_STATUS_NO_MEMORY, TENON_OP_KV_APPEND, -1,
                          "kv_append: %zu bytes", sizeof *s);
    s->k = half_of(converters, a->key, a->k, a->kv_element, dynamic);
    s->v = half_of(converters, a->value, a->v, a->kv_element, dynamic);
    plan->state = s;
    return TENON_OK;
}

void tenon_cpu_kv_append_release(tenon_kernel_plan *plan) {
    tenon_platform_release(plan->problem.platform, plan->state, sizeof(state));
}

static void append(const half *h, const DLTensor *x, const DLTensor *cache, const DLTensor *scale,
                   int64_t t, int64_t page, int64_t slot) {
    const int64_t heads = x->shape[1], d = x->shape[2], x_bytes = x->dtype.bits / 8,
                  cache_bytes = cache->dtype.bits / 8;
    const tenon_head_row row = tenon_head_row_of(cache);
    const char *from = (const char *)tenon_data(x) + t * x->strides[0] * x_bytes;
    char *to = (char *)tenon_data(cache) +
               (page * cache->strides[0] + slot * cache->strides[1]) * cache_bytes;
    if (!scale || (scale->ndim == 1 && scale->shape[0] == 1)) {
        float s = scale ? *tenon_scale_at(scale, 0, 0, 0) : 1;
        if (row.contiguous && (heads == 1 || (x->strides[1] == d && cache->strides[2] == d))) {
            h->convert(to, from, heads * d, s);
            return;
        }
        for (int64_t i = 0; i < heads; i++)
            tenon_head_row_write(&row, to + i * cache->strides[2] * cache_bytes,
                                 from + i * x->strides[1] * x_bytes, x_bytes, h->convert, s);
        return;
    }
    for (int64_t i = 0; i < heads; i++) {
        const char *in = from + i * x->strides[1] * x_bytes;
        float *s = tenon_scale_at(scale, page, slot, i);
        if (h->amax) *s = tenon_dynamic_scale(h->amax(in, d), h->stored);
        tenon_head_row_write(&row, to + i * cache->strides[2] * cache_bytes, in, x_bytes,
                             h->convert, *s);
    }
}

static void append_some(void *arg, int64_t task, int32_t thread) {
    const job *j = arg;
    const tenon_kv_append_args *a = j->a;
    const int64_t n_tokens = a->key->shape[0], page_size = a->k->shape[1],
                  n_slots = a->k->shape[0] * page_size;
    const tenon_number index = tenon_number_of(a->slot_mapping->dtype);
    (void)thread;
    for (int64_t t = n_tokens * task / j->n_tasks; t < n_tokens * (task + 1) / j->n_tasks; t++) {
        int64_t place = tenon_index_load(index, tenon_data(a->slot_mapping), t);
        if (place == -1) continue;
        if (place < 0 || place >= n_slots) {
            tenon_report_fault(a->fault, TENON_OP_KV_APPEND, TENON_FAULT_PAGE_OUT_OF_RANGE, t,
                               place, n_slots);
            continue;
        }
        append(&j->s->k, a->key, a->k, a->k_scale, t, place / page_size, place % page_size);
        append(&j->s->v, a->value, a->v, a->v_scale, t, place / page_size, place % page_size);
    }
}

int32_t tenon_cpu_kv_append_run(const tenon_kernel_plan *plan, const void *args,
                                tenon_error *error) {
    const tenon_kv_append_args *a = args;
    const int64_t n_tokens = a->key->shape[0];
    int64_t bytes = n_tokens * a->key->shape[1] * (a->key->shape[2] + a->value->shape[2]) *
                    (a->key->dtype.bits / 8);
    job j = {a, plan->state, bytes / TASK_BYTES + 1};
    (void)error;
    if (j.n_tasks > n_tokens) j.n_tasks = n_tokens;
    if (j.n_tasks <= 1) {
        j.n_tasks = 1;
        append_some(&j, 0, 0);
    } else {
        tenon_cpu_run(plan, j.n_tasks, append_some, &j);
    }
    return TENON_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "kv_gather_cpu.h"

#include <string.h>

#include "head_row.h"
#include "paged_sequence.h"

/* A task below this costs more to hand to another thread than to do. */
enum { TASK_BYTES = 64 * 1024 };

typedef struct job {
    const tenon_kv_gather_args *a;
    const tenon_row_converters *converters;
    const tenon_paged_sequence *sequences; /* a sequence that is wrong has kv_len 0 */
    int64_t n_sequences, n_rows, n_tasks;  /* rows that belong to sequences */
} job;

const char *tenon_cpu_kv_gather_why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_kv_gather_args *a = problem->args;
    if (a->flags & TENON_KV_GATHER_NATIVE_CACHE)
        return tenon_decline(reason, "reads strided caches only");
    return NULL;
}

/* The state is the table of converters, which nobody has to free; the workspace holds the checked
 * sequences. */
int32_t tenon_cpu_kv_gather_plan(tenon_kernel_plan *plan, const tenon_row_converters *converters,
                                 tenon_error *error) {
    const tenon_kv_gather_args *a = plan->problem.args;
    (void)error;
    plan->state = (void *)(uintptr_t)converters;
    plan->workspace_bytes = (uint64_t)a->cu_rows->shape[0] * sizeof(tenon_paged_sequence);
    return TENON_OK;
}

static void zero_rows(const DLTensor *out, int64_t begin, int64_t end) {
    const int64_t bytes = out->dtype.bits / 8;
    for (int64_t row = begin; row < end; row++)
        for (int64_t h = 0; h < out->shape[1]; h++)
            memset((char *)tenon_data(out) + (row * out->strides[0] + h * out->strides[1]) * bytes,
                   0, (size_t)(out->shape[2] * bytes));
}

/* n slots of one page, from `slot` on, to the rows from `row` on: as few conversions as the strides
 * allow. */
static void copy_rows(tenon_row_convert_fn convert, const DLTensor *out, int64_t row,
                      const DLTensor *cache, const DLTensor *scale, int64_t page, int64_t slot,
                      int64_t n) {
    const int64_t heads = out->shape[1], d = out->shape[2], out_bytes = out->dtype.bits / 8,
                  cache_bytes = cache->dtype.bits / 8;
    const tenon_head_row head = tenon_head_row_of(cache);
    const char *from = (const char *)tenon_data(cache) +
                       (page * cache->strides[0] + slot * cache->strides[1]) * cache_bytes;
    char *to = (char *)tenon_data(out) + row * out->strides[0] * out_bytes;
    const bool one_scale = !scale || (scale->ndim == 1 && scale->shape[0] == 1);
    const bool heads_adjoin = one_scale && head.contiguous &&
                              (heads == 1 || (out->strides[1] == d && cache->strides[2] == d));
    if (heads_adjoin && out->strides[0] == heads * d &&
        (n == 1 || cache->strides[1] == heads * d)) {
        convert(to, from, n * heads * d, scale ? *tenon_scale_at(scale, 0, 0, 0) : 1);
        return;
    }
    for (int64_t i = 0; i < n;
         i++, to += out->strides[0] * out_bytes, from += cache->strides[1] * cache_bytes) {
        if (heads_adjoin) {
            convert(to, from, heads * d, scale ? *tenon_scale_at(scale, 0, 0, 0) : 1);
            continue;
        }
        for (int64_t h = 0; h < heads; h++)
            tenon_head_row_read(&head, to + h * out->strides[1] * out_bytes,
                                from + h * cache->strides[2] * cache_bytes, out_bytes, convert,
                                scale ? *tenon_scale_at(scale, page, slot + i, h) : 1);
    }
}

/* The sequence that a row belongs to: the last one that starts at or before it. */
static int64_t sequence_of(const job *j, int64_t row) {
    int64_t low = 0, high = j->n_sequences;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (j->sequences[middle].first_row <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void gather_some(void *arg, int64_t task, int32_t thread) {
    const job *j = arg;
    const tenon_kv_gather_args *a = j->a;
    const int64_t page_size = a->k->shape[1], end = j->n_rows * (task + 1) / j->n_tasks;
    const tenon_row_convert_fn convert_k =
        j->converters->to_from[tenon_number_of(a->key->dtype)]
                              [tenon_stored_number(a->k->dtype, a->kv_element)];
    const tenon_row_convert_fn convert_v =
        j->converters->to_from[tenon_number_of(a->value->dtype)]
                              [tenon_stored_number(a->v->dtype, a->kv_element)];
    int64_t row = j->n_rows * task / j->n_tasks;
    (void)thread;
    for (int64_t b = row < end ? sequence_of(j, row) : 0; row < end; b++) {
        const tenon_paged_sequence *s = &j->sequences[b];
        int64_t last = s->first_row + s->n_rows < end ? s->first_row + s->n_rows : end;
        if (s->kv_len == 0) {
            zero_rows(a->key, row, last);
            zero_rows(a->value, row, last);
            row = last;
            continue;
        }
        while (row < last) {
            int64_t position = s->visible_begin + row - s->first_row,
                    page = s->pages[position / page_size], slot = position % page_size;
            int64_t n = page_size - slot < last - row ? page_size - slot : last - row;
            copy_rows(convert_k, a->key, row, a->k, a->k_scale, page, slot, n);
            copy_rows(convert_v, a->value, row, a->v, a->v_scale, page, slot, n);
            row += n;
        }
    }
}

int32_t tenon_cpu_kv_gather_run(const tenon_kernel_plan *plan, const void *args,
                                tenon_error *error) {
    const tenon_kv_gather_args *a = args;
    tenon_paged_batch batch = tenon_kv_gather_batch(a, a->k->shape[0], a->k->shape[1]);
    tenon_paged_sequence *sequences = a->workspace;
    job j = {a, plan->state, sequences, batch.n_sequences, 0, 1};
    (void)error;
    if (tenon_paged_batch_ok(&batch)) {
        j.n_rows = tenon_paged_batch_end(&batch);
        for (int64_t b = 0; b < batch.n_sequences; b++)
            if (!tenon_paged_sequence_at(&batch, b, &sequences[b])) sequences[b].kv_len = 0;
    }
    int64_t bytes = j.n_rows * a->key->shape[1] * (a->key->shape[2] + a->value->shape[2]) *
                    (a->key->dtype.bits / 8);
    j.n_tasks = bytes / TASK_BYTES + 1;
    if (j.n_tasks > j.n_rows) j.n_tasks = j.n_rows;
    if (j.n_tasks > 1)
        tenon_cpu_run(plan, j.n_tasks, gather_some, &j);
    else if (j.n_tasks == 1)
        gather_some(&j, 0, 0);
    zero_rows(a->key, j.n_rows, batch.n_rows);
    zero_rows(a->value, j.n_rows, batch.n_rows);
    return TENON_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "mla_append_cpu.h"

#include <string.h>

#include "head_row.h"
#include "latent_row.h"

/* A task below this costs more to hand to another thread than to do. */
enum { TASK_BYTES = 64 * 1024 };

typedef struct job {
    const tenon_mla_append_args *a;
    const tenon_row_converters *converters;
    int64_t n_tasks;
} job;

/* The state is the table of converters, which nobody has to free. */
int32_t tenon_cpu_mla_append_plan(tenon_kernel_plan *plan, const tenon_row_converters *converters,
                                  tenon_error *error) {
    (void)error;
    plan->state = (void *)(uintptr_t)converters;
    return TENON_OK;
}

static void append_plain(const job *j, uint8_t *row, const uint8_t *latent, const uint8_t *rope) {
    const tenon_mla_append_args *a = j->a;
    const tenon_number to = tenon_stored_number(a->cache->dtype, a->kv_element);
    const int64_t d_latent = a->kv_c->shape[1];
    const float scale = a->kv_scale ? *(const float *)tenon_data(a->kv_scale) : 1;
    tenon_head_row part = tenon_head_row_of(a->cache);
    part.n = part.piece = d_latent;
    tenon_head_row_write(&part, (char *)row, (const char *)latent, a->kv_c->dtype.bits / 8,
                         j->converters->to_from[to][tenon_number_of(a->kv_c->dtype)], scale);
    if (!rope) return;
    part.n = part.piece = a->k_pe->shape[a->k_pe->ndim - 1];
    tenon_head_row_write(&part, (char *)row + d_latent * part.step, (const char *)rope,
                         a->k_pe->dtype.bits / 8,
                         j->converters->to_from[to][tenon_number_of(a->k_pe->dtype)], scale);
}

static void append_fp8_ds(const job *j, uint8_t *row, const uint8_t *latent, const uint8_t *rope) {
    const tenon_number from = tenon_number_of(j->a->kv_c->dtype);
    for (int64_t group = 0; group < TENON_DS_LATENT / TENON_DS_GROUP; group++) {
        const uint8_t *x = latent + group * TENON_DS_GROUP * tenon_number_bytes(from);
        const float scale =
            tenon_dynamic_scale(j->converters->amax[from](x, TENON_DS_GROUP), TENON_NUMBER_E4M3FN);
        memcpy(row + TENON_DS_SCALES_AT + group * 4, &scale, sizeof scale);
        j->converters->to_from[TENON_NUMBER_E4M3FN][from](row + group * TENON_DS_GROUP, x,
                                                          TENON_DS_GROUP, scale);
    }
    j->converters->to_from[TENON_NUMBER_BF16][tenon_number_of(j->a->k_pe->dtype)](
        row + TENON_DS_ROPE_AT, rope, TENON_DS_ROPE, 1);
}

static void append_some(void *arg, int64_t task, int32_t thread) {
    const job *j = arg;
    const tenon_mla_append_args *a = j->a;
    const int64_t n_tokens = a->kv_c->shape[0], page_size = a->cache->shape[1],
                  n_slots = a->cache->shape[0] * page_size;
    const int64_t latent_step = a->kv_c->strides[0] * (a->kv_c->dtype.bits / 8),
                  rope_step = a->k_pe->strides[0] * (a->k_pe->dtype.bits / 8);
    const int64_t cache_bytes = a->cache->dtype.bits / 8;
    const tenon_number index = tenon_number_of(a->slot_mapping->dtype);
    (void)thread;
    for (int64_t t = n_tokens * task / j->n_tasks; t < n_tokens * (task + 1) / j->n_tasks; t++) {
        int64_t place = tenon_index_load(index, tenon_data(a->slot_mapping), t);
        if (place == -1) continue;
        if (place < 0 || place >= n_slots) {
            tenon_report_fault(a->fault, TENON_OP_MLA_APPEND, TENON_FAULT_PAGE_OUT_OF_RANGE, t,
                               place, n_slots);
            continue;
        }
        uint8_t *row =
            (uint8_t *)tenon_data(a->cache) +
            (place / page_size * a->cache->strides[0] + place % page_size * a->cache->strides[1]) *
                cache_bytes;
        const uint8_t *latent = (const uint8_t *)tenon_data(a->kv_c) + t * latent_step;
        const uint8_t *rope = tenon_data(a->k_pe); /* NULL where there is no rope part */
        if (rope) rope += t * rope_step;
        (a->cache_format == TENON_MLA_CACHE_FP8_DS ? append_fp8_ds : append_plain)(j, row, latent,
                                                                                   rope);
    }
}

int32_t tenon_cpu_mla_append_run(const tenon_kernel_plan *plan, const void *args,
                                 tenon_error *error) {
    const tenon_mla_append_args *a = args;
    const int64_t n_tokens = a->kv_c->shape[0];
    job j = {a, plan->state,
             n_tokens * a->kv_c->shape[1] * (a->kv_c->dtype.bits / 8) / TASK_BYTES + 1};
    (void)error;
    if (j.n_tasks > n_tokens) j.n_tasks = n_tokens;
    if (j.n_tasks > 1)
        tenon_cpu_run(plan, j.n_tasks, append_some, &j);
    else if (n_tokens > 0)
        append_some(&j, 0, 0);
    return TENON_OK;
}

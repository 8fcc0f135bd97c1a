/* SPDX-License-Identifier: Apache-2.0 */
/* kv_gather: key[cu_rows[b] + r] = k_scale * k[kv position seq_starts[b] + r of sequence b], the
 * product in f32, and values likewise. */
#include "paged_sequence.h"
#include "ref_paged_cache.h"

static void copy_row(const tenon_ref_cache *cache, const DLTensor *out, int64_t row, int64_t page,
                     int64_t slot) {
    for (int64_t h = 0; h < out->shape[1]; h++)
        for (int64_t d = 0; d < out->shape[2]; d++)
            tenon_ref_store3(out, row, h, d,
                             tenon_ref_product(tenon_ref_cache_load(cache, page, slot, h, d),
                                               tenon_ref_cache_scale(cache, page, slot, h)));
}

static void empty_rows(const DLTensor *out, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++)
        for (int64_t h = 0; h < out->shape[1]; h++)
            for (int64_t d = 0; d < out->shape[2]; d++) tenon_ref_store3(out, row, h, d, 0);
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_kv_gather_args *a = args;
    const int64_t page_size = a->k->shape[1];
    tenon_ref_cache k = tenon_ref_cache_of(a->k, a->k_scale, a->kv_element),
                    v = tenon_ref_cache_of(a->v, a->v_scale, a->kv_element);
    tenon_paged_batch batch = tenon_kv_gather_batch(a, a->k->shape[0], page_size);
    int64_t end = 0;
    (void)plan, (void)error;

    if (tenon_paged_batch_ok(&batch)) {
        end = tenon_paged_batch_end(&batch);
        for (int64_t b = 0; b < batch.n_sequences; b++) {
            tenon_paged_sequence s;
            if (!tenon_paged_sequence_at(&batch, b, &s)) {
                empty_rows(a->key, s.first_row, s.first_row + s.n_rows);
                empty_rows(a->value, s.first_row, s.first_row + s.n_rows);
                continue;
            }
            for (int64_t j = s.visible_begin; j < s.visible_end; j++) {
                copy_row(&k, a->key, s.first_row + j - s.visible_begin, s.pages[j / page_size],
                         j % page_size);
                copy_row(&v, a->value, s.first_row + j - s.visible_begin, s.pages[j / page_size],
                         j % page_size);
            }
        }
    }
    empty_rows(a->key, end, batch.n_rows);
    empty_rows(a->value, end, batch.n_rows);
    return TENON_OK;
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_kv_gather_args *a = problem->args;
    if (a->flags & TENON_KV_GATHER_NATIVE_CACHE)
        return tenon_decline(reason, "reads strided caches only");
    return NULL;
}

extern const tenon_kernel tenon_ref_kv_gather;
const tenon_kernel tenon_ref_kv_gather = {
    .name = "ref_kv_gather",
    .op = TENON_OP_KV_GATHER,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .run = run,
};

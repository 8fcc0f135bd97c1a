/* SPDX-License-Identifier: Apache-2.0 */
/* merge_states, as the paper has it (Flash-Decoding; FlashInfer's attention states):
 *
 *     out = sum_s w[s] o[s] / sum_s w[s],   w[s] = exp(lse[s] - max lse),   lse = max lse + log
 * sum_s w[s]
 */
#include <math.h>

#include "ref_tensor.h"

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_merge_states_args *a = args;
    const int64_t n_states = a->partial_out->shape[0], n_tokens = a->out->shape[0],
                  n_heads = a->out->shape[1], d_v = a->out->shape[2];
    const double log_base = a->flags & TENON_MERGE_STATES_LSE_BASE2 ? log(2.0) : 1.0;
    (void)plan, (void)error;

    for (int64_t t = 0; t < n_tokens; t++)
        for (int64_t h = 0; h < n_heads; h++) {
            double max = -INFINITY, sum = 0;
            for (int64_t s = 0; s < n_states; s++) {
                double lse = tenon_ref_load3(a->partial_lse, s, t, h);
                if (lse != INFINITY && lse > max)
                    max = lse; /* +inf marks an empty state for some hosts; so does -inf */
            }
            for (int64_t s = 0; s < n_states; s++) {
                double lse = tenon_ref_load3(a->partial_lse, s, t, h);
                if (isfinite(lse) || isnan(lse)) sum += exp((lse - max) * log_base);
            }
            for (int64_t d = 0; d < d_v; d++) {
                double acc = 0;
                for (int64_t s = 0; s < n_states; s++) {
                    double lse = tenon_ref_load3(a->partial_lse, s, t, h);
                    if (isfinite(lse) || isnan(lse))
                        acc += exp((lse - max) * log_base) *
                               tenon_ref_load4(a->partial_out, s, t, h, d);
                }
                tenon_ref_store3(a->out, t, h, d, sum == 0 ? 0 : acc / sum);
            }
            if (a->lse)
                tenon_ref_store2(a->lse, t, h, sum == 0 ? -INFINITY : max + log(sum) / log_base);
        }
    return TENON_OK;
}

extern const tenon_kernel tenon_ref_merge_states;
const tenon_kernel tenon_ref_merge_states = {
    .name = "ref_merge_states",
    .op = TENON_OP_MERGE_STATES,
    .traits = TENON_TRAIT_REFERENCE | TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .run = run,
};

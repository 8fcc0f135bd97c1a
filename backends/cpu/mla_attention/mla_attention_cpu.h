/* SPDX-License-Identifier: Apache-2.0 */
/* Latent attention is attention with one KV head whose values are the first d_latent elements of
 * its keys: the rows here hand it to the attention row of the same instruction set, as two views of
 * one cache. */
#ifndef TENON_MLA_ATTENTION_CPU_H
#define TENON_MLA_ATTENTION_CPU_H

#include "cpu_backend.h"

const char *tenon_cpu_mla_attention_why_not(const tenon_kernel *attention,
                                            const tenon_problem *problem, tenon_reason *reason);
int32_t tenon_cpu_mla_attention_plan(const tenon_kernel *attention, tenon_kernel_plan *plan,
                                     tenon_error *error);
int32_t tenon_cpu_mla_attention_run(const tenon_kernel_plan *plan, const void *args,
                                    tenon_error *error);
void tenon_cpu_mla_attention_release(tenon_kernel_plan *plan);

/* What the rows have in common. */
#define TENON_CPU_MLA_ATTENTION_ROW                                                                \
    .op = TENON_OP_MLA_ATTENTION,                                                                  \
    .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT, .checked_on = "hardware",   \
    .run = tenon_cpu_mla_attention_run, .release = tenon_cpu_mla_attention_release

#endif /* TENON_MLA_ATTENTION_CPU_H */

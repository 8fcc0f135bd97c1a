/* SPDX-License-Identifier: Apache-2.0 */
/* kv_append: one conversion per (token, head), or per token where heads
 * lie side by side. The rows of kv_append_<arch>.c differ in their converters only. */
#ifndef TENON_KV_APPEND_CPU_H
#define TENON_KV_APPEND_CPU_H

#include "cpu_backend.h"
#include "row_convert.h"

const char *tenon_cpu_kv_append_why_not(const tenon_problem *problem, tenon_reason *reason);
int32_t tenon_cpu_kv_append_plan(tenon_kernel_plan *plan, const tenon_row_converters *converters,
                                 tenon_error *error);
int32_t tenon_cpu_kv_append_run(const tenon_kernel_plan *plan, const void *args,
                                tenon_error *error);
void tenon_cpu_kv_append_release(tenon_kernel_plan *plan);

/* What the rows have in common. */
#define TENON_CPU_KV_APPEND_ROW                                                                    \
    .op = TENON_OP_KV_APPEND, .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,   \
    .checked_on = "hardware", .why_not = tenon_cpu_kv_append_why_not,                              \
    .run = tenon_cpu_kv_append_run, .release = tenon_cpu_kv_append_release

#endif /* TENON_KV_APPEND_CPU_H */

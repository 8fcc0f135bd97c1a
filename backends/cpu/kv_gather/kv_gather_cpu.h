/* SPDX-License-Identifier: Apache-2.0 */
/* kv_gather: every sequence is checked first, then the rows are split
 * evenly among threads, whatever the lengths of their sequences. The rows of kv_gather_<arch>.c
 * differ in their converters only. */
#ifndef TENON_KV_GATHER_CPU_H
#define TENON_KV_GATHER_CPU_H

#include "cpu_backend.h"
#include "row_convert.h"

const char *tenon_cpu_kv_gather_why_not(const tenon_problem *problem, tenon_reason *reason);
int32_t tenon_cpu_kv_gather_plan(tenon_kernel_plan *plan, const tenon_row_converters *converters,
                                 tenon_error *error);
int32_t tenon_cpu_kv_gather_run(const tenon_kernel_plan *plan, const void *args,
                                tenon_error *error);

/* What the rows have in common. */
#define TENON_CPU_KV_GATHER_ROW                                                                    \
    .op = TENON_OP_KV_GATHER, .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,   \
    .checked_on = "hardware", .why_not = tenon_cpu_kv_gather_why_not,                              \
    .run = tenon_cpu_kv_gather_run

#endif /* TENON_KV_GATHER_CPU_H */

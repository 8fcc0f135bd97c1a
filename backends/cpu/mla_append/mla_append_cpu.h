/* SPDX-License-Identifier: Apache-2.0 */
/* mla_append: the latent and the rope part are one conversion each, an
 * FP8_DS latent four. The rows of mla_append_<arch>.c differ in their converters only. */
#ifndef TENON_MLA_APPEND_CPU_H
#define TENON_MLA_APPEND_CPU_H

#include "cpu_backend.h"
#include "row_convert.h"

int32_t tenon_cpu_mla_append_plan(tenon_kernel_plan *plan, const tenon_row_converters *converters,
                                  tenon_error *error);
int32_t tenon_cpu_mla_append_run(const tenon_kernel_plan *plan, const void *args,
                                 tenon_error *error);

/* What the rows have in common. */
#define TENON_CPU_MLA_APPEND_ROW                                                                   \
    .op = TENON_OP_MLA_APPEND, .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,  \
    .checked_on = "hardware", .run = tenon_cpu_mla_append_run

#endif /* TENON_MLA_APPEND_CPU_H */

/* SPDX-License-Identifier: Apache-2.0 */
/* merge_states on any GPU: what its rows are made of. */
#ifndef TENON_MERGE_STATES_LAUNCH_H
#define TENON_MERGE_STATES_LAUNCH_H

#include "gpu_launch.h"

const char *tenon_gpu_merge_states_declines(const tenon_problem *problem, tenon_reason *reason);
int32_t tenon_gpu_merge_states_plan(tenon_kernel_plan *p, tenon_error *error);
int32_t tenon_gpu_merge_states_run(const tenon_kernel_plan *p, const void *args,
                                   tenon_error *error);

#endif /* TENON_MERGE_STATES_LAUNCH_H */

/* SPDX-License-Identifier: Apache-2.0 */
/* moe_dispatch on any GPU: what its rows are made of. */
#ifndef TENON_MOE_DISPATCH_LAUNCH_H
#define TENON_MOE_DISPATCH_LAUNCH_H

#include "gpu_launch.h"

const char *tenon_gpu_moe_dispatch_declines(const tenon_problem *problem, tenon_reason *reason);
int32_t tenon_gpu_moe_dispatch_plan(tenon_kernel_plan *p, tenon_error *error);
int32_t tenon_gpu_moe_dispatch_run(const tenon_kernel_plan *p, const void *args,
                                   tenon_error *error);

#endif /* TENON_MOE_DISPATCH_LAUNCH_H */

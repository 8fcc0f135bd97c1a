/* SPDX-License-Identifier: Apache-2.0 */
/* moe_route on any GPU: what its rows are made of. */
#ifndef TENON_MOE_ROUTE_LAUNCH_H
#define TENON_MOE_ROUTE_LAUNCH_H

#include "gpu_launch.h"

const char *tenon_gpu_moe_route_declines(const tenon_problem *problem, tenon_reason *reason);
int32_t tenon_gpu_moe_route_plan(tenon_kernel_plan *p, tenon_error *error);
int32_t tenon_gpu_moe_route_run(const tenon_kernel_plan *p, const void *args, tenon_error *error);

#endif /* TENON_MOE_ROUTE_LAUNCH_H */

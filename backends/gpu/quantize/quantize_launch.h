/* SPDX-License-Identifier: Apache-2.0 */
/* quantize on any GPU: what its rows are made of. */
#ifndef TENON_QUANTIZE_LAUNCH_H
#define TENON_QUANTIZE_LAUNCH_H

#include "gpu_launch.h"

const char *tenon_gpu_quantize_declines(const tenon_problem *problem, tenon_reason *reason);
int32_t tenon_gpu_quantize_plan(tenon_kernel_plan *p, tenon_error *error);
int32_t tenon_gpu_quantize_run(const tenon_kernel_plan *p, const void *args, tenon_error *error);

#endif /* TENON_QUANTIZE_LAUNCH_H */

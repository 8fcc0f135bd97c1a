/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_MOE_ROUTE_CPU_H
#define TENON_MOE_ROUTE_CPU_H

#include "backend.h"

/* Routes tokens [begin, end). */
typedef void (*tenon_moe_route_fn)(const tenon_moe_route_args *args, int64_t begin, int64_t end);

void tenon_moe_route_tokens_scalar(const tenon_moe_route_args *args, int64_t begin, int64_t end);
void tenon_moe_route_tokens_arm_neon(const tenon_moe_route_args *args, int64_t begin, int64_t end);
void tenon_moe_route_tokens_x86_avx2(const tenon_moe_route_args *args, int64_t begin, int64_t end);
void tenon_moe_route_tokens_x86_avx512(const tenon_moe_route_args *args, int64_t begin,
                                       int64_t end);

#endif /* TENON_MOE_ROUTE_CPU_H */

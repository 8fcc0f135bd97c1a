/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_arm_neon.h"

#include "moe_route_body.h"

void tenon_moe_route_tokens_arm_neon(const tenon_moe_route_args *args, int64_t begin, int64_t end) {
    route_tokens(args, begin, end);
}

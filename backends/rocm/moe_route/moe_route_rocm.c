/* SPDX-License-Identifier: Apache-2.0 */
#include "moe_route_launch.h"
#include "rocm_launch.h"

TENON_ROCM_WHY_NOT(why_not_gfx9, TENON_ROCM_WAVE64, tenon_gpu_moe_route_declines)
extern const tenon_kernel tenon_rocm_moe_route_gfx9;
const tenon_kernel tenon_rocm_moe_route_gfx9 = {
    TENON_GPU_ROW(moe_route, MOE_ROUTE, TENON_TRAIT_BATCH_INVARIANT), .name = "rocm_moe_route_gfx9",
    .needs = TENON_ROCM_WAVE64, .checked_on = "emulated", .why_not = why_not_gfx9};

TENON_ROCM_WHY_NOT(why_not_gfx1250, TENON_ROCM_GFX12, tenon_gpu_moe_route_declines)
extern const tenon_kernel tenon_rocm_moe_route_gfx1250;
const tenon_kernel tenon_rocm_moe_route_gfx1250 = {
    TENON_GPU_ROW(moe_route, MOE_ROUTE, TENON_TRAIT_BATCH_INVARIANT),
    .name = "rocm_moe_route_gfx1250", .needs = TENON_ROCM_GFX12, .checked_on = "compiled",
    .why_not = why_not_gfx1250};

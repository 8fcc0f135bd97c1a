/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_launch.h"
#include "mla_append_launch.h"

TENON_CUDA_WHY_NOT(why_not_sm80, TENON_CUDA_SM80, tenon_gpu_mla_append_declines)
extern const tenon_kernel tenon_cuda_mla_append_sm80;
const tenon_kernel tenon_cuda_mla_append_sm80 = {
    TENON_GPU_ROW(mla_append, MLA_APPEND, TENON_TRAIT_BATCH_INVARIANT),
    .name = "cuda_mla_append_sm80", .needs = TENON_CUDA_SM80, .checked_on = "emulated",
    .why_not = why_not_sm80};

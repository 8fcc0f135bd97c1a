/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts about the hardware that rest on fewer than two sources.
 */
#include "gpu_amd.h"

static const gpu_amd_unconfirmed facts[] = {
    {"v_mfma_scale_*",
     "the scale of row i, elements 32 b to 32 b + 31 is in lane M b + i; its byte is op_sel + 2 "
     "op_sel_hi",
     "one scale a lane: AMD's article on CDNA4; which lane and which byte: convention"},
    {"v_mfma_f32_16x16x128_f8f6f4 with 8 bits; FP6 and BF6 of both shapes",
     "8 bits: chunks of 16 go round the lane groups as in 32x32x64; 6 bits: contiguous",
     "rocjitsu's MFMA operand rule; AMD's article has 32x32x64 with FP8 and FP4 only"},
    {"v_mfma_*_16x16x32_(b)f16, 32x32x16_(b)f16, i32_16x16x64_i8, i32_32x32x32_i8",
     "a lane's elements are contiguous in k, as in the shapes of half the depth",
     "rocjitsu's MFMA operand rule; the calculator does not know gfx950"},
    {"ds_read_b64_tr_b4, ds_read_b96_tr_b6",
     "the transposed tile follows the rule of the 16- and 8-bit forms", "by analogy"},
    {"global_load_lds_*, buffer_load_* lds on gfx950",
     "M0 gives 16 bits of the LDS address: the first 64 KiB",
     "CDNA3 Instruction Set Architecture; gfx950 has 160 KiB, what it does beyond is not known"},
    {"all MFMA", "sums run in order of k with single-precision rounding",
     "hardware sums in an order of its own: last bits differ"},
    {"ds_*", "lanes are served in contiguous groups that fill all banks once",
     "banks are documented, the grouping of wide accesses is not"},
    {"v_exp, v_log, v_rcp, v_rsq, v_sqrt, v_sin, v_cos", "results are correctly rounded",
     "hardware is within 1 ulp by its manual"},
    {"v_cvt_scalef32_*", "the scale is the exponent field of its single-precision operand",
     "LLVM's description of the intrinsics"},
    {"v_div_scale_f32, v_div_fmas_f32, v_div_fixup_f32",
     "a denominator with a denormal reciprocal is scaled down; the factor is 2^64 up or down by "
     "the exponent of the third source; a NaN of the refinement is an overflow",
     "what makes the compiled division exact; the manual prints other powers"},
};

const gpu_amd_unconfirmed *gpu_amd_unconfirmed_facts(size_t *count) {
    *count = sizeof facts / sizeof *facts;
    return facts;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The .def files, read twice: once as declarations, once as tables. A row is  TENON_KERNEL(name)
 * with the symbol tenon_<name>; TENON_KERNEL_X86 and TENON_KERNEL_ARM are rows whose file is
 * compiled for that family only. */
#include "cpu_rows.h"

#define TENON_KERNEL(name) extern const tenon_kernel tenon_##name;
#if defined(__x86_64__)
#    define TENON_KERNEL_X86(name) TENON_KERNEL(name)
#else
#    define TENON_KERNEL_X86(name)
#endif
#if defined(__aarch64__)
#    define TENON_KERNEL_ARM(name) TENON_KERNEL(name)
#else
#    define TENON_KERNEL_ARM(name)
#endif
#include "attention/attention_cpu.def"
#include "mla_attention/mla_attention_cpu.def"
#include "kv_append/kv_append_cpu.def"
#include "mla_append/mla_append_cpu.def"
#include "kv_gather/kv_gather_cpu.def"
#include "merge_states/merge_states_cpu.def"
#include "moe_route/moe_route_cpu.def"
#include "moe_dispatch/moe_dispatch_cpu.def"
#include "moe_matmul/moe_matmul_cpu.def"
#include "moe_combine/moe_combine_cpu.def"
#include "moe/moe_cpu.def"
#include "matmul/matmul_cpu.def"
#include "pack_weights/pack_weights_cpu.def"
#include "unpack_weights/unpack_weights_cpu.def"
#include "quantize/quantize_cpu.def"
#include "dequantize/dequantize_cpu.def"

#undef TENON_KERNEL
#define TENON_KERNEL(name) &tenon_##name,

/* The NULL at the end keeps an empty list from being an empty array. */
static const tenon_kernel *const attention_rows[] = {
#include "attention/attention_cpu.def"
    NULL};
static const tenon_kernel *const mla_attention_rows[] = {
#include "mla_attention/mla_attention_cpu.def"
    NULL};
static const tenon_kernel *const kv_append_rows[] = {
#include "kv_append/kv_append_cpu.def"
    NULL};
static const tenon_kernel *const mla_append_rows[] = {
#include "mla_append/mla_append_cpu.def"
    NULL};
static const tenon_kernel *const kv_gather_rows[] = {
#include "kv_gather/kv_gather_cpu.def"
    NULL};
static const tenon_kernel *const merge_states_rows[] = {
#include "merge_states/merge_states_cpu.def"
    NULL};
static const tenon_kernel *const moe_route_rows[] = {
#include "moe_route/moe_route_cpu.def"
    NULL};
static const tenon_kernel *const moe_dispatch_rows[] = {
#include "moe_dispatch/moe_dispatch_cpu.def"
    NULL};
static const tenon_kernel *const moe_matmul_rows[] = {
#include "moe_matmul/moe_matmul_cpu.def"
    NULL};
static const tenon_kernel *const moe_combine_rows[] = {
#include "moe_combine/moe_combine_cpu.def"
    NULL};
static const tenon_kernel *const moe_rows[] = {
#include "moe/moe_cpu.def"
    NULL};
static const tenon_kernel *const matmul_rows[] = {
#include "matmul/matmul_cpu.def"
    NULL};
static const tenon_kernel *const pack_weights_rows[] = {
#include "pack_weights/pack_weights_cpu.def"
    NULL};
static const tenon_kernel *const unpack_weights_rows[] = {
#include "unpack_weights/unpack_weights_cpu.def"
    NULL};
static const tenon_kernel *const quantize_rows[] = {
#include "quantize/quantize_cpu.def"
    NULL};
static const tenon_kernel *const dequantize_rows[] = {
#include "dequantize/dequantize_cpu.def"
    NULL};

const tenon_kernel *const *tenon_cpu_kernels(int32_t op, uint32_t *count) {
    static const struct {
        const tenon_kernel *const *rows;
        uint32_t count;
    } tables[] = {
        [TENON_OP_ATTENTION] = {attention_rows,
                                sizeof attention_rows / sizeof attention_rows[0] - 1},
        [TENON_OP_MLA_ATTENTION] = {mla_attention_rows,
                                    sizeof mla_attention_rows / sizeof mla_attention_rows[0] - 1},
        [TENON_OP_KV_APPEND] = {kv_append_rows,
                                sizeof kv_append_rows / sizeof kv_append_rows[0] - 1},
        [TENON_OP_MLA_APPEND] = {mla_append_rows,
                                 sizeof mla_append_rows / sizeof mla_append_rows[0] - 1},
        [TENON_OP_KV_GATHER] = {kv_gather_rows,
                                sizeof kv_gather_rows / sizeof kv_gather_rows[0] - 1},
        [TENON_OP_MERGE_STATES] = {merge_states_rows,
                                   sizeof merge_states_rows / sizeof merge_states_rows[0] - 1},
        [TENON_OP_MOE_ROUTE] = {moe_route_rows,
                                sizeof moe_route_rows / sizeof moe_route_rows[0] - 1},
        [TENON_OP_MOE_DISPATCH] = {moe_dispatch_rows,
                                   sizeof moe_dispatch_rows / sizeof moe_dispatch_rows[0] - 1},
        [TENON_OP_MOE_MATMUL] = {moe_matmul_rows,
                                 sizeof moe_matmul_rows / sizeof moe_matmul_rows[0] - 1},
        [TENON_OP_MOE_COMBINE] = {moe_combine_rows,
                                  sizeof moe_combine_rows / sizeof moe_combine_rows[0] - 1},
        [TENON_OP_MOE] = {moe_rows, sizeof moe_rows / sizeof moe_rows[0] - 1},
        [TENON_OP_MATMUL] = {matmul_rows, sizeof matmul_rows / sizeof matmul_rows[0] - 1},
        [TENON_OP_PACK_WEIGHTS] = {pack_weights_rows,
                                   sizeof pack_weights_rows / sizeof pack_weights_rows[0] - 1},
        [TENON_OP_UNPACK_WEIGHTS] = {unpack_weights_rows,
                                     sizeof unpack_weights_rows / sizeof unpack_weights_rows[0] -
                                         1},
        [TENON_OP_QUANTIZE] = {quantize_rows, sizeof quantize_rows / sizeof quantize_rows[0] - 1},
        [TENON_OP_DEQUANTIZE] = {dequantize_rows,
                                 sizeof dequantize_rows / sizeof dequantize_rows[0] - 1},
    };
    *count = tables[op].count;
    return tables[op].rows;
}

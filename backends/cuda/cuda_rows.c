/* SPDX-License-Identifier: Apache-2.0 */
/* The .def files, read twice: once as declarations, once as tables. A row is  TENON_KERNEL(name)
 * with the symbol tenon_<name>. An operation that is not listed has no row. */
#include "cuda_rows.h"

#define TENON_KERNEL(name) extern const tenon_kernel tenon_##name;
#include "attention/attention_cuda.def"
#include "mla_attention/mla_attention_cuda.def"
#include "kv_append/kv_append_cuda.def"
#include "mla_append/mla_append_cuda.def"
#include "merge_states/merge_states_cuda.def"
#include "moe_route/moe_route_cuda.def"
#include "moe_dispatch/moe_dispatch_cuda.def"
#include "moe_matmul/moe_matmul_cuda.def"
#include "moe_combine/moe_combine_cuda.def"
#include "matmul/matmul_cuda.def"
#include "quantize/quantize_cuda.def"

#undef TENON_KERNEL
#define TENON_KERNEL(name) &tenon_##name,

/* The NULL at the end keeps an empty list from being an empty array. */
static const tenon_kernel *const attention_rows[] = {
#include "attention/attention_cuda.def"
    NULL};
static const tenon_kernel *const mla_attention_rows[] = {
#include "mla_attention/mla_attention_cuda.def"
    NULL};
static const tenon_kernel *const kv_append_rows[] = {
#include "kv_append/kv_append_cuda.def"
    NULL};
static const tenon_kernel *const mla_append_rows[] = {
#include "mla_append/mla_append_cuda.def"
    NULL};
static const tenon_kernel *const merge_states_rows[] = {
#include "merge_states/merge_states_cuda.def"
    NULL};
static const tenon_kernel *const moe_route_rows[] = {
#include "moe_route/moe_route_cuda.def"
    NULL};
static const tenon_kernel *const moe_dispatch_rows[] = {
#include "moe_dispatch/moe_dispatch_cuda.def"
    NULL};
static const tenon_kernel *const moe_matmul_rows[] = {
#include "moe_matmul/moe_matmul_cuda.def"
    NULL};
static const tenon_kernel *const moe_combine_rows[] = {
#include "moe_combine/moe_combine_cuda.def"
    NULL};
static const tenon_kernel *const matmul_rows[] = {
#include "matmul/matmul_cuda.def"
    NULL};
static const tenon_kernel *const quantize_rows[] = {
#include "quantize/quantize_cuda.def"
    NULL};

#define TENON_ROWS(rows) {rows, sizeof rows / sizeof rows[0] - 1}

const tenon_kernel *const *tenon_cuda_kernels(int32_t op, uint32_t *count) {
    static const struct {
        const tenon_kernel *const *rows;
        uint32_t count;
    } tables[TENON_OP_COUNT] = {
        [TENON_OP_ATTENTION] = TENON_ROWS(attention_rows),
        [TENON_OP_MLA_ATTENTION] = TENON_ROWS(mla_attention_rows),
        [TENON_OP_KV_APPEND] = TENON_ROWS(kv_append_rows),
        [TENON_OP_MLA_APPEND] = TENON_ROWS(mla_append_rows),
        [TENON_OP_MERGE_STATES] = TENON_ROWS(merge_states_rows),
        [TENON_OP_MOE_ROUTE] = TENON_ROWS(moe_route_rows),
        [TENON_OP_MOE_DISPATCH] = TENON_ROWS(moe_dispatch_rows),
        [TENON_OP_MOE_MATMUL] = TENON_ROWS(moe_matmul_rows),
        [TENON_OP_MOE_COMBINE] = TENON_ROWS(moe_combine_rows),
        [TENON_OP_MATMUL] = TENON_ROWS(matmul_rows),
        [TENON_OP_QUANTIZE] = TENON_ROWS(quantize_rows),
    };
    *count = tables[op].count;
    return tables[op].rows;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* dequantize of GGUF blocks to f32: whole blocks at a time, rows shared among the threads.
 *
 * The bits are those of the exact value rounded once, though all is done in f32. A scale is an f16
 * (11 significant bits), times a 6-bit or 8-bit sub-scale (at most 19), times a code (at most 21,
 * or 25 for Q6_K); so each product is exact, or, for Q6_K, the one rounding there is; where an
 * offset is added, that addition is the one rounding. */
#include "cpu_backend.h"
#include "gguf_blocks.h"
#include "weight_view.h"

/* Some 30 microseconds: less is not worth waking another thread. */
enum { TASK_ELEMENTS = 1 << 16 };

/* Scale and offset of 16 or 32 elements that share them. */
static inline void put_nibbles(const uint8_t *codes, int shift, int zero, float scale, float offset,
                               int count, float *x) {
    for (int i = 0; i < count; i++) {
        x[i] = (float)((codes[i] >> shift & 0xf) - zero) * scale + offset;
    }
}

static void put_q4_0(const uint8_t *block, float *x) {
    const float scale = tenon_gguf_f16_at(block);
    put_nibbles(block + 2, 0, 8, scale, -0.0f, 16, x);
    put_nibbles(block + 2, 4, 8, scale, -0.0f, 16, x + 16);
}

static void put_q4_1(const uint8_t *block, float *x) {
    const float scale = tenon_gguf_f16_at(block), offset = tenon_gguf_f16_at(block + 2);
    put_nibbles(block + 4, 0, 0, scale, offset, 16, x);
    put_nibbles(block + 4, 4, 0, scale, offset, 16, x + 16);
}

static void put_q8_0(const uint8_t *block, float *x) {
    const float scale = tenon_gguf_f16_at(block);
    for (int i = 0; i < 32; i++) x[i] = (float)(int8_t)block[2 + i] * scale;
}

static void put_q4_k(const uint8_t *block, float *x) {
    const float d = tenon_gguf_f16_at(block), d_min = tenon_gguf_f16_at(block + 2);
    for (int g = 0; g < 8; g++) {
        int scale, min;
        tenon_gguf_q4_k_scale_min(block + 4, g, &scale, &min);
        put_nibbles(block + 16 + g / 2 * 32, g % 2 * 4, 0, d * (float)scale, -(d_min * (float)min),
                    32, x + 32 * g);
    }
}

static void put_q6_k(const uint8_t *block, float *x) {
    const float d = tenon_gguf_f16_at(block + 208);
    for (int g = 0; g < 16; g++) {
        const float scale = d * (float)(int8_t)block[192 + g];
        for (int i = 16 * g; i < 16 * g + 16; i++) {
            x[i] = (float)(tenon_gguf_q6_k_code(block, i) - 32) * scale;
        }
    }
}

static const struct block_row {
    int32_t format, elements, bytes;
    void (*put)(const uint8_t *block, float *x);
} blocks[] = {
    {TENON_FORMAT_GGUF_Q4_0, TENON_GGUF_Q4_0_BLOCK, TENON_GGUF_Q4_0_BYTES, put_q4_0},
    {TENON_FORMAT_GGUF_Q4_1, TENON_GGUF_Q4_1_BLOCK, TENON_GGUF_Q4_1_BYTES, put_q4_1},
    {TENON_FORMAT_GGUF_Q8_0, TENON_GGUF_Q8_0_BLOCK, TENON_GGUF_Q8_0_BYTES, put_q8_0},
    {TENON_FORMAT_GGUF_Q4_K, TENON_GGUF_Q4_K_BLOCK, TENON_GGUF_Q4_K_BYTES, put_q4_k},
    {TENON_FORMAT_GGUF_Q6_K, TENON_GGUF_Q6_K_BLOCK, TENON_GGUF_Q6_K_BYTES, put_q6_k},
};

static const struct block_row *find_block(int32_t format) {
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        if (blocks[i].format == format) return &blocks[i];
    }
    return NULL;
}

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_dequantize_args *a = problem->args;
    const int32_t format = a->q_quant ? a->q_quant->format : TENON_FORMAT_NONE;
    if (!find_block(format)) return tenon_decline(reason, "format=%d is not one of GGUF", format);
    if (a->x->dtype.bits != 32) {
        return tenon_decline(reason, "x has %d bits, f32 alone is exact", a->x->dtype.bits);
    }
    return NULL;
}

typedef struct dequantize_call {
    const tenon_dequantize_args *a;
    tenon_weight_view q;
    const struct block_row *block;
    int64_t rows, rows_per_task; /* rows of x, of all experts */
} dequantize_call;

static int64_t source_row(const tenon_dequantize_args *a, int64_t row) {
    const DLTensor *index = a->row_index;
    if (!index) return row;
    if (index->dtype.bits == 64) return ((const int64_t *)tenon_data(index))[row];
    return ((const int32_t *)tenon_data(index))[row];
}

static void dequantize_task(void *arg, int64_t task, int32_t thread) {
    const dequantize_call *c = arg;
    const DLTensor *x = c->a->x;
    const int with_experts = x->ndim == 3;
    const int64_t expert_rows = x->shape[with_experts];
    const int64_t first = task * c->rows_per_task;
    const int64_t left = c->rows - first;
    const int64_t end = first + (left < c->rows_per_task ? left : c->rows_per_task);
    (void)thread;
    for (int64_t i = first; i < end; i++) {
        const int64_t expert = i / expert_rows, to = i % expert_rows;
        const int64_t from = source_row(c->a, to);
        if (from < 0 || from >= c->q.n) {
            tenon_report_fault(c->a->fault, TENON_OP_DEQUANTIZE, TENON_FAULT_ROW_OUT_OF_RANGE, to,
                               from, c->q.n);
            continue;
        }
        const uint8_t *block = c->q.data + expert * c->q.expert_stride + from * c->q.n_stride;
        float *out = (float *)tenon_data(x) + (with_experts ? expert * x->strides[0] : 0) +
                     to * x->strides[with_experts];
        for (int64_t col = 0; col < c->q.k; col += c->block->elements, block += c->block->bytes) {
            c->block->put(block, out + col);
        }
    }
}

static int32_t run(const tenon_kernel_plan *plan, const void *args, tenon_error *error) {
    const tenon_dequantize_args *a = args;
    dequantize_call call = {.a = a, .block = find_block(a->q_quant->format)};
    tenon_reason reason;
    const int32_t status = tenon_weight_view_from(a->q, a->q_quant, &call.q, &reason);
    if (status) {
        return tenon_fail(error, status, TENON_OP_DEQUANTIZE, -1, "dequantize: q: %s", reason.text);
    }
    call.rows = a->x->ndim == 3 ? a->x->shape[0] * a->x->shape[1] : a->x->shape[0];
    const int64_t cols = call.q.k > 0 ? call.q.k : 1;
    call.rows_per_task = cols < TASK_ELEMENTS ? TASK_ELEMENTS / cols : 1;
    tenon_cpu_run(plan, (call.rows + call.rows_per_task - 1) / call.rows_per_task, dequantize_task,
                  &call);
    return TENON_OK;
}

extern const tenon_kernel tenon_cpu_dequantize_gguf;
const tenon_kernel tenon_cpu_dequantize_gguf = {
    .name = "cpu_dequantize_gguf",
    .op = TENON_OP_DEQUANTIZE,
    .traits = TENON_TRAIT_DETERMINISTIC | TENON_TRAIT_BATCH_INVARIANT,
    .checked_on = "hardware",
    .why_not = why_not,
    .run = run,
};

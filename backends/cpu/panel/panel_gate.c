/* SPDX-License-Identifier: Apache-2.0 */
#include "panel_gate.h"

#include <string.h>

#include "moe_activation.h"

typedef struct block_sums {
    const float *gate, *up; /* [rows][32]; up NULL without a second half of its own */
    int32_t step;           /* 2: gate and up alternate in `gate` */
    float gate_bias[TENON_PANEL_COLS], up_bias[TENON_PANEL_COLS];
} block_sums;

static int is_interleaved(const tenon_panel_gate *g) {
    return g->gated && g->gate_layout == TENON_GATE_LAYOUT_INTERLEAVED;
}

int64_t tenon_panel_gate_blocks(const tenon_panel_gate *g) {
    return tenon_panel_count(is_interleaved(g) ? 2 * g->n_out : g->n_out);
}

/* Zeros without a bias. */
static void load_bias(const tenon_panel_gate *g, const uint8_t *bias, int64_t col, int32_t n,
                      float *out) {
    memset(out, 0, TENON_PANEL_COLS * sizeof *out);
    if (bias)
        tenon_panel_load_row(g->bias_type, bias + col * tenon_panel_type_bytes(g->bias_type), n,
                             out);
}

static void add_bias(const float *sums, const float *bias, int32_t step, int32_t n, float *out) {
    for (int32_t i = 0; i < n; i++) out[i] = sums[i * step] + bias[i * step];
}

static void write_row(const tenon_panel_job *job, const tenon_panel_gate *g, const block_sums *b,
                      int32_t row, int32_t n, float weight, uint8_t *out) {
    float gate[TENON_PANEL_COLS], up[TENON_PANEL_COLS];
    const float *sums = b->gate + row * TENON_PANEL_COLS;
    add_bias(sums, b->gate_bias, b->step, n, gate);
    if (b->step == 2)
        add_bias(sums + 1, b->gate_bias + 1, 2, n, up);
    else if (b->up)
        add_bias(b->up + row * TENON_PANEL_COLS, b->up_bias, 1, n, up);
    job->shape->kernels->activate(&g->epilogue, gate, g->gated ? up : NULL, weight, n, g->out_type,
                                  out);
}

void tenon_panel_gate_finish(const tenon_panel_job *job, const tenon_panel_segment *segment,
                             int64_t block, uint8_t *scratch, const tenon_panel_gate *g,
                             const uint8_t *bias, tenon_panel_target_fn target) {
    const int interleaved = is_interleaved(g);
    const int32_t width = interleaved ? TENON_PANEL_COLS / 2 : TENON_PANEL_COLS;
    const int64_t col = block * width, left = g->n_out - col,
                  at = col * tenon_panel_type_bytes(g->out_type);
    const int32_t n = left < width ? (int32_t)left : width;
    const int64_t gate_col = g->gated ? tenon_gate_row(g->gate_layout, job->shape->n, col) : col;
    block_sums b = {.step = interleaved ? 2 : 1};

    load_bias(g, bias, gate_col, n * b.step, b.gate_bias);
    b.gate = tenon_panel_sums(job, segment, gate_col, 0, scratch);
    if (g->gated && !interleaved) {
        const int64_t up_col = tenon_up_row(g->gate_layout, job->shape->n, col);
        load_bias(g, bias, up_col, n, b.up_bias);
        b.up = tenon_panel_sums(job, segment, up_col, 1, scratch);
    }
    for (int32_t i = 0; i < segment->rows; i++) {
        tenon_panel_target to = {NULL, 1, 0};
        target(job->operation, segment->origin + i, &to);
        if (to.zero)
            memset(to.out + at, 0, (size_t)(n * tenon_panel_type_bytes(g->out_type)));
        else
            write_row(job, g, &b, i, n, to.weight, to.out + at);
    }
}

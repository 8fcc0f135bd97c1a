/* SPDX-License-Identifier: Apache-2.0 */
#include "linear_layer.h"

#include <stdlib.h>
#include <string.h>

/* Row of the file that belongs at `row` of the stacked weight. */
static int64_t source_row(int64_t row, int64_t rotary_head_dim) {
    if (rotary_head_dim == 0) return row;
    const int64_t half = rotary_head_dim / 2;
    const int64_t head = row / rotary_head_dim, at = row % rotary_head_dim;
    return head * rotary_head_dim + (at < half ? 2 * at : 2 * (at - half) + 1);
}

static void *stack_rows(const weight_part *parts, int part_count, int64_t rows) {
    const size_t row_bytes = gguf_row_bytes(parts[0].tensor->format, parts[0].tensor->extent[0]);
    unsigned char *stacked = malloc((size_t)rows * row_bytes), *out = stacked;
    for (int p = 0; stacked && p < part_count; p++) {
        const int64_t part_rows = (int64_t)parts[p].tensor->extent[1];
        for (int64_t row = 0; row < part_rows; row++, out += row_bytes) {
            const int64_t source = source_row(row, parts[p].rotary_head_dim);
            memcpy(out, parts[p].tensor->data + (size_t)source * row_bytes, row_bytes);
        }
    }
    return stacked;
}

static bool pack_piece(const tenon_library *library, linear_piece *piece, const gguf_tensor *like,
                       const void *stacked, int32_t compute, host_error *error) {
    tensor_view source;
    tenon_quant quant;
    return view_gguf_tensor(&source, &quant, like, stacked, piece->rows, error) &&
           pack_tensor(library, &piece->packed, &source.tensor, &quant, compute, error);
}

/* One matmul of a piece, ready to plan or to run. */
typedef struct matmul_call {
    tenon_matmul_args args;
    tensor_view a, w, out;
    tenon_quant w_quant;
} matmul_call;

static void fill_call(matmul_call *call, const linear_layer *layer, const linear_piece *piece,
                      const float *a, int64_t tokens, float *out) {
    call->w_quant = (tenon_quant){.struct_size = sizeof call->w_quant,
                                  .format = TENON_FORMAT_PACKED,
                                  .rows = piece->rows,
                                  .cols = layer->cols};
    call->args = (tenon_matmul_args){.struct_size = sizeof call->args,
                                     .a = view_2d(&call->a, a, type_f32, tokens, layer->cols),
                                     .w = view_packed(&call->w, &piece->packed),
                                     .w_quant = &call->w_quant,
                                     .out = view_2d(&call->out, out ? out + piece->first_row : NULL,
                                                    type_f32, tokens, piece->rows),
                                     .compute = layer->compute};
    call->out.strides[0] = layer->rows;
}

static bool create_piece(tenon_library *library, linear_layer *layer, const char *label,
                         const weight_part *parts, int part_count, host_error *error) {
    linear_piece *piece = &layer->pieces[layer->piece_count++];
    host_error reason;
    piece->first_row = layer->rows;
    for (int p = 0; p < part_count; p++) piece->rows += (int64_t)parts[p].tensor->extent[1];
    layer->rows += piece->rows;
    void *stacked = stack_rows(parts, part_count, piece->rows);
    if (!stacked) return host_fail(error, "%s: out of memory", label);
    const bool packed =
        pack_piece(library, piece, parts[0].tensor, stacked, layer->compute, &reason);
    free(stacked);
    if (!packed) return host_fail(error, "%s: %s", label, reason.text);
    return true;
}

/* The output's row stride is the whole layer's, so plans come after all pieces are known. */
static bool plan_pieces(tenon_library *library, linear_layer *layer, const char *label,
                        int64_t max_tokens, host_error *error) {
    for (int p = 0; p < layer->piece_count; p++) {
        linear_piece *piece = &layer->pieces[p];
        matmul_call call;
        fill_call(&call, layer, piece, NULL, 1, NULL);
        if (!plan_call(library, &piece->decode, label, TENON_OP_MATMUL, &call.args, error)) {
            return false;
        }
        fill_call(&call, layer, piece, NULL, max_tokens, NULL);
        if (!plan_call(library, &piece->chunk, label, TENON_OP_MATMUL, &call.args, error)) {
            return false;
        }
    }
    return true;
}

bool linear_create(tenon_library *library, linear_layer *layer, const char *label,
                   const weight_part *parts, int part_count, int32_t compute, int64_t max_tokens,
                   host_error *error) {
    *layer = (linear_layer){.cols = (int64_t)parts[0].tensor->extent[0], .compute = compute};
    for (int first = 0, end; first < part_count; first = end) {
        for (end = first; end < part_count; end++) {
            if (parts[end].tensor->format != parts[first].tensor->format) break;
        }
        if (!create_piece(library, layer, label, parts + first, end - first, error)) return false;
    }
    return plan_pieces(library, layer, label, max_tokens, error);
}

void linear_free(const tenon_library *library, linear_layer *layer) {
    for (int p = 0; p < layer->piece_count; p++) {
        planned_call_free(library, &layer->pieces[p].decode);
        planned_call_free(library, &layer->pieces[p].chunk);
        packed_weights_free(&layer->pieces[p].packed);
    }
    *layer = (linear_layer){0};
}

bool linear_run(tenon_library *library, linear_layer *layer, const float *a, int64_t tokens,
                float *out, host_error *error) {
    for (int p = 0; p < layer->piece_count; p++) {
        linear_piece *piece = &layer->pieces[p];
        matmul_call call;
        fill_call(&call, layer, piece, a, tokens, out);
        if (!run_call(library, tokens == 1 ? &piece->decode : &piece->chunk, &call.args, error)) {
            return false;
        }
    }
    return true;
}

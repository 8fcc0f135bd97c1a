/* SPDX-License-Identifier: Apache-2.0 */
/* Quantized matrix multiplication, the packing of weights, and quantization itself.
 *
 * Words: m rows of activations, n output features, k the reduction. Weights are [n, k] as checkpoints store them.
 */
#ifndef TENON_MATMUL_H
#define TENON_MATMUL_H

#include "tenon_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out = a . w^T + bias, accumulated in f32 or wider. A row of out does not depend on the other rows of a, nor on m. */
#define TENON_MATMUL_FIELDS(X)                                                                      \
    X(in, a, "bf16 f16 f32 e4m3fn e4m3fnuz e5m2 i8 u8 e2m1", "[~m, *]", "activations")              \
    X(quant, a_quant, "", "", "format of a: FP8, INT8, MXFP8, MXFP4, NVFP4, or NULL")               \
    X(in, w, "*", "*", "weights: [n, k] with any strides, or storage of w_quant's format")          \
    X(quant, w_quant, "", "", "format of w")                                                        \
    X(opt_in, bias, "f32 bf16 f16", "[n]", "added last")                                            \
    X(out, out, TENON_T_FLOAT, "[~m, n]", "result")                                                 \
    X(choice, compute, "compute", "", "TENON_COMPUTE_*")                                            \
    X(i32, reserved, "", "", "must be 0")

#define TENON_MATMUL_FLAGS(X)

/* Packs weights for the fastest kernels of this context's backend and machine. The blob carries a header (format, shape, layout,
 * checksum) and must be 64-byte aligned; its size is query's output_bytes. Use it as w with format PACKED. */
#define TENON_PACK_WEIGHTS_FIELDS(X)                                                                \
    X(in, w, "*", "*", "weights: [n, k] or [experts, n, k], any strides, or storage of w_quant's format") \
    X(quant, w_quant, "", "", "format of w")                                                        \
    X(out, blob, "u8", "[blob_bytes]", "packed weights; at least query's output_bytes")             \
    X(choice, compute, "compute", "", "precision that the packed weights will be used with")        \
    X(i32, reserved, "", "", "must be 0")

#define TENON_PACK_WEIGHTS_FLAGS(X)

/* The inverse: gives back the tensors that went into pack_weights, bit for bit. w_quant.format is that of the blob's source. */
#define TENON_UNPACK_WEIGHTS_FIELDS(X)                                                              \
    X(in, blob, "u8", "[blob_bytes]", "packed weights")                                             \
    X(out, w, "*", "*", "weights in their checkpoint layout")                                       \
    X(quant, w_quant, "", "", "format of w; its scale, zero_point, .. tensors are written")         \
    X(i32, reserved, "", "", "must be 0")                                                           \
    X(i32, reserved2, "", "", "must be 0")

#define TENON_UNPACK_WEIGHTS_FLAGS(X)

/* q = round_to_nearest_even(x / scale) saturated to the element's range. The scale of a group is amax / element_max for FP8 and INT8
 * (amax floored at amax_floor), a power of two by scale_rounding for MX formats; NVFP4: e4m3fn(amax / (6 * global)) with global given. */
#define TENON_QUANTIZE_FIELDS(X)                                                                    \
    X(in, x, TENON_T_FLOAT, "[~rows, cols]", "values")                                              \
    X(out, q, "e4m3fn e4m3fnuz e5m2 e5m2fnuz i8 u8 e2m1 e2m3 e3m2", "[~rows, *]", "elements; 4- and 6-bit ones packed along cols") \
    X(quant, q_quant, "", "", "format, group and the scale tensor, which is written unless STATIC_SCALE") \
    X(f32, amax_floor, "", "", "smallest amax of a group; 0: the format's own rule, a zero group has scale 1") \
    X(f32, scale_limit, "", "", "largest scale; 0: none")                                           \
    X(f32, element_max, "", "", "largest magnitude used of the element type (224 for e4m3fnuz on gfx942); 0: its own") \
    X(i32, reserved, "", "", "must be 0")

#define TENON_QUANTIZE_FLAGS(X)

/* x = the value that format, scale and zero point say; rounded once to the type of x. */
#define TENON_DEQUANTIZE_FIELDS(X)                                                                  \
    X(in, q, "*", "*", "storage of q_quant's format, weights or activations")                       \
    X(quant, q_quant, "", "", "format of q")                                                        \
    X(opt_in, row_index, "i32 i64", "[~out_rows]", "row of q for each row of x (embedding look-up); NULL: all in order") \
    X(out, x, TENON_T_FLOAT, "[~out_rows, cols] | [experts, ~out_rows, cols]", "values")

#define TENON_DEQUANTIZE_FLAGS(X)

TENON_DECLARE_ARGS(matmul, TENON_MATMUL_FIELDS)
TENON_DECLARE_ARGS(pack_weights, TENON_PACK_WEIGHTS_FIELDS)
TENON_DECLARE_ARGS(unpack_weights, TENON_UNPACK_WEIGHTS_FIELDS)
TENON_DECLARE_ARGS(quantize, TENON_QUANTIZE_FIELDS)
TENON_DECLARE_ARGS(dequantize, TENON_DEQUANTIZE_FIELDS)

#ifdef __cplusplus
}
#endif
#endif /* TENON_MATMUL_H */

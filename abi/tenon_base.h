/* SPDX-License-Identifier: Apache-2.0 */
/* The ground every operation stands on: version, status, errors, number formats, descriptors, and how a field list makes a struct.
 * Rules of growth are in ABI.md. Bit pictures of the formats are in FORMATS.md. */
#ifndef TENON_BASE_H
#define TENON_BASE_H

#include <stddef.h>
#include <stdint.h>

#include "tenon_dlpack.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version: major << 16 | minor. A minor version only adds; a major version may change. ---- */
#define TENON_VERSION_MAJOR 1
#define TENON_VERSION_MINOR 0
#define TENON_VERSION       ((uint32_t)TENON_VERSION_MAJOR << 16 | TENON_VERSION_MINOR)

/* ---- status: 0 is success. "You are wrong" (INVALID_ARGUMENT) and "we cannot" (UNSUPPORTED) are different. ---- */
#define TENON_STATUS_LIST(X)                                                                        \
    X(OK, 0, "success")                                                                             \
    X(INVALID_ARGUMENT, 1, "an argument breaks its documented contract")                            \
    X(UNSUPPORTED, 2, "a valid request that no kernel of this build or machine takes")              \
    X(NO_MEMORY, 3, "the host's allocator returned NULL")                                           \
    X(WORKSPACE_TOO_SMALL, 4, "workspace_bytes is less than the plan needs, or workspace is NULL")   \
    X(VERSION_MISMATCH, 5, "host and library have no ABI version in common")                        \
    X(NOT_AVAILABLE, 6, "the backend that was asked for is not usable on this machine")             \
    X(DEVICE_ERROR, 7, "the device's driver reported a failure")                                    \
    X(DEVICE_LOST, 8, "the device is gone; contexts on it cannot be used again")                    \
    X(CORRUPT, 9, "a packed weight blob is truncated, damaged or not one of ours")                  \
    X(INTERNAL, 10, "a defect of the library; please report the text")

/* ---- number formats of weights and of quantized activations (FORMATS.md) ---- */
#define TENON_FORMAT_LIST(X)                                                                        \
    X(NONE, 0, "the tensor's dtype says everything")                                                \
    X(FP8, 1, "fp8 elements, f32 scales: per tensor, per row, or per block")                        \
    X(INT8, 2, "int8 elements, f32 scales, optional zero points")                                   \
    X(INT4, 3, "two 4-bit elements in a byte along k, low nibble first; value = nibble - 8 or - zero point") \
    X(INT4_GPTQ, 4, "GPTQ v1: int32 [k/8, n], zeros stored minus one, optional group index")        \
    X(INT4_GPTQ_V2, 5, "GPTQ v2: as GPTQ, zeros stored as they are")                                \
    X(INT4_AWQ, 6, "AWQ gemm: int32 [k, n/8], nibble order 0 2 4 6 1 3 5 7")                        \
    X(INT4_CT, 7, "compressed-tensors pack-quantized: int32 [n, k/8], offset binary")               \
    X(INT8_CT, 8, "compressed-tensors pack-quantized: int32 [n, k/4], offset binary")               \
    X(MXFP4, 9, "e2m1 pairs, one e8m0 scale per 32")                                                \
    X(MXFP6_E2M3, 10, "e2m3, four elements in three bytes, one e8m0 scale per 32")                  \
    X(MXFP6_E3M2, 11, "e3m2, four elements in three bytes, one e8m0 scale per 32")                  \
    X(MXFP8, 12, "e4m3fn or e5m2, one e8m0 scale per 32")                                           \
    X(NVFP4, 13, "e2m1 pairs, one e4m3fn scale per 16, one f32 scale per tensor")                   \
    X(GGUF_Q4_0, 14, "GGUF block of 32 in 18 bytes")                                                \
    X(GGUF_Q4_1, 15, "GGUF block of 32 in 20 bytes")                                                \
    X(GGUF_Q8_0, 16, "GGUF block of 32 in 34 bytes")                                                \
    X(GGUF_Q4_K, 17, "GGUF block of 256 in 144 bytes")                                              \
    X(GGUF_Q6_K, 18, "GGUF block of 256 in 210 bytes")                                              \
    X(PACKED, 19, "an opaque blob made by pack_weights; its header says the rest")

/* What the bytes of a tensor mean when its own dtype is plain u8 (hosts that cannot export fp8 hand it over as bytes). */
#define TENON_ELEMENT_LIST(X)                                                                       \
    X(AS_TENSOR, 0, "the tensor's dtype")                                                           \
    X(E4M3FN, 1, "float8 e4m3fn (OCP): NVIDIA, gfx950")                                             \
    X(E4M3FNUZ, 2, "float8 e4m3fnuz: gfx942")                                                       \
    X(E5M2, 3, "float8 e5m2")                                                                       \
    X(E5M2FNUZ, 4, "float8 e5m2fnuz")

/* Order of block scales in memory. */
#define TENON_SCALE_LAYOUT_LIST(X)                                                                  \
    X(LINEAR, 0, "as the scale tensor's own shape and strides say")                                 \
    X(SWIZZLE_128X4, 1, "atoms of 128 rows x 4 scales, 512 bytes (cuBLASLt, tcgen05)")

/* Choice of a power-of-two (e8m0) scale from the largest magnitude of a block; e_max is the element format's largest exponent. */
#define TENON_SCALE_ROUNDING_LIST(X)                                                                \
    X(FLOOR, 0, "2^(floor(log2(amax)) - e_max): the OCP MX rule")                                   \
    X(CEIL, 1, "smallest power of two that keeps amax representable")                               \
    X(EVEN, 2, "floor after rounding amax to the element's mantissa")                               \
    X(NEAREST, 3, "power of two nearest to amax / element_max, in log2; ties upwards")

/* Precision of the activations inside a quantized matmul. */
#define TENON_COMPUTE_LIST(X)                                                                       \
    X(DEFAULT, 0, "a kernel may quantize activations to 8 bits per group of 32 where weights have 8 bits or fewer; query says") \
    X(EXACT, 1, "activations keep their own precision; accumulation in f32 or wider")

/* Activation between the two matmuls of an expert. g is the gate half, u the up half. */
#define TENON_ACTIVATION_LIST(X)                                                                    \
    X(NONE, 0, "y = x, no halves")                                                                  \
    X(SILU_GATED, 1, "y = g * sigmoid(g) * u")                                                      \
    X(GELU_GATED, 2, "y = g * Phi(g) * u, exact erf form")                                          \
    X(GELU_TANH_GATED, 3, "y = gelu_tanh(g) * u")                                                   \
    X(SWIGLU_OAI, 4, "g = min(g, limit), u = clamp(u, -limit, limit), y = g * sigmoid(alpha * g) * (u + 1)") \
    X(SILU, 5, "y = x * sigmoid(x), no halves")                                                     \
    X(GELU, 6, "y = x * Phi(x), no halves")                                                         \
    X(RELU2, 7, "y = max(x, 0)^2, no halves")

/* Where the gate and up rows stand in the n rows of a gate-up weight. */
#define TENON_GATE_LAYOUT_LIST(X)                                                                   \
    X(GATE_UP, 0, "rows [0, n/2) gate, rows [n/2, n) up")                                           \
    X(UP_GATE, 1, "rows [0, n/2) up, rows [n/2, n) gate")                                           \
    X(INTERLEAVED, 2, "even rows gate, odd rows up")

/* How router logits become expert weights. */
#define TENON_SCORING_LIST(X)                                                                       \
    X(SOFTMAX, 0, "softmax over all experts, then top-k")                                           \
    X(TOPK_SOFTMAX, 1, "top-k of the logits, then softmax over those k")                            \
    X(SIGMOID, 2, "sigmoid of each logit, then top-k")                                              \
    X(SQRT_SOFTPLUS, 3, "sqrt(softplus(logit)), then top-k")

/* Score of a group of experts in grouped top-k. */
#define TENON_GROUP_SCORE_LIST(X)                                                                   \
    X(MAX, 0, "largest score of the group (DeepSeek-V2)")                                           \
    X(TOP2_SUM, 1, "sum of the two largest biased scores (DeepSeek-V3)")

/* Layout of a latent cache row. */
#define TENON_MLA_CACHE_LIST(X)                                                                     \
    X(PLAIN, 0, "[d_latent + d_rope] elements of the cache's dtype, times kv_scale")                \
    X(FP8_DS, 1, "656 bytes: 512 e4m3fn, 4 f32 scales (one per 128), 64 bf16 rope")

/* ---- backends ---- */
#define TENON_BACKEND_LIST(X)                                                                       \
    X(AUTO, 0, "the tensors' device decides")                                                       \
    X(CPU, 1, "kDLCPU, and pinned host memory")                                                     \
    X(CUDA, 2, "kDLCUDA")                                                                           \
    X(ROCM, 3, "kDLROCM")

/* ---- log levels ---- */
#define TENON_LOG_LIST(X)                                                                           \
    X(NONE, 0, "silent")                                                                            \
    X(ERROR, 1, "failures that no caller can see otherwise")                                        \
    X(WARN, 2, "fallbacks, ignored settings (the default)")                                         \
    X(INFO, 3, "one line for each plan: which kernel")                                              \
    X(DEBUG, 4, "for each candidate above it, why not")

#define TENON_ENUMERATOR(prefix, name, value) TENON_##prefix##_##name = value,
#define TENON_E_STATUS(name, value, doc)         TENON_ENUMERATOR(STATUS, name, value)
#define TENON_E_FORMAT(name, value, doc)         TENON_ENUMERATOR(FORMAT, name, value)
#define TENON_E_ELEMENT(name, value, doc)        TENON_ENUMERATOR(ELEMENT, name, value)
#define TENON_E_SCALE_LAYOUT(name, value, doc)   TENON_ENUMERATOR(SCALE_LAYOUT, name, value)
#define TENON_E_SCALE_ROUNDING(name, value, doc) TENON_ENUMERATOR(SCALE_ROUNDING, name, value)
#define TENON_E_COMPUTE(name, value, doc)        TENON_ENUMERATOR(COMPUTE, name, value)
#define TENON_E_ACTIVATION(name, value, doc)     TENON_ENUMERATOR(ACTIVATION, name, value)
#define TENON_E_GATE_LAYOUT(name, value, doc)    TENON_ENUMERATOR(GATE_LAYOUT, name, value)
#define TENON_E_SCORING(name, value, doc)        TENON_ENUMERATOR(SCORING, name, value)
#define TENON_E_GROUP_SCORE(name, value, doc)    TENON_ENUMERATOR(GROUP_SCORE, name, value)
#define TENON_E_MLA_CACHE(name, value, doc)      TENON_ENUMERATOR(MLA_CACHE, name, value)
#define TENON_E_BACKEND(name, value, doc)        TENON_ENUMERATOR(BACKEND, name, value)
#define TENON_E_LOG(name, value, doc)            TENON_ENUMERATOR(LOG, name, value)

/* Enumerations name values only; every field that holds one is an int32_t. */
enum { TENON_STATUS_LIST(TENON_E_STATUS) TENON_STATUS_COUNT };
enum { TENON_FORMAT_LIST(TENON_E_FORMAT) TENON_FORMAT_COUNT };
enum { TENON_ELEMENT_LIST(TENON_E_ELEMENT) TENON_ELEMENT_COUNT };
enum { TENON_SCALE_LAYOUT_LIST(TENON_E_SCALE_LAYOUT) TENON_SCALE_LAYOUT_COUNT };
enum { TENON_SCALE_ROUNDING_LIST(TENON_E_SCALE_ROUNDING) TENON_SCALE_ROUNDING_COUNT };
enum { TENON_COMPUTE_LIST(TENON_E_COMPUTE) TENON_COMPUTE_COUNT };
enum { TENON_ACTIVATION_LIST(TENON_E_ACTIVATION) TENON_ACTIVATION_COUNT };
enum { TENON_GATE_LAYOUT_LIST(TENON_E_GATE_LAYOUT) TENON_GATE_LAYOUT_COUNT };
enum { TENON_SCORING_LIST(TENON_E_SCORING) TENON_SCORING_COUNT };
enum { TENON_GROUP_SCORE_LIST(TENON_E_GROUP_SCORE) TENON_GROUP_SCORE_COUNT };
enum { TENON_MLA_CACHE_LIST(TENON_E_MLA_CACHE) TENON_MLA_CACHE_COUNT };
enum { TENON_BACKEND_LIST(TENON_E_BACKEND) TENON_BACKEND_COUNT };
enum { TENON_LOG_LIST(TENON_E_LOG) TENON_LOG_COUNT };

#define TENON_OK TENON_STATUS_OK

/* ---- error: caller-owned; written on failure only; may be NULL wherever a call takes one. ---- */
typedef struct tenon_error {
    uint32_t struct_size; /* sizeof(tenon_error) of the caller; text is cut to what fits */
    int32_t status;       /* TENON_STATUS_* */
    int32_t op;           /* TENON_OP_*, or -1 */
    int32_t field;        /* index of the field in the operation's list, or -1 */
    char text[496];       /* UTF-8, ends with NUL: names the field and the values that were wrong */
} tenon_error;

/* ---- extension chain: later additions that are not fields. An id that the library does not know is ignored,
 *      unless TENON_EXT_MUST_UNDERSTAND is set in it: then the call fails with UNSUPPORTED. ---- */
#define TENON_EXT_MUST_UNDERSTAND 0x80000000u
typedef struct tenon_ext {
    uint32_t struct_size;
    uint32_t id;
    const struct tenon_ext *next;
} tenon_ext;

/* ---- device fault slot: 64 bytes that the caller owns, zeroed by the caller, visible to device and host. A kernel that meets an
 *      index out of range leaves the access out, and publishes the first such event here; poll code with tenon_fault_poll. ---- */
#define TENON_FAULT_LIST(X)                                                                         \
    X(NONE, 0, "nothing happened")                                                                  \
    X(PAGE_OUT_OF_RANGE, 1, "a page id or slot outside the cache: that sequence's rows are 0, or that token was not written") \
    X(EXPERT_OUT_OF_RANGE, 2, "an expert id >= the number of experts or < -1: that pair was skipped") \
    X(LENGTH_OUT_OF_RANGE, 3, "a length or offset that contradicts another one or a tensor's bound: that sequence's rows are 0") \
    X(ROW_OUT_OF_RANGE, 4, "a row index outside its tensor: that row was skipped")
#define TENON_E_FAULT(name, value, doc) TENON_ENUMERATOR(FAULT, name, value)
enum { TENON_FAULT_LIST(TENON_E_FAULT) TENON_FAULT_COUNT };

typedef struct tenon_fault {
    int32_t code;     /* TENON_FAULT_*; written last */
    int32_t op;       /* TENON_OP_* */
    int64_t position; /* token, row or list entry where it was met */
    int64_t value;    /* the value that was out of range */
    int64_t limit;    /* first value that would be too large */
    int64_t reserved[4];
} tenon_fault;

static inline int32_t tenon_fault_poll(const tenon_fault *fault) {
    return *(const volatile int32_t *)&fault->code;
}

/* ---- host: what a host may lend. Any member may be NULL or 0; user is handed to each callback. ---- */
typedef struct tenon_host {
    uint32_t struct_size;
    uint32_t min_version; /* oldest ABI version that the host can work with; 0: any */
    void *user;
    /* Cold paths only (contexts, plans); never called by run. alignment is a power of two. */
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *pointer, size_t bytes, size_t alignment);
    void (*log)(void *user, int32_t level, const char *text);
    /* Runs task(arg, i) for each i in [0, n_tasks), on any threads, and returns when all are done. Replaces Tenon's own pool. */
    void (*parallel_for)(void *user, void (*task)(void *arg, int64_t index), void *arg, int64_t n_tasks);
    int64_t n_threads; /* how many tasks parallel_for runs at once; 0: 1 */
    /* How far a long call (pack_weights, unpack_weights) has come, in bytes of the blob: at its start, at its end, and a few times
     * a second between; never from two threads at once. what is the operation's name. NULL: nobody asks. */
    void (*progress)(void *user, const char *what, uint64_t done_bytes, uint64_t total_bytes);
} tenon_host;

/* ---- a tagged value of a packed call. The layout and the tags are those of TVM-FFI's any-value; field replaces its padding. ---- */
enum {
    TENON_VALUE_NONE = 0,
    TENON_VALUE_INT = 1,
    TENON_VALUE_BOOL = 2,
    TENON_VALUE_FLOAT = 3,
    TENON_VALUE_POINTER = 4,
    TENON_VALUE_TENSOR = 7
};
typedef struct tenon_value {
    int32_t type;   /* TENON_VALUE_* */
    /* index in the operation's field list; TENON_QUANT_FIELD(index, member) for a member of a quant field, and
     * TENON_QUANT_FIELD(index, TENON_FIELD_FLAGS) for its flags */
    uint32_t field;
    union {
        int64_t as_int;
        double as_float;
        void *as_pointer;
        const DLTensor *as_tensor;
    } v;
} tenon_value;
#define TENON_QUANT_FIELD(index, member) ((uint32_t)(index) | ((uint32_t)(member) + 1u) << 16)
/* Fields that every operation has, by the same numbering. */
#define TENON_FIELD_FLAGS           0xff00u
#define TENON_FIELD_STREAM          0xff01u
#define TENON_FIELD_WORKSPACE       0xff02u /* POINTER with TENON_FIELD_WORKSPACE_BYTES, or TENSOR of bytes */
#define TENON_FIELD_WORKSPACE_BYTES 0xff03u
#define TENON_FIELD_FAULT           0xff04u

/* ---- field lists ----
 * An operation's arguments are one list  FIELDS(X)  of rows  X(kind, name, types, shape, doc).  The struct, its layout check, the
 * packed call, the TVM-FFI adapter, the ctypes classes, the trace format and the reference page all come from it.
 *
 * kind    in / opt_in     tensor that is read; opt_: may be NULL
 *         out / opt_out   tensor whose data is written; the view itself stays const
 *         inout / opt_inout   tensor of which a part is written (a cache)
 *         quant           const tenon_quant *; NULL: the tensor's dtype says everything
 *         i32 i64 f32     scalars;  choice: int32_t of the enumeration that `types` names
 * types   element types a tensor may have, by name: f16 bf16 f32 e4m3fn e4m3fnuz e5m2 e5m2fnuz e8m0 e2m1 i8 u8 i32 i64 bool; "*": any
 * shape   "[rows, cols]": a name stands for one extent, the same wherever it is used in the operation; "name+1" and "name/2" as read;
 *         "~name": a bound, a run may have fewer than its plan; "a | b": either; "*": the operation checks it itself.
 *         The last dimension must be contiguous unless the shape ends with "s" (strided): "[n, k]s".
 */
#define TENON_MEMBER_in(name)        const DLTensor *name;
#define TENON_MEMBER_opt_in(name)    const DLTensor *name;
#define TENON_MEMBER_out(name)       const DLTensor *name;
#define TENON_MEMBER_opt_out(name)   const DLTensor *name;
#define TENON_MEMBER_inout(name)     const DLTensor *name;
#define TENON_MEMBER_opt_inout(name) const DLTensor *name;
#define TENON_MEMBER_quant(name)     const tenon_quant *name;
#define TENON_MEMBER_i32(name)       int32_t name;
#define TENON_MEMBER_i64(name)       int64_t name;
#define TENON_MEMBER_f32(name)       float name;
#define TENON_MEMBER_choice(name)    int32_t name;
#define TENON_MEMBER(kind, name, types, shape, doc) TENON_MEMBER_##kind(name)

/* Head of every argument struct. */
#define TENON_ARGS_HEAD                                                                             \
    uint32_t struct_size;     /* sizeof the struct that the caller compiled against */              \
    uint32_t flags;           /* TENON_<OP>_*; an unknown bit is an error */                        \
    const tenon_ext *ext;     /* NULL, or a chain */                                                \
    void *stream;             /* cudaStream_t or hipStream_t; must be NULL on the CPU */            \
    void *workspace;          /* caller's scratch, 64-byte aligned; NULL if the plan needs none */  \
    uint64_t workspace_bytes; /* its size */                                                        \
    tenon_fault *fault;       /* NULL, or a slot for faults found while running */

#define TENON_DECLARE_ARGS(op, FIELDS)                                                              \
    typedef struct tenon_##op##_args {                                                              \
        TENON_ARGS_HEAD                                                                             \
        FIELDS(TENON_MEMBER)                                                                        \
    } tenon_##op##_args;

/* ---- quantization beside a tensor: what DLPack cannot say ----
 * The tensor it describes is logically [rows, cols] (or [experts, rows, cols]) with cols the reduction dimension k. */
#define TENON_QUANT_FIELDS(X)                                                                       \
    X(choice, format, "format", "", "TENON_FORMAT_*")                                               \
    X(choice, element, "element", "", "meaning of u8 data for FP8 and MXFP8")                       \
    X(choice, scale_layout, "scale_layout", "", "order of the scales")                              \
    X(i32, group_cols, "", "", "columns that share a scale; 0: what the format says, or all; -1: all") \
    X(i32, group_rows, "", "", "rows that share a scale; 0 or 1: each its own; -1: all")            \
    X(choice, scale_rounding, "scale_rounding", "", "quantize: how an e8m0 scale is chosen")        \
    X(i64, rows, "", "", "logical rows (n) where the storage shape does not tell; else 0")          \
    X(i64, cols, "", "", "logical columns (k) where the storage shape does not tell; else 0")       \
    X(opt_in, scale, "f32 f16 bf16 e8m0 u8 e4m3fn", "*", "scales; shape per format in FORMATS.md; written by quantize") \
    X(opt_in, zero_point, "i32 i8 u8 f32 f16 bf16", "*", "zero points; written by quantize")        \
    X(opt_in, global_scale, "f32", "*", "[1] or [experts]: multiplies every block scale (NVFP4)")   \
    X(opt_in, group_index, "i32", "*", "[k]: group of each column (GPTQ act-order)")

typedef struct tenon_quant {
    uint32_t struct_size;
    uint32_t flags; /* TENON_QUANT_* */
    const tenon_ext *ext;
    TENON_QUANT_FIELDS(TENON_MEMBER)
} tenon_quant;

#define TENON_QUANT_FLAGS(X)                                                                        \
    X(RECIPROCAL_GLOBAL_SCALE, 0, "global_scale divides (compressed-tensors) instead of multiplying (modelopt)") \
    X(STATIC_SCALE, 1, "quantize: scale is an input, not computed")                                 \
    X(SYMMETRIC, 2, "quantize: int8 without zero point even if zero_point is given as all zeros")
#define TENON_E_QUANT_FLAG(name, bit, doc) TENON_QUANT_##name = 1u << bit,
enum { TENON_QUANT_FLAGS(TENON_E_QUANT_FLAG) TENON_QUANT_FLAGS_END };

/* Types by group, for the lists below. */
#define TENON_T_FLOAT "bf16 f16 f32"
#define TENON_T_FP8   "e4m3fn e4m3fnuz e5m2 e5m2fnuz"
#define TENON_T_CACHE "bf16 f16 f32 e4m3fn e4m3fnuz e5m2 e5m2fnuz i8 u8"
#define TENON_T_INDEX "i32 i64"

#ifdef __cplusplus
}
#endif
#endif /* TENON_BASE_H */

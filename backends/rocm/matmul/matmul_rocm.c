/* SPDX-License-Identifier: Apache-2.0 */
/* The rows with fast kernels: which kind a problem is, and the shape of the launch. A run whose
 * tensors are not aligned as its plan allows goes to the kernel that every object has for that. */
#include "matmul_fill.h"
#include "rocm_launch.h"

enum { STREAM_16, STREAM_32, TILE, N_SHAPES };

#define SHAPES(name) name "_stream_16", name "_stream_32", name "_tile"
static const char *const bf16_symbols[] = {SHAPES("matmul_bf16"),
                                           SHAPES("matmul_bf16_int4"),
                                           SHAPES("matmul_bf16_int4_k"),
                                           SHAPES("matmul_bf16_fp8"),
                                           SHAPES("matmul_bf16_mxfp4"),
                                           "matmul_any",
                                           NULL};
static const char *const f16_symbols[] = {SHAPES("matmul_f16"),
                                          SHAPES("matmul_f16_int4"),
                                          SHAPES("matmul_f16_int4_k"),
                                          SHAPES("matmul_f16_fp8"),
                                          "matmul_any",
                                          NULL};
static const char *const fp8_symbols[] = {SHAPES("matmul_fp8"), "matmul_any", NULL};
static const char *const mx_symbols[] = {SHAPES("matmul_mxfp8"), SHAPES("matmul_mxfp4"),
                                         "matmul_any", NULL};
enum { HALF_PLAIN, HALF_INT4, HALF_INT4_K, HALF_FP8, HALF_MXFP4 }; /* as in the lists above */

typedef struct matmul_family {
    const char *object;
    const char *const *symbols;
    uint32_t n_kinds;
} matmul_family;
static const matmul_family bf16_family = {"matmul_bf16", bf16_symbols, 5},
                           f16_family = {"matmul_f16", f16_symbols, 4},
                           fp8_family = {"matmul_fp8", fp8_symbols, 1},
                           mx_family = {"matmul_mx", mx_symbols, 2};

static const matmul_family *family_of(const char *row_name) {
    return strstr(row_name, "_bf16_")  ? &bf16_family
           : strstr(row_name, "_f16_") ? &f16_family
           : strstr(row_name, "_fp8_") ? &fp8_family
                                       : &mx_family;
}

/* Rows of 16-byte pieces: elements side by side, each row on a boundary. */
static const char *row_declines(const char *what, const tenon_weight_view *v, int64_t k_stride,
                                tenon_reason *reason) {
    if (v->k_stride != k_stride && v->k > 1)
        return tenon_decline(reason, "%s: %lld bytes between neighbours of a row, loads need %lld",
                             what, (long long)v->k_stride, (long long)k_stride);
    if ((uintptr_t)v->data % 16 || (v->n > 1 && v->n_stride % 16) ||
        (v->experts > 1 && v->expert_stride % 16))
        return tenon_decline(reason,
                             "%s: rows %lld bytes apart, or their first, are not on 16 bytes", what,
                             (long long)v->n_stride);
    return NULL;
}

/* Offsets of x and of scales are kept in 32 bits. */
static const char *size_declines(const char *what, int64_t experts, int64_t expert_stride,
                                 int64_t rows, int64_t row_stride, int64_t cols, int64_t col_stride,
                                 tenon_reason *reason) {
    const int64_t size = experts * expert_stride + rows * row_stride + cols * col_stride;
    if (size >= 0 && size < UINT32_MAX && expert_stride >= 0 && row_stride >= 0 && col_stride >= 0)
        return NULL;
    return tenon_decline(reason, "%s: strides %lld %lld %lld of %lld rows, offsets have 32 bits",
                         what, (long long)expert_stride, (long long)row_stride,
                         (long long)col_stride, (long long)rows);
}
static const char *plane_declines(const char *what, const tenon_weight_view *v,
                                  tenon_reason *reason) {
    const tenon_parameter_plane *s = &v->scale;
    return s->present ? size_declines(what, v->experts, s->expert_stride, v->row_groups,
                                      s->row_stride, v->col_groups, s->col_stride, reason)
                      : NULL;
}

static const char *scale_declines(const char *what, const tenon_weight_view *v,
                                  tenon_reason *reason) {
    const tenon_number number = v->scale.number;
    if (v->group_index.present) return tenon_decline(reason, "%s: a group index", what);
    if (v->scale.present && v->group_cols % 128 && v->col_groups > 1)
        return tenon_decline(reason, "%s: group_cols=%lld, not a multiple of 128 nor all columns",
                             what, (long long)v->group_cols);
    if (v->scale.present && number != TENON_NUMBER_F32 && number != TENON_NUMBER_F16 &&
        number != TENON_NUMBER_BF16 && number != TENON_NUMBER_E8M0)
        return tenon_decline(reason, "%s: scales are %s", what, tenon_number_name(number));
    return plane_declines(what, v, reason);
}

static const char *int4_declines(const tenon_weight_view *w, bool k_first, tenon_reason *reason) {
    const char *why = scale_declines("w", w, reason);
    if (why) return why;
    const tenon_parameter_plane *zero = &w->zero_point;
    if (zero->present && zero->number != TENON_NUMBER_U8 &&
        !(w->format != TENON_FORMAT_INT4 && zero->number == TENON_NUMBER_I32))
        return tenon_decline(reason, "w: zero points are %s, products are exact with u8 and packed",
                             tenon_number_name(zero->number));
    if (zero->present && (uintptr_t)zero->data % 4 && w->format != TENON_FORMAT_INT4)
        return tenon_decline(reason, "w: words of zero points are not on 4 bytes");
    if (!k_first) return row_declines("w", w, w->format == TENON_FORMAT_INT4 ? 1 : 4, reason);
    if ((uintptr_t)w->data % 4 || w->n_stride % 4 || w->k_stride % 4 || w->expert_stride % 4)
        return tenon_decline(reason, "w: words are not on 4 bytes");
    return NULL;
}

static const char *block_scale_declines(const char *what, const tenon_weight_view *v,
                                        tenon_reason *reason) {
    if (v->scale_swizzled)
        return tenon_decline(reason, "%s: scales in the 128x4 order, loads take the linear one",
                             what);
    const char *why = plane_declines(what, v, reason);
    return why ? why : row_declines(what, v, 1, reason);
}

static bool is_e4m3(const tenon_weight_view *v) {
    return v->number == TENON_NUMBER_E4M3FN || v->number == TENON_NUMBER_E4M3FNUZ;
}

static const char *half_kind(const tenon_weight_view *x, const tenon_weight_view *w,
                             tenon_number number, uint32_t *kind, tenon_reason *reason) {
    if (x->format != TENON_FORMAT_NONE || x->number != number)
        return tenon_decline(reason, "x: elements are %s, this kernel takes %s",
                             tenon_number_name(x->number), tenon_number_name(number));
    const char *why = row_declines("x", x, 2, reason);
    if (why) return why;
    switch (w->format) {
    case TENON_FORMAT_NONE:
        *kind = HALF_PLAIN;
        if (w->number == number) return row_declines("w", w, 2, reason);
        break;
    case TENON_FORMAT_INT4:
    case TENON_FORMAT_INT4_CT:
        *kind = HALF_INT4;
        return int4_declines(w, false, reason);
    case TENON_FORMAT_INT4_GPTQ:
    case TENON_FORMAT_INT4_GPTQ_V2:
        *kind = HALF_INT4_K;
        return int4_declines(w, true, reason);
    case TENON_FORMAT_MXFP4:
        *kind = HALF_MXFP4;
        if (number == TENON_NUMBER_BF16) return block_scale_declines("w", w, reason);
        return tenon_decline(reason, "w: powers of two of MXFP4 leave the range of f16");
    default:
        break;
    }
    *kind = HALF_FP8;
    if ((w->format != TENON_FORMAT_NONE && w->format != TENON_FORMAT_FP8) || !is_e4m3(w))
        return tenon_decline(reason, "w: format %d of %s with x in %s", w->format,
                             tenon_number_name(w->number), tenon_number_name(number));
    why = scale_declines("w", w, reason);
    return why ? why : row_declines("w", w, 1, reason);
}

static const char *fp8_kind(const tenon_problem *problem, const tenon_weight_view *x,
                            const tenon_weight_view *w, tenon_reason *reason) {
    const uint64_t features = tenon_rocm_device_of(problem)->features;
    const tenon_number native =
        features & TENON_ROCM_FP8_OCP ? TENON_NUMBER_E4M3FN : TENON_NUMBER_E4M3FNUZ;
    const tenon_weight_view *both[2] = {x, w};
    static const char *const names[2] = {"x", "w"};
    for (int i = 0; i < 2; i++) {
        const tenon_weight_view *v = both[i];
        /* Codes of e4m3fn have a place in e4m3fnuz; not the other way, where 240 would be a NaN. */
        if ((v->format != TENON_FORMAT_NONE && v->format != TENON_FORMAT_FP8) ||
            (v->number != native && v->number != TENON_NUMBER_E4M3FN))
            return tenon_decline(reason, "%s: elements are %s, instructions take %s", names[i],
                                 tenon_number_name(v->number), tenon_number_name(native));
        if (v->scale.present && v->scale.number != TENON_NUMBER_F32)
            return tenon_decline(reason, "%s: scales are %s, not f32", names[i],
                                 tenon_number_name(v->scale.number));
        const char *why = scale_declines(names[i], v, reason);
        if (!why) why = row_declines(names[i], v, 1, reason);
        if (why) return why;
    }
    return NULL;
}

static const char *mx_kind(const tenon_weight_view *x, const tenon_weight_view *w, uint32_t *kind,
                           tenon_reason *reason) {
    const bool fp8 = x->format == TENON_FORMAT_MXFP8;
    *kind = !fp8;
    if (x->format != w->format || (!fp8 && x->format != TENON_FORMAT_MXFP4) ||
        (fp8 && (x->number != TENON_NUMBER_E4M3FN || w->number != TENON_NUMBER_E4M3FN)))
        return tenon_decline(
            reason, "x has format %d of %s, w %d of %s; both MXFP4, or MXFP8 of e4m3fn", x->format,
            tenon_number_name(x->number), w->format, tenon_number_name(w->number));
    const char *why = block_scale_declines("x", x, reason);
    return why ? why : block_scale_declines("w", w, reason);
}

static const char *kind_of(const tenon_problem *problem, const matmul_family *family,
                           const matmul_call *call, uint32_t *kind, tenon_reason *reason) {
    tenon_weight_view x, w;
    const char *why = tenon_rocm_matmul_declines(call, &x, &w, reason);
    *kind = 0;
    if (why) return why;
    if ((why = size_declines("x", x.experts, x.expert_stride, x.n, x.n_stride, x.k, x.k_stride,
                             reason)))
        return why;
    if (w.k % 32) return tenon_decline(reason, "k=%lld is not a multiple of 32", (long long)w.k);
    if (family == &fp8_family) return fp8_kind(problem, &x, &w, reason);
    if (family == &mx_family) return mx_kind(&x, &w, kind, reason);
    return half_kind(&x, &w, family == &f16_family ? TENON_NUMBER_F16 : TENON_NUMBER_BF16, kind,
                     reason);
}

static int32_t plan(tenon_kernel_plan *p, tenon_error *error) {
    const matmul_family *family = family_of(p->kernel->name);
    return tenon_rocm_load(p, family->object, family->symbols, error);
}

/* Up to 64 rows of an expert are cheaper read with the weights streamed again for every 32. All
 * shapes give the same bits. */
static uint32_t shape_of(const matmul_arguments *k) {
    const uint32_t rows = k->local ? k->rows / k->local : k->rows;
    return rows <= 16 ? STREAM_16 : rows <= 64 ? STREAM_32 : TILE;
}

static int32_t run(const tenon_kernel_plan *p, const void *args, tenon_error *error) {
    static const struct {
        uint32_t rows, cols, lanes;
    } shapes[] = {[STREAM_16] = {16, MATMUL_STREAM_COLS, MATMUL_STREAM_LANES},
                  [STREAM_32] = {32, MATMUL_STREAM_COLS, MATMUL_STREAM_LANES},
                  [TILE] = {128, MATMUL_TILE_COLS, MATMUL_TILE_LANES},
                  [N_SHAPES] = {MATMUL_PLAIN_ROWS, MATMUL_PLAIN_COLS, MATMUL_PLAIN_LANES}};
    const matmul_family *family = family_of(p->kernel->name);
    const matmul_call call = tenon_rocm_matmul_call(p->problem.op, args);
    matmul_arguments k;
    tenon_reason reason;
    uint32_t kind;
    const int32_t status = tenon_rocm_matmul_fill(&call, p->problem.op, &k, error);
    if (status || !k.rows || !k.n) return status;
    const bool fast = !kind_of(&p->problem, family, &call, &kind, &reason);
    const uint32_t shape = fast ? shape_of(&k) : N_SHAPES;
    return tenon_rocm_launch(
        p, fast ? N_SHAPES * kind + shape : N_SHAPES * family->n_kinds,
        (tenon_rocm_grid){.blocks = tenon_rocm_blocks(k.n, shapes[shape].cols),
                          .blocks_y = tenon_rocm_matmul_row_blocks(&k, shapes[shape].rows),
                          .block_lanes = shapes[shape].lanes},
        call.stream, &k, error);
}

#define FAST_ROWS(name, needs_)                                                                    \
    static const char *name##_why_not(const tenon_problem *problem, tenon_reason *reason) {        \
        const matmul_call call = tenon_rocm_matmul_call(problem->op, problem->args);               \
        uint32_t kind;                                                                             \
        const char *why = tenon_rocm_why_not(problem, needs_, reason);                             \
        return why ? why : kind_of(problem, family_of("_" #name), &call, &kind, reason);           \
    }                                                                                              \
    FAST_ROW(matmul_##name, TENON_OP_MATMUL, needs_, name##_why_not)                               \
    FAST_ROW(moe_matmul_##name, TENON_OP_MOE_MATMUL, needs_, name##_why_not)
#define FAST_ROW(name_, op_, needs_, why_not_)                                                     \
    extern const tenon_kernel tenon_rocm_##name_;                                                  \
    const tenon_kernel tenon_rocm_##name_ = {.name = "rocm_" #name_,                               \
                                             .op = op_,                                            \
                                             .needs = needs_,                                      \
                                             .traits = TENON_TRAIT_CAPTURE_SAFE |                  \
                                                       TENON_TRAIT_DETERMINISTIC |                 \
                                                       TENON_TRAIT_BATCH_INVARIANT,                \
                                             .checked_on = "emulated",                             \
                                             .why_not = why_not_,                                  \
                                             .plan = plan,                                         \
                                             .run = run,                                           \
                                             .release = tenon_rocm_release};

FAST_ROWS(bf16_gfx9, TENON_ROCM_CDNA2)
FAST_ROWS(f16_gfx9, TENON_ROCM_CDNA2)
FAST_ROWS(fp8_gfx942, TENON_ROCM_CDNA3)
FAST_ROWS(mx_gfx950, TENON_ROCM_CDNA4)

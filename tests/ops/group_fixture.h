/* SPDX-License-Identifier: Apache-2.0 */
/* Random weights in the formats that keep scales and zero points beside the elements, with their
 * values in double from the formulas of abi/FORMATS.md, written here a second time. */
#ifndef TENON_GROUP_FIXTURE_H
#define TENON_GROUP_FIXTURE_H

#include "weight_fixture.h"

typedef enum zero_type { Z_NONE, Z_PACKED, Z_U8, Z_I32, Z_F32 } zero_type;
typedef enum scale_type { S_F32, S_BF16, S_F16, S_E8M0 } scale_type;

typedef struct group_spec {
    const char *name;
    int32_t format, group_cols, group_rows;
    scale_type scale;
    zero_type zero;
    int unsigned_bytes; /* INT8 in u8 */
    int act_order;
} group_spec;

typedef struct group_fixture {
    weight_fixture w;
    group_spec spec;
    int64_t groups, row_groups;
    uint8_t *part[4]; /* w, scale, zero point, group index */
    size_t part_bytes[4];
    test_tensor scale, zero, index;
} group_fixture;

static const int awq_order[8] = {0, 2, 4, 6, 1, 3, 5, 7}; /* column of each nibble */

static inline int awq_nibble(int64_t column) {
    int s = 0;
    while (awq_order[s] != column % 8) s++;
    return s;
}

static inline uint32_t word_at(const uint8_t *words, int64_t i) {
    uint32_t w;
    memcpy(&w, words + 4 * i, 4);
    return w;
}

static inline int group_code(const group_fixture *f, int64_t e, int64_t r, int64_t c) {
    const int64_t n = f->w.n, k = f->w.k;
    const uint8_t *d =
        f->part[0] + (int64_t)f->part_bytes[0] / (f->w.experts ? f->w.experts : 1) * e;
    switch (f->spec.format) {
    case TENON_FORMAT_INT4:
    case TENON_FORMAT_MXFP4:
        return d[r * ((k + 1) / 2) + c / 2] >> 4 * (c & 1) & 15;
    case TENON_FORMAT_INT4_GPTQ:
    case TENON_FORMAT_INT4_GPTQ_V2:
        return (int)(word_at(d, c / 8 * n + r) >> 4 * (c % 8) & 15);
    case TENON_FORMAT_INT4_AWQ:
        return (int)(word_at(d, c * ((n + 7) / 8) + r / 8) >> 4 * awq_nibble(r) & 15);
    case TENON_FORMAT_INT4_CT:
        return (int)(word_at(d, r * ((k + 7) / 8) + c / 8) >> 4 * (c % 8) & 15);
    case TENON_FORMAT_INT8_CT:
        return (int)(word_at(d, r * ((k + 3) / 4) + c / 4) >> 8 * (c % 4) & 255);
    default:
        return f->spec.unsigned_bytes ? d[r * k + c] : (int8_t)d[r * k + c];
    }
}

static inline bool is_k_first(int32_t format) {
    return format == TENON_FORMAT_INT4_GPTQ || format == TENON_FORMAT_INT4_GPTQ_V2 ||
           format == TENON_FORMAT_INT4_AWQ;
}

static inline double group_scale(const group_fixture *f, int64_t e, int64_t r, int64_t g) {
    const int64_t rows = f->row_groups, row = r / (f->w.n / (rows ? rows : 1));
    const int64_t at = (e * rows + row) * f->groups + g;
    const int64_t i = is_k_first(f->spec.format) ? (e * f->groups + g) * rows + row : at;
    if (f->spec.scale == S_E8M0) {
        const int code = f->part[1][i];
        return code == 255 ? (double)NAN : ldexp(1, code - 127);
    }
    return value_at((value_type)f->spec.scale, f->part[1], i);
}

static inline double group_zero(const group_fixture *f, int64_t e, int64_t r, int64_t g) {
    const int64_t n = f->w.n, per = f->spec.format == TENON_FORMAT_INT8_CT ? 4 : 8;
    const int64_t words = (n + per - 1) / per, rows = f->row_groups;
    const int64_t at = (e * rows + r / (n / rows)) * f->groups + g;
    switch (f->spec.zero) {
    case Z_PACKED:
        if (is_k_first(f->spec.format)) {
            const uint32_t word = word_at(f->part[2], (e * f->groups + g) * words + r / 8);
            const int slot = f->spec.format == TENON_FORMAT_INT4_AWQ ? awq_nibble(r) : (int)(r % 8);
            return (double)(word >> 4 * slot & 15) + (f->spec.format == TENON_FORMAT_INT4_GPTQ);
        }
        return word_at(f->part[2], (e * words + r / per) * f->groups + g) >> 32 / per * (r % per) &
               (per == 4 ? 255 : 15);
    case Z_U8:
        return f->part[2][at];
    case Z_I32:
        return (int32_t)word_at(f->part[2], at);
    case Z_F32:
        return value_at(V_F32, f->part[2], at);
    default:
        return f->spec.format == TENON_FORMAT_INT8_CT                                        ? 128
               : f->spec.format == TENON_FORMAT_INT8 || f->spec.format == TENON_FORMAT_MXFP4 ? 0
                                                                                             : 8;
    }
}

static inline double group_value(const group_fixture *f, int64_t e, int64_t r, int64_t c) {
    static const double e2m1[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
    const int code = group_code(f, e, r, c);
    int64_t g = f->spec.group_cols > 0 ? c / f->spec.group_cols : 0;
    if (f->spec.act_order) {
        g = (int32_t)word_at(f->part[3], c);
        if (g < 0 || g >= f->groups) return (double)NAN;
    }
    const double s = group_scale(f, e, r, g);
    if (f->spec.format == TENON_FORMAT_MXFP4) return s * (code & 8 ? -e2m1[code & 7] : e2m1[code]);
    return (code - group_zero(f, e, r, g)) * s;
}

static inline uint8_t *group_part(group_fixture *f, int i, int64_t bytes) {
    f->part_bytes[i] = (size_t)bytes;
    f->part[i] = malloc((size_t)bytes + 1);
    for (int64_t b = 0; b < bytes; b++) f->part[i][b] = (uint8_t)(test_random() >> 24);
    return f->part[i];
}

static inline void group_values(group_fixture *f) {
    weight_fixture *w = &f->w;
    const int64_t experts = w->experts ? w->experts : 1;
    for (int64_t e = 0; e < experts; e++)
        for (int64_t r = 0; r < w->n; r++)
            for (int64_t c = 0; c < w->k; c++)
                w->value[(e * w->n + r) * w->k + c] = group_value(f, e, r, c);
}

static inline void group_scales(group_fixture *f, int64_t count) {
    static const int code[] = {kDLFloat, kDLBfloat, kDLFloat, kDLUInt}, bits[] = {32, 16, 16, 8};
    const int s = f->spec.scale;
    group_part(f, 1, count * bits[s] / 8);
    for (int64_t i = 0; i < count; i++) {
        if (s == S_E8M0)
            f->part[1][i] = (uint8_t)(117 + f->part[1][i] % 6);
        else
            value_set((value_type)s, f->part[1], i, test_uniform() * 0.02f + 0.021f);
    }
    const int64_t shape[3] = {f->w.experts, is_k_first(f->spec.format) ? f->groups : f->row_groups,
                              is_k_first(f->spec.format) ? f->row_groups : f->groups};
    test_view(&f->scale, f->part[1], code[s], bits[s], f->w.experts ? 3 : 2,
              f->w.experts ? shape : shape + 1);
    f->w.quant.scale = &f->scale.view;
}

static inline void group_zeros(group_fixture *f, int64_t experts) {
    const int64_t per = f->spec.format == TENON_FORMAT_INT8_CT ? 4 : 8;
    const int64_t words = (f->w.n + per - 1) / per, first = is_k_first(f->spec.format);
    const bool packed = f->spec.zero == Z_PACKED;
    const int64_t rows = packed ? words : f->row_groups;
    const int bytes = f->spec.zero == Z_U8 ? 1 : 4;
    const int64_t count = experts * rows * f->groups;
    if (f->spec.zero == Z_NONE) return;
    group_part(f, 2, count * bytes);
    for (int64_t i = 0; i < count && !packed; i++) {
        const int32_t z = (int32_t)(test_random() >> 40) % 200 - (f->spec.zero == Z_I32 ? 100 : 0);
        const float x = 7 + 3 * test_uniform();
        if (f->spec.zero == Z_U8)
            f->part[2][i] = (uint8_t)z;
        else
            memcpy(f->part[2] + 4 * i, f->spec.zero == Z_F32 ? (const void *)&x : &z, 4);
    }
    const int64_t shape[3] = {f->w.experts, first ? f->groups : rows, first ? rows : f->groups};
    test_view(&f->zero, f->part[2],
              f->spec.zero == Z_U8    ? kDLUInt
              : f->spec.zero == Z_F32 ? kDLFloat
                                      : kDLInt,
              8 * bytes, f->w.experts ? 3 : 2, f->w.experts ? shape : shape + 1);
    f->w.quant.zero_point = &f->zero.view;
}

/* Columns belong to groups in random order, as act-order leaves them: all groups of equal size. */
static inline void group_indices(group_fixture *f) {
    if (!f->spec.act_order) return;
    const int64_t k = f->w.k;
    group_part(f, 3, 4 * k);
    for (int64_t c = 0; c < k; c++) {
        const int32_t g = (int32_t)(c / f->spec.group_cols);
        memcpy(f->part[3] + 4 * c, &g, 4);
    }
    for (int64_t c = k - 1; c > 0; c--) {
        const int64_t other = (int64_t)(test_random() >> 20) % (c + 1);
        uint32_t a = word_at(f->part[3], c), b = word_at(f->part[3], other);
        memcpy(f->part[3] + 4 * c, &b, 4), memcpy(f->part[3] + 4 * other, &a, 4);
    }
    test_view(&f->index, f->part[3], kDLInt, 32, SHAPE(k));
    f->w.quant.group_index = &f->index.view;
}

static inline void group_make(group_fixture *f, const group_spec *spec, int64_t experts, int64_t n,
                              int64_t k) {
    memset(f, 0, sizeof *f);
    weight_fixture *w = &f->w;
    const int64_t all = experts ? experts : 1;
    const int32_t format = spec->format;
    f->spec = *spec;
    w->name = spec->name, w->experts = experts, w->n = n, w->k = k;
    w->cancelled = spec->zero == Z_NONE || spec->zero == Z_PACKED ? 40 : 400;
    w->a_group = spec->act_order || (spec->group_cols > 0 && spec->group_cols % 128) ? 32 : 128;
    w->quant = (tenon_quant){.struct_size = sizeof w->quant,
                             .format = format,
                             .group_cols = format == TENON_FORMAT_MXFP4 ? 0 : spec->group_cols,
                             .group_rows = spec->group_rows};
    f->groups = spec->group_cols > 0 ? (k + spec->group_cols - 1) / spec->group_cols : 1;
    f->row_groups = spec->group_rows == -1 ? 1 : n;

    int64_t shape[3] = {experts, n, k};
    int bits = 32, code = kDLInt;
    switch (format) {
    case TENON_FORMAT_INT4:
    case TENON_FORMAT_MXFP4:
        shape[2] = (k + 1) / 2, bits = 8, code = kDLUInt;
        break;
    case TENON_FORMAT_INT4_GPTQ:
    case TENON_FORMAT_INT4_GPTQ_V2:
        shape[1] = (k + 7) / 8, shape[2] = n;
        break;
    case TENON_FORMAT_INT4_AWQ:
        shape[1] = k, shape[2] = (n + 7) / 8;
        break;
    case TENON_FORMAT_INT4_CT:
        shape[2] = (k + 7) / 8;
        break;
    case TENON_FORMAT_INT8_CT:
        shape[2] = (k + 3) / 4;
        break;
    default:
        bits = 8, code = spec->unsigned_bytes ? kDLUInt : kDLInt;
        break;
    }
    w->quant.rows = n, w->quant.cols = k;
    group_part(f, 0, all * shape[1] * shape[2] * bits / 8);
    test_view(&w->tensor, f->part[0], code, bits, experts ? 3 : 2, experts ? shape : shape + 1);
    group_scales(f, all * f->row_groups * f->groups);
    group_zeros(f, all);
    group_indices(f);
    w->value = malloc((size_t)(all * n * k) * sizeof(double) + 8);
    group_values(f);
}

static inline void group_free(group_fixture *f) {
    for (int i = 0; i < 4; i++) free(f->part[i]);
    free(f->w.value);
    free(f->w.blob);
}

#endif

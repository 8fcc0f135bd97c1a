/* SPDX-License-Identifier: Apache-2.0 */
/* Random contents: by element type, by number format where bytes are structured, and in order where
 * a tensor holds indices. */
#include <math.h>
#include <string.h>

#include "bench_fill.h"
#include "bench_random.h"

static uint16_t
f16_small(double value) { /* 2^-14 <= |value| < 2, truncated: any value of that size will do */
    int exponent;
    double m = frexp(fabs(value), &exponent);
    return (uint16_t)((value < 0 ? 0x8000 : 0) | (exponent + 14) << 10 | ((int)(m * 2048) & 0x3ff));
}

/* Eight at a time: models have gigabytes of them. An fp8 byte keeps its sign, and its magnitude
 * lies between 0x18 and 0x3e: finite and normal in every fp8 encoding. */
static void fill_bytes(uint8_t *out, size_t n, DLDataType type, uint64_t *state) {
    const uint64_t each = 0x0101010101010101u;
    bool fp8 = type.code >= kDLFloat8_e4m3fn && type.code <= kDLFloat8_e5m2fnuz;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t bits = bench_random(state);
        if (fp8)
            bits = (bits & 0x80 * each) |
                   (0x18 * each + (bits & 0x1f * each) + (bits >> 32 & 0x07 * each));
        memcpy(out + i, &bits, n - i < 8 ? n - i : 8);
    }
}

static void fill_values(bench_tensor *t, uint64_t *state) {
    DLDataType type = t->view.dtype;
    uint8_t *u8 = bench_data(t);
    size_t n = type.bits >= 8 ? t->bytes / (type.bits / 8u) : t->bytes;
    if (type.bits <= 8 && type.code != kDLFloat8_e8m0fnu) {
        fill_bytes(u8, n, type, state);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        double v = bench_random_signed(state);
        if (type.code == kDLFloat && type.bits == 32)
            ((float *)(void *)u8)[i] = (float)v;
        else if (type.code == kDLFloat && type.bits == 16)
            ((uint16_t *)(void *)u8)[i] = fabs(v) < 1e-4 ? 0 : f16_small(v);
        else if (type.code == kDLBfloat) {
            float f = (float)v;
            uint32_t bits;
            memcpy(&bits, &f, 4);
            ((uint16_t *)(void *)u8)[i] = (uint16_t)(bits >> 16);
        } else if (type.code == kDLFloat8_e8m0fnu)
            u8[i] = (uint8_t)(118 + bench_random(state) % 6);
        else if (type.bits == 16)
            ((uint16_t *)(void *)u8)[i] = (uint16_t)bench_random(state);
        else if (type.bits == 32)
            ((uint32_t *)(void *)u8)[i] = (uint32_t)bench_random(state);
        else
            ((uint64_t *)(void *)u8)[i] = bench_random(state);
    }
}

/* The f16 scale fields inside GGUF blocks; everything else in them may be any byte. */
static void fill_gguf(bench_tensor *t, int32_t format, uint64_t *state) {
    static const struct {
        int32_t format, bytes, d, dmin;
    } blocks[] = {{TENON_FORMAT_GGUF_Q4_0, 18, 0, -1},
                  {TENON_FORMAT_GGUF_Q4_1, 20, 0, 2},
                  {TENON_FORMAT_GGUF_Q8_0, 34, 0, -1},
                  {TENON_FORMAT_GGUF_Q4_K, 144, 0, 2},
                  {TENON_FORMAT_GGUF_Q6_K, 210, 208, -1}};
    uint8_t *u8 = bench_data(t);
    for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
        if (blocks[b].format != format) continue;
        for (size_t i = 0; i + (size_t)blocks[b].bytes <= t->bytes; i += (size_t)blocks[b].bytes) {
            uint16_t d = f16_small(0.002 + 0.002 * fabs(bench_random_signed(state))),
                     dmin = f16_small(0.002 + 0.002 * fabs(bench_random_signed(state)));
            memcpy(u8 + i + blocks[b].d, &d, 2);
            if (blocks[b].dmin >= 0) memcpy(u8 + i + blocks[b].dmin, &dmin, 2);
        }
    }
}

static void fill_scales(bench_tensor *t, int32_t format, uint64_t *state) {
    uint8_t *u8 = bench_data(t);
    DLDataType type = t->view.dtype;
    int64_t n = (int64_t)(t->bytes * 8 / type.bits);
    for (int64_t i = 0; i < n; i++) {
        double v = 0.01 + 0.01 * fabs(bench_random_signed(state));
        if (type.code == kDLFloat && type.bits == 32)
            ((float *)(void *)u8)[i] = (float)v;
        else if (type.code == kDLFloat)
            ((uint16_t *)(void *)u8)[i] = f16_small(v);
        else if (type.code == kDLBfloat)
            ((uint16_t *)(void *)u8)[i] = (uint16_t)(0x3c00 + bench_random(state) % 0x80);
        else if (format == TENON_FORMAT_NVFP4)
            u8[i] = (uint8_t)(0x20 + bench_random(state) % 0x20);
        else
            u8[i] = (uint8_t)(118 + bench_random(state) % 6);
    }
}

/* Rows of 512 fp8 latents, 4 scales in f32 and 64 rope values in bf16. Any other bytes would make
 * logits that are no numbers, and what is measured then is how those are kept apart. */
static void fill_fp8_ds(bench_tensor *t, uint64_t *state) {
    enum { LATENT = 512, SCALES = 4, ROPE = 64, ROW = LATENT + 4 * SCALES + 2 * ROPE };
    const DLDataType e4m3fn = {kDLFloat8_e4m3fn, 8, 1};
    uint8_t *row = bench_data(t);
    for (size_t left = t->bytes / ROW; left > 0; left--, row += ROW) {
        fill_bytes(row, LATENT, e4m3fn, state);
        for (int i = 0; i < SCALES; i++) {
            const float scale = (float)(0.01 + 0.01 * fabs(bench_random_signed(state)));
            memcpy(row + LATENT + 4 * i, &scale, 4);
        }
        for (int i = 0; i < ROPE; i++) {
            const float v = (float)bench_random_signed(state);
            memcpy(row + LATENT + 4 * SCALES + 2 * i, (const uint8_t *)&v + 2, 2);
        }
    }
}

static bool is_integer(const bench_tensor *t) {
    return t->view.dtype.code == kDLInt && t->view.dtype.bits >= 32;
}

void bench_store_index(bench_tensor *t, int64_t i, int64_t value) {
    if (t->view.dtype.bits == 64)
        ((int64_t *)bench_data(t))[i] = value;
    else if (t->view.dtype.bits == 8)
        ((uint8_t *)bench_data(t))[i] = (uint8_t)value;
    else
        ((int32_t *)bench_data(t))[i] = (int32_t)value;
}

/* Which descriptor speaks of this tensor: w has w_quant, a has a_quant, q of dequantize has
 * q_quant. */
static const tenon_quant *descriptor_of(bench_problem *p, const bench_tensor *t) {
    char name[48];
    snprintf(name, sizeof name, "%s_quant", p->info->fields[t->field].name);
    return bench_quant(p, name);
}

void bench_fill(bench_problem *p, uint64_t seed) {
    bench_fill_ragged(p, seed, BENCH_LENGTHS_EQUAL);
}

void bench_fill_ragged(bench_problem *p, uint64_t seed, bench_lengths_kind lengths) {
    uint64_t state = bench_random_state(seed);
    const bench_lengths drawn = {lengths, seed};
    memset(&p->fault, 0, sizeof p->fault);
    for (int32_t i = 0; i < p->n_tensors; i++) {
        bench_tensor *t = &p->tensor[i];
        if (t->contents) {
            for (int64_t k = 0; k < t->n_contents; k++) bench_store_index(t, k, t->contents[k]);
            continue;
        }
        if (t->written && strncmp(t->info->kind, "inout", 5) &&
            strncmp(t->info->kind, "opt_inout", 9))
            continue;
        if (t->member >= 0) {
            for (int32_t q = 0; q < p->n_quants; q++)
                if (p->quant_field[q] == t->field && !is_integer(t))
                    fill_scales(t, p->quant[q].format, &state);
            if (!strcmp(t->info->name, "zero_point")) fill_values(t, &state);
            if (!strcmp(t->info->name, "group_index")) bench_fill_index(p, t, drawn, &state);
        } else if (strstr(t->info->name, "scale")) {
            fill_scales(t, TENON_FORMAT_NONE, &state);
        } else if (is_integer(t) && !descriptor_of(p, t)) {
            bench_fill_index(p, t, drawn, &state);
        } else if (!strcmp(t->info->name, "token_mask")) {
            memset(bench_data(t), 1, t->bytes);
        } else {
            const tenon_quant *quant = descriptor_of(p, t);
            fill_values(t, &state);
            if (!strcmp(t->info->name, "cache") &&
                bench_scalar(p, "cache_format") == TENON_MLA_CACHE_FP8_DS)
                fill_fp8_ds(t, &state);
            if (quant) fill_gguf(t, quant->format, &state);
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "gguf_encode.h"

#include <math.h>

#include "format_storage.h"

static void put_f16(uint8_t *bytes, float value) {
    uint16_t half = tenon_f32_to_f16(value);
    bytes[0] = (uint8_t)half;
    bytes[1] = (uint8_t)(half >> 8);
}

static int clamp_int(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

/* d = -(the element of largest magnitude, with its sign) / 8, so that this element is code 0 or 16
 * exactly; the codes come from the unrounded d, by truncation after adding 8.5. */
static void encode_q4_0(const float *x, uint8_t *block) {
    float extreme = 0;
    for (int i = 0; i < 32; i++) {
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    }
    float d = extreme / -8.0f;
    float inverse = d != 0 ? 1.0f / d : 0;
    put_f16(block, d);
    for (int j = 0; j < 16; j++) {
        float low = x[j] * inverse, high = x[j + 16] * inverse;
        int q_low = clamp_int((int)(low + 8.5f), 0, 15),
            q_high = clamp_int((int)(high + 8.5f), 0, 15);
        block[2 + j] = (uint8_t)(q_low | q_high << 4);
    }
}

static void encode_q4_1(const float *x, uint8_t *block) {
    float least = x[0], largest = x[0];
    for (int i = 1; i < 32; i++) {
        if (x[i] < least) least = x[i];
        if (x[i] > largest) largest = x[i];
    }
    float d = (largest - least) / 15.0f;
    float inverse = d != 0 ? 1.0f / d : 0;
    put_f16(block, d);
    put_f16(block + 2, least);
    for (int j = 0; j < 16; j++) {
        float low = (x[j] - least) * inverse, high = (x[j + 16] - least) * inverse;
        int q_low = clamp_int((int)(low + 0.5f), 0, 15),
            q_high = clamp_int((int)(high + 0.5f), 0, 15);
        block[4 + j] = (uint8_t)(q_low | q_high << 4);
    }
}

/* Here ties go away from zero. */
static void encode_q8_0(const float *x, uint8_t *block) {
    float amax = 0;
    for (int i = 0; i < 32; i++) amax = fmaxf(amax, fabsf(x[i]));
    float d = amax / 127.0f;
    float inverse = d != 0 ? 1.0f / d : 0;
    put_f16(block, d);
    for (int i = 0; i < 32; i++) block[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
}

/* ---- Q4_K: x = scale * q - min, q in 0..15, min >= 0 ---- */

static int affine_code(float x, double scale, double min) {
    return scale > 0 ? clamp_int((int)lrint(((double)x + min) / scale), 0, 15) : 0;
}

static double affine_error(const float *x, double scale, double min) {
    double error = 0;
    for (int i = 0; i < 32; i++) {
        double difference = scale * affine_code(x[i], scale, min) - min - (double)x[i];
        error += difference * difference;
    }
    return error;
}

/* The scale and minimum that fit best in the least-squares sense while the codes stay. */
static void refit_affine(const float *x, double *scale, double *min) {
    double sum_q = 0, sum_qq = 0, sum_x = 0, sum_qx = 0;
    for (int i = 0; i < 32; i++) {
        double q = affine_code(x[i], *scale, *min);
        sum_q += q, sum_qq += q * q, sum_x += (double)x[i], sum_qx += q * (double)x[i];
    }
    double determinant = 32 * sum_qq - sum_q * sum_q;
    if (determinant <= 0) return;
    double new_scale = (32 * sum_qx - sum_q * sum_x) / determinant;
    double new_min = (new_scale * sum_q - sum_x) / 32;
    if (new_scale > 0 && new_min >= 0) *scale = new_scale, *min = new_min;
}

/* Starts from the span of the sub-block, shrunk in small steps: clipping the ends may pay for the
 * finer grid. */
static void fit_affine(const float *x, float *scale, float *min) {
    double least = 0, largest = (double)x[0];
    for (int i = 0; i < 32; i++) {
        if ((double)x[i] < least) least = (double)x[i];
        if ((double)x[i] > largest) largest = (double)x[i];
    }
    if (largest < least) largest = least;
    double best = INFINITY;
    for (int step = 0; step <= 8; step++) {
        double shrink = 1 - 0.02 * step;
        double trial_scale = (largest - least) * shrink / 15, trial_min = -least * shrink;
        refit_affine(x, &trial_scale, &trial_min);
        double error = affine_error(x, trial_scale, trial_min);
        if (error < best) best = error, *scale = (float)trial_scale, *min = (float)trial_min;
    }
}

static void put_q4_k_scale_min(uint8_t *packed, int i, int scale, int min) {
    if (i < 4) {
        packed[i] = (uint8_t)(packed[i] | scale);
        packed[i + 4] = (uint8_t)(packed[i + 4] | min);
    } else {
        packed[i + 4] = (uint8_t)((scale & 0xf) | (min & 0xf) << 4);
        packed[i - 4] = (uint8_t)(packed[i - 4] | scale >> 4 << 6);
        packed[i] = (uint8_t)(packed[i] | min >> 4 << 6);
    }
}

static void encode_q4_k(const float *x, uint8_t *block) {
    float scales[8], mins[8], max_scale = 0, max_min = 0;
    for (int sub = 0; sub < 8; sub++) {
        fit_affine(x + 32 * sub, &scales[sub], &mins[sub]);
        max_scale = fmaxf(max_scale, scales[sub]);
        max_min = fmaxf(max_min, mins[sub]);
    }
    memset(block, 0, TENON_GGUF_Q4_K_BYTES);
    put_f16(block, max_scale / 63.0f);
    put_f16(block + 2, max_min / 63.0f);
    float d = tenon_gguf_f16_at(block), dmin = tenon_gguf_f16_at(block + 2);
    for (int sub = 0; sub < 8; sub++) {
        int scale = d > 0 ? clamp_int((int)lrintf(scales[sub] / d), 0, 63) : 0;
        int min = dmin > 0 ? clamp_int((int)lrintf(mins[sub] / dmin), 0, 63) : 0;
        put_q4_k_scale_min(block + 4, sub, scale, min);
        float step = d * (float)scale, offset = dmin * (float)min;
        for (int j = 0; j < 32; j++) {
            int q = step > 0 ? clamp_int((int)lrintf((x[32 * sub + j] + offset) / step), 0, 15) : 0;
            uint8_t *byte = block + 16 + sub / 2 * 32 + j;
            *byte = (uint8_t)(*byte | q << (4 * (sub % 2)));
        }
    }
}

/* ---- Q6_K: x = scale * (q - 32), q in 0..63 ---- */

static float fit_symmetric(const float *x) {
    float extreme = 0, best_scale = 0;
    for (int i = 0; i < 16; i++) {
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    }
    if (extreme == 0) return 0;
    double best = INFINITY;
    for (int step = -8; step <= 8; step++) {
        double scale = (double)extreme / (-32 + 0.1 * step), error = 0;
        for (int i = 0; i < 16; i++) {
            int q = clamp_int((int)lrint((double)x[i] / scale), -32, 31);
            double difference = scale * q - (double)x[i];
            error += difference * difference;
        }
        if (error < best) best = error, best_scale = (float)scale;
    }
    return best_scale;
}

static void encode_q6_k(const float *x, uint8_t *block) {
    float scales[16], extreme = 0;
    for (int sub = 0; sub < 16; sub++) {
        scales[sub] = fit_symmetric(x + 16 * sub);
        if (fabsf(scales[sub]) > fabsf(extreme)) extreme = scales[sub];
    }
    memset(block, 0, TENON_GGUF_Q6_K_BYTES);
    put_f16(block + 208, extreme / -128.0f);
    float d = tenon_gguf_f16_at(block + 208);
    for (int i = 0; i < 256; i++) {
        int scale = d != 0 ? clamp_int((int)lrintf(scales[i / 16] / d), -128, 127) : 0;
        block[192 + i / 16] = (uint8_t)(int8_t)scale;
        float step = d * (float)scale;
        int q = 32 + (step != 0 ? clamp_int((int)lrintf(x[i] / step), -32, 31) : 0);
        int half = i / 128, part = i % 128 / 32, j = i % 32;
        uint8_t *low = block + 64 * half + 32 * (part % 2) + j, *high = block + 128 + 32 * half + j;
        *low = (uint8_t)(*low | (q & 0xf) << (part < 2 ? 0 : 4));
        *high = (uint8_t)(*high | (q >> 4) << (2 * part));
    }
}

void tenon_gguf_encode(int32_t format, const float *values, int64_t count, uint8_t *blocks) {
    const tenon_format_storage *storage = tenon_format_storage_of(format);
    for (; count > 0; count -= storage->k_per) {
        switch (format) {
        case TENON_FORMAT_GGUF_Q4_0:
            encode_q4_0(values, blocks);
            break;
        case TENON_FORMAT_GGUF_Q4_1:
            encode_q4_1(values, blocks);
            break;
        case TENON_FORMAT_GGUF_Q8_0:
            encode_q8_0(values, blocks);
            break;
        case TENON_FORMAT_GGUF_Q4_K:
            encode_q4_k(values, blocks);
            break;
        default:
            encode_q6_k(values, blocks);
            break;
        }
        values += storage->k_per;
        blocks += storage->k_entries;
    }
}

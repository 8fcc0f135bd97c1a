/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix instructions (MFMA). EXEC is ignored. Operands lie in the lanes like this, M rows (or
 * columns) a block:
 *
 * A and B: G = 64 / (M blocks) lane groups hold n = K / G elements each;
 *     lane = (group * blocks + block) * M + i; element k is in group k / n at place k % n.
 *
 *     When n > 16 and an element has 8 bits, chunks of 16 go round the groups:
 *     group (k / 16) % G, place k / (16 G) * 16 + k % 16.
 *
 * C and D: with R = 64 / M row groups, element (i, j) is in
 *     register i / (4 R) * 4 + i % 4, lane ((i / 4) % R) * M + j;
 *     blocks follow each other in registers, those of 4 x 4 in lanes.
 *
 * Sources: AMD matrix instruction calculator (every entry of every shape of gfx90a and gfx942, see
 * README.md) and "CDNA3 Instruction Set Architecture", matrix layouts; for gfx950 rocjitsu's MFMA
 * operand rule (the same formula) and the code in AMD's "Matrix Core Programming on AMD CDNA3 and
 * CDNA4" (32x32x64 with FP8 and FP4). What has one of these only is in amd_unconfirmed.c.
 *
 * Sums run over k in order, every product and sum rounded to single precision (products of 16 bits
 * and fewer are exact): hardware sums in its own order, so the last bits may differ.
 */
#include "amd_matrix.h"
#include "amd_vector.h"

typedef enum element { F32, F16, BF16, I8, FP8, BF8, FP6, BF6, FP4, BY_MODIFIER, SCALED } element;

static const uint8_t element_bits[] = {[F32] = 32, [F16] = 16, [BF16] = 16, [I8] = 8, [FP8] = 8,
                                       [BF8] = 8,  [FP6] = 6,  [BF6] = 6,   [FP4] = 4};

/* detail of a row: the shape */
#define SHAPE(m, k, blocks, a, b) ((m) | (k) << 6 | (blocks) << 14 | (a) << 19 | (b) << 23)
enum { MAX_M = 32, MAX_K = 128, MAX_BLOCKS = 16 };

typedef struct shape {
    int m, k, blocks;
    element a, b;
} shape;

static shape shape_of(const amd_instruction *inst) {
    int detail = inst->opcode->detail;
    shape s = {detail & 63, detail >> 6 & 255, detail >> 14 & 31, (element)(detail >> 19 & 15),
               (element)(detail >> 23 & 15)};
    static const element by_modifier[5] = {FP8, BF8, FP6, BF6, FP4};
    if (s.a >= BY_MODIFIER) {
        s.a = by_modifier[inst->cbsz];
        s.b = by_modifier[inst->blgp];
    }
    return s;
}

/* ---- operands ---- */

/* Bits of one element of every lane: place p of the registers from first. */
static void extract(amd_wave *wave, int first, int place, int bits, amd_row out) {
    int at = place * bits, word = at / 32, shift = at % 32;
    const uint32_t *low = wave->vector[first + word];
    uint32_t mask = bits == 32 ? ~0u : (1u << bits) - 1;
    if (shift + bits <= 32) {
        AMD_EACH_LANE(lane) out[lane] = low[lane] >> shift & mask;
        return;
    }
    const uint32_t *high = wave->vector[first + word + 1];
    AMD_EACH_LANE(lane) out[lane] = (low[lane] >> shift | high[lane] << (32 - shift)) & mask;
}

static amd_small small_format(const amd_wave *wave, element type) {
    bool fnuz = wave->target == AMD_GFX942;
    switch (type) {
    case FP8:
        return fnuz ? AMD_E4M3_NUZ : AMD_E4M3;
    case BF8:
        return fnuz ? AMD_E5M2_NUZ : AMD_E5M2;
    case FP6:
        return AMD_E2M3;
    case BF6:
        return AMD_E3M2;
    default:
        return AMD_E2M1;
    }
}

static void convert(const amd_wave *wave, element type, const amd_row bits, float out[AMD_LANES]) {
    switch (type) {
    case F32:
        AMD_EACH_LANE(lane) out[lane] = amd_float(bits[lane]);
        return;
    case F16:
        AMD_EACH_LANE(lane) out[lane] = amd_half(bits[lane]);
        break;
    case BF16:
        AMD_EACH_LANE(lane) out[lane] = amd_bfloat(bits[lane]);
        break;
    case I8:
        AMD_EACH_LANE(lane) out[lane] = amd_float((uint32_t)(int32_t)(int8_t)bits[lane]);
        return;
    default: {
        const float *values = amd_small_values[small_format(wave, type)];
        AMD_EACH_LANE(lane) out[lane] = values[bits[lane] & 255];
        return;
    }
    }
    /* MI200 flushes subnormal inputs of its 16-bit matrix instructions (MIOpen's and PyTorch's
     * numerics notes on MI200). */
    if (wave->target != AMD_GFX90A) return;
    float smallest = type == F16 ? 0x1p-14f : 0x1p-126f;
    AMD_EACH_LANE(lane)
    out[lane] = fabsf(out[lane]) < smallest ? copysignf(0.0f, out[lane]) : out[lane];
}

/* One operand as rows of k: out[k][block * M + i]. Integers are kept as bits. */
static void gather(amd_wave *wave, int first, const shape *s, element type,
                   float (*out)[AMD_LANES]) {
    int bits = element_bits[type], span = s->m * s->blocks, groups = AMD_LANES / span,
        count = s->k / groups;
    bool chunked = count > 16 && bits >= 8;
    for (int place = 0; place < count; place++) {
        amd_row raw;
        float values[AMD_LANES];
        extract(wave, first, place, bits, raw);
        convert(wave, type, raw, values);
        for (int group = 0; group < groups; group++) {
            int k = chunked ? place / 16 * groups * 16 + group * 16 + place % 16
                            : group * count + place;
            memcpy(out[k], values + group * span, (size_t)span * sizeof(float));
        }
    }
}

/* Block scales: that of 32 elements of row i is a byte in lane M * (k / 32) + i; op_sel and
 * op_sel_hi name the byte. */
static void apply_scales(amd_wave *wave, const amd_instruction *inst, int operand, const shape *s,
                         float (*values)[AMD_LANES]) {
    amd_row scratch;
    int which = operand - 4,
        shift = 8 * ((inst->op_sel >> which & 1) + 2 * (inst->op_sel_hi >> which & 1));
    const uint32_t *codes = amd_prepare_part(wave, inst, operand, 0, scratch);
    for (int k = 0; k < s->k; k++)
        for (int i = 0; i < s->m; i++)
            values[k][i] *= amd_scale(codes[s->m * (k / 32) + i] >> shift);
}

/* cbsz, abid: groups of 2^cbsz blocks all take A from block abid of the group. blgp: B's lanes are
 * permuted. */
static void broadcast_blocks(const amd_instruction *inst, const shape *s, float (*a)[AMD_LANES]) {
    int together = 1 << inst->cbsz;
    for (int k = 0; k < s->k; k++)
        for (int block = 0; block < s->blocks; block++) {
            int source = block / together * together + inst->abid;
            if (source != block)
                memcpy(a[k] + block * s->m, a[k] + source * s->m, (size_t)s->m * sizeof(float));
        }
}

/* ---- products ---- */

/* acc[i][j] += sum over k of a[k][i] b[k][j]; m is a constant where this is called, so that the
 * rows stay in registers. */
static inline __attribute__((always_inline)) void multiply(int m, int k_count,
                                                           float (*a)[AMD_LANES],
                                                           float (*b)[AMD_LANES], int column,
                                                           float acc[][MAX_M]) {
    int step = 4;
    for (int i = 0; i < m; i += step) {
        float sum[4][MAX_M];
        for (int r = 0; r < step; r++)
            for (int j = 0; j < m; j++) sum[r][j] = acc[i + r][j];
        for (int k = 0; k < k_count; k++)
            for (int r = 0; r < step; r++) {
                float left = a[k][column + i + r];
                for (int j = 0; j < m; j++) sum[r][j] = fmaf(left, b[k][column + j], sum[r][j]);
            }
        for (int r = 0; r < step; r++)
            for (int j = 0; j < m; j++) acc[i + r][j] = sum[r][j];
    }
}

static void multiply_integers(int m, int k_count, float (*a)[AMD_LANES], float (*b)[AMD_LANES],
                              int column, float acc[][MAX_M]) {
    for (int i = 0; i < m; i++) {
        uint32_t sum[MAX_M];
        memcpy(sum, acc[i], sizeof sum);
        for (int k = 0; k < k_count; k++) {
            uint32_t left = amd_bits(a[k][column + i]);
            for (int j = 0; j < m; j++) sum[j] += left * amd_bits(b[k][column + j]);
        }
        memcpy(acc[i], sum, sizeof sum);
    }
}

/* Rows of the accumulator: where four rows i .. i + 3 of a block lie. */
static inline int result_register(const shape *s, int block, int i) {
    int row_groups = AMD_LANES / s->m;
    return s->m == 4 ? i : block * (s->m * s->m / AMD_LANES) + i / (4 * row_groups) * 4 + i % 4;
}

static inline int result_lane(const shape *s, int block, int i) {
    return s->m == 4 ? block * 4 : i / 4 % (AMD_LANES / s->m) * s->m;
}

static gpu_amd_matrix_type counted_as(const shape *s) {
    switch (s->a) {
    case F32:
        return GPU_AMD_MATRIX_F32;
    case F16:
        return GPU_AMD_MATRIX_F16;
    case BF16:
        return GPU_AMD_MATRIX_BF16;
    case I8:
        return GPU_AMD_MATRIX_I8;
    default:
        return element_bits[s->a] == 8 || element_bits[s->b] == 8 ? GPU_AMD_MATRIX_F8
                                                                  : GPU_AMD_MATRIX_F6F4;
    }
}

static void load_block(amd_wave *wave, const amd_instruction *inst, const shape *s, int block,
                       float acc[][MAX_M]) {
    const amd_operand *c = &inst->operand[3];
    for (int i = 0; i < s->m; i++) {
        if (c->kind == AMD_VECTOR) {
            memcpy(acc[i],
                   &wave->vector[c->first + result_register(s, block, i)][result_lane(s, block, i)],
                   (size_t)s->m * 4);
        } else {
            uint32_t value = (uint32_t)c->value;
            for (int j = 0; j < s->m; j++) acc[i][j] = amd_float(value);
        }
    }
}

static void store_block(amd_wave *wave, const amd_instruction *inst, const shape *s, int block,
                        float acc[][MAX_M]) {
    bool flushes = wave->target == AMD_GFX90A && (s->a == F16 || s->a == BF16);
    for (int i = 0; i < s->m; i++) {
        if (flushes)
            for (int j = 0; j < s->m; j++) acc[i][j] = amd_flush(acc[i][j]);
        memcpy(&wave->vector[inst->operand[0].first + result_register(s, block, i)]
                            [result_lane(s, block, i)],
               acc[i], (size_t)s->m * 4);
    }
}

static void matrix(amd_wave *wave, const amd_instruction *inst) {
    shape s = shape_of(inst);
    _Alignas(64) float a[MAX_K][AMD_LANES], b[MAX_K][AMD_LANES], acc[MAX_M][MAX_M];
    gather(wave, inst->operand[1].first, &s, s.a, a);
    gather(wave, inst->operand[2].first, &s, s.b, b);
    bool by_modifier = (element)(inst->opcode->detail >> 19 & 15) >= BY_MODIFIER;
    if ((element)(inst->opcode->detail >> 19 & 15) == SCALED) {
        apply_scales(wave, inst, 4, &s, a);
        apply_scales(wave, inst, 5, &s, b);
    }
    if (!by_modifier && inst->blgp)
        amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1, "blgp is not implemented");
    if (!by_modifier && inst->cbsz) broadcast_blocks(inst, &s, a);
    /* All sources are read before a result is written: C may overlap D, A and B may not (the
     * assembler sees to that). */
    for (int block = 0; block < s.blocks; block++) {
        int column = block * s.m;
        load_block(wave, inst, &s, block, acc);
        if (s.a == I8)
            multiply_integers(s.m, s.k, a, b, column, acc);
        else if (s.m == 16)
            multiply(16, s.k, a, b, column, acc);
        else if (s.m == 32)
            multiply(32, s.k, a, b, column, acc);
        else
            multiply(4, s.k, a, b, column, acc);
        store_block(wave, inst, &s, block, acc);
    }
    wave->group->counters->matrix_flop[counted_as(&s)] +=
        (uint64_t)2 * (uint64_t)(s.m * s.m) * (uint64_t)(s.k * s.blocks);
}

const char *amd_matrix_problem(const amd_instruction *inst) {
    shape s;
    bool by_modifier = (element)(inst->opcode->detail >> 19 & 15) >= BY_MODIFIER;
    if (by_modifier && (inst->cbsz > 4 || inst->blgp > 4)) return "number format of the operand";
    s = shape_of(inst);
    if (!by_modifier && s.blocks < (1 << inst->cbsz)) return "cbsz beyond the blocks";
    if (!by_modifier && inst->abid >= (1 << inst->cbsz)) return "abid beyond cbsz";
    bool scaled = (element)(inst->opcode->detail >> 19 & 15) == SCALED;
    if (inst->operand_count != (scaled ? 6 : 4)) return "number of operands";
    int groups = AMD_LANES / (s.m * s.blocks), results = s.m * s.m * s.blocks / AMD_LANES;
    int left = s.k / groups * element_bits[s.a] / 32, right = s.k / groups * element_bits[s.b] / 32;
    const amd_operand *operand = inst->operand;
    if (operand[0].kind != AMD_VECTOR || operand[0].count < results)
        return "registers of the result";
    if (operand[1].kind != AMD_VECTOR || operand[1].count < left) return "registers of A";
    if (operand[2].kind != AMD_VECTOR || operand[2].count < right) return "registers of B";
    if (operand[3].kind == AMD_VECTOR ? operand[3].count < results
                                      : operand[3].kind != AMD_CONSTANT)
        return "registers of C";
    return NULL;
}

#define MATRIX(name, m, k, blocks, a, b)                                                           \
    {name,                                                                                         \
     matrix,                                                                                       \
     GPU_AMD_MATRIX,                                                                               \
     AMD_F32,                                                                                      \
     1,                                                                                            \
     AMD_MOD_MATRIX | AMD_MOD_PACKED,                                                              \
     SHAPE(m, k, blocks, a, b)},

static const amd_opcode rows[] = {
#include "matrix.def"
};
const amd_opcode_table amd_matrix_table = {rows, sizeof rows / sizeof *rows};

/* SPDX-License-Identifier: Apache-2.0
 *
 * Every matrix instruction on every target that has it: random operands, the product in float64 by
 * the layout written down here once more (from lane and place to element, the other way round than
 * the interpreter goes), and the calculator's own answers for single elements.
 */
#define _DEFAULT_SOURCE
#include "amd_test_build.h"

#include <math.h>

enum {
    LANES = 64,
    OPERAND_ROWS = 8,
    RESULT_ROWS = 32,
    A_ROW = 0,
    B_ROW = 8,
    SCALE_ROW = 16,
    C_ROW = 18,
    ROWS = 50
};
typedef enum element { F32, F16, BF16, I8, FP8, BF8, FP6, BF6, FP4, BY_MODIFIER, SCALED } element;

typedef struct matrix_case {
    const char *name;
    int m, k, blocks;
    element a, b;
} matrix_case;

static const matrix_case cases[] = {
#define MATRIX(name, m, k, blocks, a, b) {name, m, k, blocks, a, b},
#include "matrix.def"
};
enum { CASES = sizeof cases / sizeof *cases };

static const struct fact {
    const char *name;
    char matrix;
    int row, column, block, reg, bit, lane;
} facts[] = {
#define FACT(name, matrix, row, column, block, reg, bit, lane)                                     \
    {name, matrix, row, column, block, reg, bit, lane},
#include "matrix_facts.def"
};

static const int bits_of[] = {[F32] = 32, [F16] = 16, [BF16] = 16, [I8] = 8, [FP8] = 8,
                              [BF8] = 8,  [FP6] = 6,  [BF6] = 6,   [FP4] = 4};

/* ---- numbers ---- */

static double small(int exponent_bits, int mantissa_bits, int bias, uint32_t code) {
    int exponent = (int)(code >> mantissa_bits) & ((1 << exponent_bits) - 1),
        mantissa = (int)code & ((1 << mantissa_bits) - 1);
    double value = exponent ? ldexp(1 + ldexp(mantissa, -mantissa_bits), exponent - bias)
                            : ldexp(mantissa, 1 - bias - mantissa_bits);
    return code >> (exponent_bits + mantissa_bits) & 1 ? -value : value;
}

static double value_of(element type, const char *target, uint32_t bits) {
    bool fnuz = !strcmp(target, "gfx942"), flushes = !strcmp(target, "gfx90a");
    float single;
    switch (type) {
    case F32:
        memcpy(&single, &bits, 4);
        return (double)single;
    case F16:
        return flushes && !(bits & 0x7c00) ? 0 : small(5, 10, 15, bits);
    case BF16:
        bits <<= 16;
        memcpy(&single, &bits, 4);
        return flushes && !(bits & 0x7f800000u) ? 0 : (double)single;
    case I8:
        return (int8_t)bits;
    case FP8:
        return small(4, 3, fnuz ? 8 : 7, bits);
    case BF8:
        return small(5, 2, fnuz ? 16 : 15, bits);
    case FP6:
        return small(2, 3, 1, bits);
    case BF6:
        return small(3, 2, 3, bits);
    default:
        return small(2, 1, 1, bits);
    }
}

/* Random bits of an element without NaN and infinity; sometimes subnormal. */
static uint32_t random_element(element type, uint64_t *random) {
    uint32_t bits = (uint32_t)test_random(random);
    float single = (float)(int32_t)bits * 0x1p-30f;
    switch (type) {
    case F32:
        memcpy(&bits, &single, 4);
        return bits;
    case F16:
        return (bits & 0x83ff) | (bits >> 16 & 15) << 10;
    case BF16:
        return bits >> 31 ? (bits & 0x80ff) : (bits & 0x807f) | (120 + (bits >> 16 & 15)) << 7;
    case FP8:
        bits &= 0xff;
        return bits == 0x80 || (bits & 0x7f) == 0x7f ? 0x38 : bits;
    case BF8:
        bits &= 0xff;
        return bits == 0x80 || (bits & 0x7c) == 0x7c ? 0x3c : bits;
    default:
        return bits & ((1u << bits_of[type]) - 1);
    }
}

/* ---- layout: which element a lane holds at a place ---- */

static void input_element(const matrix_case *c, int bits, int lane, int place, int *i, int *k,
                          int *block) {
    int per_group = c->m * c->blocks, groups = LANES / per_group, group = lane / per_group,
        in_lane = c->k / groups;
    *i = lane % c->m;
    *block = lane % per_group / c->m;
    if (in_lane == 32 && bits == 8)
        *k = (place < 16 ? 0 : c->k / 2) + group * 16 + place % 16; /* two halves of 16 */
    else
        *k = group * in_lane + place;
}

static void result_element(const matrix_case *c, int lane, int reg, int *i, int *j, int *block) {
    if (c->m == 4) {
        *i = reg, *j = lane % 4, *block = lane / 4;
    } else if (c->m == 16) {
        *i = lane / 16 * 4 + reg % 4, *j = lane % 16, *block = reg / 4;
    } else {
        *i = reg % 16 / 4 * 8 + lane / 32 * 4 + reg % 4, *j = lane % 32, *block = reg / 16;
    }
}

static int check_facts(void) {
    int wrong = 0;
    for (size_t f = 0; f < sizeof facts / sizeof *facts; f++) {
        const struct fact *fact = &facts[f];
        for (int n = 0; n < CASES; n++) {
            if (strcmp(cases[n].name, fact->name) != 0) continue;
            int first, second, block, bits = bits_of[cases[n].a];
            if (fact->matrix == 'D')
                result_element(&cases[n], fact->lane, fact->reg, &first, &second, &block);
            else
                input_element(&cases[n], bits, fact->lane, (fact->reg * 32 + fact->bit) / bits,
                              &first, &second, &block);
            if (first == fact->row && second == fact->column && block == fact->block) continue;
            printf("%s: the calculator has %c[%d][%d] block %d at v%d bit %d lane %d\n", fact->name,
                   fact->matrix, fact->row, fact->column, fact->block, fact->reg, fact->bit,
                   fact->lane);
            wrong++;
        }
    }
    return wrong;
}

/* ---- programs ---- */

/* Formats; or, with blocks, broadcasts of A: cbsz 0, then each cbsz with the first and the last
 * block. */
static int variants(const matrix_case *c) {
    int count = c->a >= BY_MODIFIER ? 25 : 1;
    for (int blocks = c->blocks; blocks > 1; blocks /= 2) count += 2;
    return count;
}

/* Groups of 2^cbsz blocks take A of block abid of the group ("CDNA3 Instruction Set Architecture",
 * broadcasting of MFMA, and the matrix instruction calculator). */
static int cbsz_of(const matrix_case *c, int variant) {
    return c->a >= BY_MODIFIER ? 0 : (variant + 1) / 2;
}

static int abid_of(const matrix_case *c, int variant) {
    return variant % 2 ? 0 : (1 << cbsz_of(c, variant)) - 1;
}

static void types(const matrix_case *c, int variant, element *a, element *b) {
    *a = c->a >= BY_MODIFIER ? (element)(FP8 + variant % 5) : c->a;
    *b = c->a >= BY_MODIFIER ? (element)(FP8 + variant / 5) : c->b;
}

static int registers(const matrix_case *c, element type) {
    return c->k / (LANES / (c->m * c->blocks)) * bits_of[type] / 32;
}
static int results(const matrix_case *c) {
    return c->m * c->m * c->blocks / LANES;
}

static const char *range(int first, int count) {
    static char text[4][24];
    static int next;
    char *out = text[next++ % 4];
    if (count == 1)
        snprintf(out, 24, "v%d", first);
    else
        snprintf(out, 24, "v[%d:%d]", first, first + count - 1);
    return out;
}

/* gfx90a spells types without an underscore; what doubles K came with gfx950. */
static bool exists(const char *target, const matrix_case *c) {
    bool doubled = c->a >= BY_MODIFIER || strstr(c->name, "16x16x32_f16") ||
                   strstr(c->name, "16x16x32_bf16") || strstr(c->name, "32x32x16_f16") ||
                   strstr(c->name, "32x32x16_bf16") || strstr(c->name, "16x16x64_i8") ||
                   strstr(c->name, "32x32x32_i8");
    const char *shape = strchr(c->name + 7, '_') + 1;
    bool underscore = strchr(shape, '_') && !strstr(shape, "_1k"),
         small_float = c->a == FP8 || c->a == BF8;
    if (!strcmp(target, "gfx950")) return underscore;
    if (!strcmp(target, "gfx942")) return underscore && !doubled;
    return !underscore && !doubled && !small_float;
}

static char *write_source(const char *target) {
    size_t capacity = 4 << 20, used = 0;
    char *source = malloc(capacity);
#define EMIT(...) used += (size_t)snprintf(source + used, capacity - used, __VA_ARGS__)
    EMIT(".amdgcn_target \"amdgcn-amd-amdhsa--%s\"\n.amdhsa_code_object_version 5\n.text\n",
         target);
    for (int n = 0; n < CASES; n++)
        for (int variant = 0; exists(target, &cases[n]) && variant < variants(&cases[n]);
             variant++) {
            const matrix_case *c = &cases[n];
            element a, b;
            types(c, variant, &a, &b);
            EMIT(".globl m%d_%d\n.p2align 8\n.type m%d_%d,@function\nm%d_%d:\n s_load_dwordx4 "
                 "s[4:7], s[0:1], 0x0\n v_lshlrev_b32 v63, 2, v0\n s_waitcnt lgkmcnt(0)\n",
                 n, variant, n, variant, n, variant);
            for (int row = 0; row < ROWS; row++)
                EMIT(" global_load_dword v%d, v63, s[4:5]\n s_add_u32 s4, s4, 0x100\n s_addc_u32 "
                     "s5, s5, 0\n",
                     row);
            EMIT(" s_waitcnt vmcnt(0)\n %s %s, %s, %s, %s", c->name, range(C_ROW, results(c)),
                 range(A_ROW, registers(c, a)), range(B_ROW, registers(c, b)),
                 range(C_ROW, results(c)));
            if (c->a == SCALED)
                EMIT(", v16, v17 op_sel:[%d,%d,0] op_sel_hi:[%d,%d,0]", variant & 1,
                     variant >> 1 & 1, variant >> 2 & 1, variant >> 3 & 1);
            if (c->a >= BY_MODIFIER) EMIT(" cbsz:%d blgp:%d", a - FP8, b - FP8);
            if (cbsz_of(c, variant))
                EMIT(" cbsz:%d abid:%d", cbsz_of(c, variant), abid_of(c, variant));
            EMIT("\n s_nop 15\n s_nop 15\n");
            for (int row = 0; row < results(c); row++)
                EMIT(" global_store_dword v63, v%d, s[6:7]\n s_add_u32 s6, s6, 0x100\n s_addc_u32 "
                     "s7, s7, 0\n",
                     C_ROW + row);
            EMIT(" s_endpgm\n.size m%d_%d, .-m%d_%d\n", n, variant, n, variant);
        }
    EMIT(".rodata\n.p2align 6\n");
    for (int n = 0; n < CASES; n++)
        for (int variant = 0; exists(target, &cases[n]) && variant < variants(&cases[n]); variant++)
            EMIT(
                ".amdhsa_kernel m%d_%d\n .amdhsa_user_sgpr_kernarg_segment_ptr 1\n "
                ".amdhsa_next_free_vgpr 64\n .amdhsa_next_free_sgpr 40\n .amdhsa_accum_offset 64\n "
                ".amdhsa_kernarg_size 16\n .amdhsa_float_denorm_mode_32 3\n.end_amdhsa_kernel\n",
                n, variant);
    EMIT(".amdgpu_metadata\n---\namdhsa.version: [1, 2]\namdhsa.kernels:\n");
    for (int n = 0; n < CASES; n++)
        for (int variant = 0; exists(target, &cases[n]) && variant < variants(&cases[n]); variant++)
            EMIT("  - .name: m%d_%d\n    .symbol: m%d_%d.kd\n    .kernarg_segment_size: 16\n    "
                 ".group_segment_fixed_size: 0\n    .private_segment_fixed_size: 0\n    "
                 ".kernarg_segment_align: 8\n    .wavefront_size: 64\n    .sgpr_count: 40\n    "
                 ".vgpr_count: 64\n    .max_flat_workgroup_size: 64\n",
                 n, variant, n, variant);
    EMIT("...\n.end_amdgpu_metadata\n");
#undef EMIT
    return source;
}

/* ---- one run ---- */

static uint32_t in[ROWS][LANES], out[RESULT_ROWS][LANES];

static void put_bits(int first_row, int lane, int at, int bits, uint32_t value) {
    for (int i = 0; i < bits; i++)
        if (value >> i & 1) in[first_row + (at + i) / 32][lane] |= 1u << (at + i) % 32;
}

static double operand[2][16][32][128]; /* A and B: block, row or column, k; scales applied */

static void fill_operand(const matrix_case *c, const char *target, int which, element type,
                         int variant, uint64_t *random) {
    int first = which ? B_ROW : A_ROW, places = c->k / (LANES / (c->m * c->blocks)),
        shift = 8 * ((variant >> which & 1) + 2 * (variant >> (2 + which) & 1));
    memset(in[first], 0, sizeof in[0] * OPERAND_ROWS);
    for (int lane = 0; lane < LANES; lane++)
        in[SCALE_ROW + which][lane] = ((uint32_t)test_random(random) & 0x07070707u) | 0x78787878u;
    for (int lane = 0; lane < LANES; lane++)
        for (int place = 0; place < places; place++) {
            int i, k, block;
            uint32_t bits = random_element(type, random);
            input_element(c, bits_of[type], lane, place, &i, &k, &block);
            put_bits(first, lane, place * bits_of[type], bits_of[type], bits);
            double scale =
                c->a == SCALED
                    ? ldexp(1,
                            (int)(in[SCALE_ROW + which][c->m * (k / 32) + i] >> shift & 255) - 127)
                    : 1;
            operand[which][block][i][k] = value_of(type, target, bits) * scale;
        }
}

static int compare(const char *target, const matrix_case *c, element a, element b, int variant) {
    for (int lane = 0; lane < LANES; lane++)
        for (int reg = 0; reg < results(c); reg++) {
            int i, j, block;
            result_element(c, lane, reg, &i, &j, &block);
            int together = 1 << cbsz_of(c, variant),
                source = block - block % together + abid_of(c, variant);
            float start;
            memcpy(&start, &in[C_ROW + reg][lane], 4);
            double sum = a == I8 ? (int32_t)in[C_ROW + reg][lane] : (double)start, size = fabs(sum);
            for (int k = 0; k < c->k; k++) {
                double product = operand[0][source][i][k] * operand[1][block][j][k];
                sum += product;
                size += fabs(product);
            }
            float got;
            memcpy(&got, &out[reg][lane], 4);
            bool good = a == I8 ? (uint32_t)(int64_t)sum == out[reg][lane]
                                : fabs((double)got - sum) <= size * (c->k + 2) * 0x1p-24;
            if (good) continue;
            printf("%s %s (formats %d %d): D[%d][%d] of block %d is %g (0x%x), expected %g\n",
                   target, c->name, a, b, i, j, block, (double)got, out[reg][lane], sum);
            return 1;
        }
    return 0;
}

int main(void) {
    static const char *const targets[] = {"gfx90a", "gfx942", "gfx950"};
    uint64_t random = test_seed();
    int failed = check_facts(), run = 0;
    for (int t = 0; t < 3; t++) {
        char *source = write_source(targets[t]);
        code_object object = build_object(targets[t], "assembler", source, "");
        gpu_amd_device *device = gpu_amd_open(targets[t]);
        gpu_amd_module *module = load_object(device, &object);
        gpu_amd_register(device, in, sizeof in, GPU_AMD_READ);
        gpu_amd_register(device, out, sizeof out, GPU_AMD_WRITE);
        for (int n = 0; n < CASES; n++)
            for (int variant = 0; exists(targets[t], &cases[n]) && variant < variants(&cases[n]);
                 variant++) {
                const matrix_case *c = &cases[n];
                element a, b;
                char name[32];
                gpu_amd_fault fault;
                gpu_amd_counters counters = {0};
                struct {
                    void *in, *out;
                } arguments = {in, out};
                types(c, variant, &a, &b);
                fill_operand(c, targets[t], 0, a, variant, &random);
                fill_operand(c, targets[t], 1, b, variant, &random);
                for (int row = 0; row < RESULT_ROWS; row++)
                    for (int lane = 0; lane < LANES; lane++)
                        in[C_ROW + row][lane] = random_element(F32, &random);
                snprintf(name, sizeof name, "m%d_%d", n, variant);
                gpu_amd_launch launch = {.grid = {1, 1, 1},
                                         .block = {64, 1, 1},
                                         .arguments = &arguments,
                                         .argument_bytes = sizeof arguments,
                                         .counters = &counters};
                gpu_amd_poison(out, sizeof out);
                run++;
                if (!gpu_amd_run(gpu_amd_find_kernel(module, name), &launch, &fault)) {
                    printf("%s\n", fault.text);
                    failed++;
                    continue;
                }
                uint64_t flop = 0;
                for (int i = 0; i < GPU_AMD_MATRIX_TYPES; i++) flop += counters.matrix_flop[i];
                if (flop != (uint64_t)(2 * c->m * c->m * c->k * c->blocks)) {
                    printf("%s: %llu FLOP counted\n", c->name, (unsigned long long)flop);
                    failed++;
                }
                failed += compare(targets[t], c, a, b, variant);
            }
        gpu_amd_unload(module);
        gpu_amd_close(device);
        free(object.bytes);
        free(source);
    }
    printf("%d matrix products, %d facts, %d failed\n", run, (int)(sizeof facts / sizeof *facts),
           failed);
    return failed != 0;
}

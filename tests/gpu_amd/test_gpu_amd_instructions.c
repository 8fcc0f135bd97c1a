/* SPDX-License-Identifier: Apache-2.0
 *
 * One-instruction programs against C expressions (instruction_cases.def), on every target, with all
 * and with some lanes active. Each case is a kernel of one assembled file: it loads registers, sets
 * masks, runs the instruction, stores.
 */
#define _DEFAULT_SOURCE
#include "amd_test_build.h"

#include <math.h>

enum { ROWS = 24, OUT_ROWS = 16, LANES = 64, FIRST_INPUT = 8, SCALAR_BYTE = 6144 };
enum { ALL = 7, FROM942 = 6, G950 = 4 };
enum { FP8, BF8, FP4 };

typedef struct state {
    const uint32_t (*row)[LANES]; /* v0 .. v7, then v8 .. v23 */
    const uint32_t *s;            /* s16 .. s31 */
    uint64_t exec, vcc;
    bool scc;
} state;

static bool fnuz, flushes; /* FP8 of gfx942; MI200's products of 16 bits know no subnormals */

/* ---- the words that the cases use ---- */

static uint32_t U(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}
static float F(uint32_t x) {
    float value;
    memcpy(&value, &x, 4);
    return value;
}
static uint64_t DU(double x) {
    uint64_t bits;
    memcpy(&bits, &x, 8);
    return bits;
}
static double D(uint64_t x) {
    double value;
    memcpy(&value, &x, 8);
    return value;
}
static half_float H(uint32_t x) {
    uint16_t half = (uint16_t)x;
    half_float value;
    memcpy(&value, &half, 2);
    return value;
}
static uint32_t HU(half_float x) {
    uint16_t bits;
    memcpy(&bits, &x, 2);
    return bits;
}
static uint64_t two(uint32_t low, uint32_t high) {
    return (uint64_t)high << 32 | low;
}
static uint32_t ones(uint32_t x) {
    uint32_t n = 0;
    for (; x; x /= 2) n += x % 2;
    return n;
}
static uint32_t lowest_set(uint32_t x) {
    for (uint32_t i = 0; i < 32; i++)
        if (x >> i & 1) return i;
    return ~0u;
}
static int lowest64(uint64_t x) {
    int i = 0;
    while (!(x >> i & 1)) i++;
    return i;
}
static uint32_t leading_zeros(uint32_t x) {
    for (uint32_t i = 0; i < 32; i++)
        if (x << i & 0x80000000u) return i;
    return ~0u;
}
static uint32_t reversed(uint32_t x) {
    uint32_t r = 0;
    for (int i = 0; i < 32; i++) r = r << 1 | (x >> i & 1);
    return r;
}
static int32_t sign24(uint32_t x) {
    x %= 1u << 24;
    return x >= 1u << 23 ? (int32_t)x - (1 << 24) : (int32_t)x;
}
static float flushed(float x) {
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}
static bool signalling(uint32_t x) {
    return (x >> 22 & 511) == 510 && x << 10;
}
static uint32_t unit(float x) {
    return x > 1 ? 0x3f800000u : x > 0 ? U(x) : 0;
}
static int clipped(int32_t x) {
    return x > 2000 ? 2000 : x < -2000 ? -2000 : x;
}
static uint32_t dpp(uint32_t moved, bool valid, uint32_t otherwise) {
    return valid ? moved : otherwise;
}
static float power(uint32_t bits) {
    return (float)ldexp(1.0, (int)(bits >> 23 & 255) - 127);
}

static int64_t middle(int64_t a, int64_t b, int64_t c) {
    int64_t low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

static float middle_float(float a, float b, float c) {
    float low = fminf(a, b), high = fmaxf(a, b);
    return c < low ? low : c > high ? high : c;
}

static uint32_t permuted(uint32_t a, uint32_t b, uint32_t selectors) {
    uint8_t data[8], out[4];
    memcpy(data, &b, 4);
    memcpy(data + 4, &a, 4);
    for (int i = 0; i < 4; i++) {
        unsigned s = selectors >> 8 * i & 255;
        if (s < 8)
            out[i] = data[s];
        else if (s < 12)
            out[i] = data[2 * (s - 8) + 1] & 0x80 ? 0xff : 0;
        else
            out[i] = s == 12 ? 0 : 0xff;
    }
    uint32_t result;
    memcpy(&result, out, 4);
    return result;
}

static uint32_t bytes_apart(uint32_t a, uint32_t b) {
    uint32_t sum = 0;
    for (int i = 0; i < 32; i += 8) sum += (uint32_t)abs((int)(a >> i & 255) - (int)(b >> i & 255));
    return sum;
}

static uint32_t dot_bytes(uint32_t a, uint32_t b, uint32_t c) {
    for (int i = 0; i < 32; i += 8) c += (uint32_t)((int8_t)(a >> i) * (int8_t)(b >> i));
    return c;
}

static uint32_t truth(unsigned table, uint32_t a, uint32_t b, uint32_t c) {
    uint32_t result = 0;
    for (int i = 0; i < 32; i++)
        result |= (table >> ((a >> i & 1) * 4 + (b >> i & 1) * 2 + (c >> i & 1)) & 1u) << i;
    return result;
}

static uint32_t to_unsigned(float x) {
    return !(x > 0) ? 0 : x >= 4294967040.5f ? 0xffffffffu : (uint32_t)(uint64_t)x;
}
static uint32_t to_signed(float x) {
    return x != x               ? 0
           : x >= 2147483648.0f ? 0x7fffffff
           : x < -2147483648.0f ? 0x80000000u
                                : (uint32_t)(int32_t)x;
}
static uint32_t half_of(double x) {
    return HU((half_float)x);
}

static uint32_t bfloat_of(float x) {
    if (x != x) return U(x) >> 16 | 0x40;
    uint32_t low = U(x) & 0xffff0000u;
    double down = fabs((double)F(low)), rest = fabs((double)x) - down,
           step = (low & 0x7f800000u) == 0x7f800000u ? 0 : fabs((double)F(low + 0x10000)) - down;
    if ((low + 0x10000) << 1 == 0xff000000u)
        step = fabs((double)F(low)) - fabs((double)F(low - 0x10000));
    bool up = 2 * rest > step || (2 * rest == step && rest > 0 && (low >> 16 & 1));
    return (low >> 16) + up;
}

/* Value of a small float by its definition: sign, exponent field, mantissa. */
static float small(int format, uint32_t code) {
    int mantissa_bits = format == FP8   ? 3
                        : format == BF8 ? 2
                                        : 1,
        exponent_bits = format == FP8   ? 4
                        : format == BF8 ? 5
                                        : 2;
    int sign_bit = mantissa_bits + exponent_bits,
        bias = (1 << (exponent_bits - 1)) - 1 + (fnuz && format != FP4);
    int exponent = (int)(code >> mantissa_bits) & ((1 << exponent_bits) - 1),
        mantissa = (int)code & ((1 << mantissa_bits) - 1);
    if (format != FP4) {
        if (fnuz && code == 0x80) return NAN;
        if (!fnuz && format == FP8 && (code & 0x7f) == 0x7f) return NAN;
        if (!fnuz && format == BF8 && exponent == 31)
            return mantissa ? NAN : code & 0x80 ? -INFINITY : INFINITY;
    }
    double value = exponent ? ldexp(1 + ldexp(mantissa, -mantissa_bits), exponent - bias)
                            : ldexp(mantissa, 1 - bias - mantissa_bits);
    return (float)(code >> sign_bit & 1 ? -value : value);
}

/* The nearest code, found by trying all; the even one of two; beyond the largest: NaN or infinity
 * (FP4: the largest). */
static uint32_t to_small(int format, float x) {
    uint32_t top = format == FP4   ? 7
                   : fnuz          ? 0x7f
                   : format == FP8 ? 0x7e
                                   : 0x7b,
             sign = (format == FP4 ? 8u : 0x80u) * (x != x ? U(x) >> 31 : signbit(x) != 0);
    uint32_t beyond = format == FP4 ? sign | 7
                      : fnuz        ? 0x80
                                    : sign | (format == FP8 ? 0x7fu : 0x7cu);
    if (x != x) return format == FP4 ? sign | 7 : fnuz ? 0x80 : sign | 0x7f;
    /* Far beyond the largest all are equally far. */
    double magnitude = fmin(fabs((double)x), 4.0 * (double)small(format, top)), best = INFINITY;
    uint32_t code = 0;
    for (uint32_t candidate = 0; candidate <= top + 1; candidate++) {
        double value = candidate <= top
                           ? (double)small(format, candidate)
                           : 2.0 * (double)small(format, top) - (double)small(format, top - 1);
        double distance = fabs(value - magnitude);
        if (distance < best || (distance == best && candidate % 2 == 0))
            best = distance, code = candidate;
    }
    if (isinf(magnitude) || code > top) return beyond;
    return fnuz && format != FP4 && code == 0 ? 0 : sign | code;
}

static float product_input(uint32_t x) {
    return flushes && !(x & 0x7c00) ? 0.0f : (float)H(x);
}
static float product_result(float x) {
    return flushes ? flushed(x) : x;
}

/* 64 bits of elements at one place of the 64 bits (v8, v9) of every step-th lane from first on. */
static uint64_t of_lanes(const state *v, int first, int step, int bits, int place) {
    uint64_t result = 0;
    for (int n = 0; n < 64 / bits; n++) {
        uint64_t source = two(v->row[8][first + n * step], v->row[9][first + n * step]);
        result |= (source >> place * bits & ((1ull << bits) - 1)) << n * bits;
    }
    return result;
}

/* ---- the cases ---- */

#define VALUES                                                                                     \
    uint32_t a = v->row[8][lane], b = v->row[9][lane], c = v->row[10][lane], d = v->row[0][lane];  \
    uint64_t aa = two(a, b), bb = two(c, v->row[11][lane]),                                        \
             cc = two(v->row[12][lane], v->row[13][lane]);                                         \
    uint32_t s0 = v->s[0], s1 = v->s[1], s2 = v->s[2], s6 = v->s[6], s7 = v->s[7];                 \
    uint64_t ss0 = two(s0, s1), ss1 = two(s2, v->s[3]), vcc = v->vcc, exec = v->exec;              \
    bool scc = v->scc;                                                                             \
    (void)a, (void)b, (void)c, (void)d, (void)aa, (void)bb, (void)cc, (void)s0, (void)s1,          \
        (void)s2, (void)s6, (void)s7;                                                              \
    (void)ss0, (void)ss1, (void)vcc, (void)exec, (void)scc
#define at(r, l)              v->row[8 + (r)][(l) & 63]
#define word(byte)            v->row[(byte) / 256][(byte) / 4 % 64]
#define JOIN_NAMES(x, y)      x##y
#define NAME_AT(prefix, line) JOIN_NAMES(prefix, line)
#define VALUE_CASE(expression)                                                                     \
    static uint64_t NAME_AT(value_, __LINE__)(const state *v, int lane) {                          \
        VALUES;                                                                                    \
        return (expression);                                                                       \
    }
#define LANE(kind, targets, text, expression)   VALUE_CASE(expression)
#define LANE64(kind, targets, text, expression) VALUE_CASE(expression)
#define MASK(targets, text, expression)         VALUE_CASE(expression)
#define SCALAR(targets, text, expression, flag)                                                    \
    VALUE_CASE(expression)                                                                         \
    static uint64_t NAME_AT(flag_, __LINE__)(const state *v, int lane) {                           \
        VALUES;                                                                                    \
        return (flag);                                                                             \
    }
#define SCALAR64 SCALAR
#include "instruction_cases.def"
#undef LANE
#undef LANE64
#undef MASK
#undef SCALAR
#undef SCALAR64

typedef enum shape { IN_LANE, IN_LANE_64, AS_MASK, AS_SCALAR, AS_SCALAR_64 } shape;

typedef struct instruction_case {
    shape shape;
    const char *kind;
    unsigned targets;
    const char *text;
    uint64_t (*value)(const state *, int), (*flag)(const state *, int);
} instruction_case;

static const instruction_case cases[] = {
#define LANE(kind, targets, text, expression)                                                      \
    {IN_LANE, #kind, targets, text, NAME_AT(value_, __LINE__), NULL},
#define LANE64(kind, targets, text, expression)                                                    \
    {IN_LANE_64, #kind, targets, text, NAME_AT(value_, __LINE__), NULL},
#define MASK(targets, text, expression)                                                            \
    {AS_MASK, "u", targets, text, NAME_AT(value_, __LINE__), NULL},
#define SCALAR(targets, text, expression, flag)                                                    \
    {AS_SCALAR, "u", targets, text, NAME_AT(value_, __LINE__), NAME_AT(flag_, __LINE__)},
#define SCALAR64(targets, text, expression, flag)                                                  \
    {AS_SCALAR_64, "u", targets, text, NAME_AT(value_, __LINE__), NAME_AT(flag_, __LINE__)},
#include "instruction_cases.def"
};
enum { CASES = sizeof cases / sizeof *cases };

/* ---- the program ---- */

static char *write_source(const char *target, unsigned bit) {
    size_t capacity = 4 << 20, used = 0;
    char *source = malloc(capacity);
#define EMIT(...) used += (size_t)snprintf(source + used, capacity - used, __VA_ARGS__)
    EMIT(".amdgcn_target \"amdgcn-amd-amdhsa--%s\"\n.amdhsa_code_object_version 5\n.text\n",
         target);
    for (int i = 0; i < CASES; i++) {
        if (!(cases[i].targets & bit)) continue;
        EMIT(".globl t%d\n.p2align 8\n.type t%d,@function\nt%d:\n s_load_dwordx4 s[4:7], s[0:1], "
             "0x0\n v_lshlrev_b32 v63, 2, v0\n s_waitcnt lgkmcnt(0)\n",
             i, i, i);
        EMIT(" s_load_dwordx16 s[16:31], s[4:5], %d\n s_add_u32 s8, s4, 0x800\n s_addc_u32 s9, s5, "
             "0\n s_add_u32 s10, s4, 0x1000\n s_addc_u32 s11, s5, 0\n",
             SCALAR_BYTE);
        for (int row = 0; row < ROWS; row++)
            EMIT(" global_load_dword v%d, v63, s[%d:%d] offset:%d\n", row,
                 row < 8    ? 4
                 : row < 16 ? 8
                            : 10,
                 row < 8    ? 5
                 : row < 16 ? 9
                            : 11,
                 row % 8 * 256);
        EMIT(" s_waitcnt vmcnt(0) lgkmcnt(0)\n s_mov_b64 vcc, s[30:31]\n s_mov_b64 s[32:33], 0\n "
             "s_bitcmp1_b32 s29, 0\n s_mov_b64 exec, s[26:27]\n s_nop 4\n %s\n",
             cases[i].text);
        EMIT(" s_cselect_b32 s14, 1, 0\n s_mov_b64 s[12:13], exec\n s_mov_b64 exec, -1\n");
        static const char *const scalars[] = {"s32", "s33",    "s14",   "s12",
                                              "s13", "vcc_lo", "vcc_hi"};
        for (int row = 0; row < 7; row++) EMIT(" v_mov_b32 v%d, %s\n", 8 + row, scalars[row]);
        EMIT(" s_add_u32 s8, s6, 0x800\n s_addc_u32 s9, s7, 0\n");
        for (int row = 0; row < OUT_ROWS - 1; row++)
            EMIT(" global_store_dword v63, v%d, s[%d:%d] offset:%d\n", row, row < 8 ? 6 : 8,
                 row < 8 ? 7 : 9, row % 8 * 256);
        EMIT(" s_endpgm\n.size t%d, .-t%d\n", i, i);
    }
    EMIT(".rodata\n.p2align 6\n");
    for (int i = 0; i < CASES; i++)
        if (cases[i].targets & bit)
            EMIT(
                ".amdhsa_kernel t%d\n .amdhsa_group_segment_fixed_size 4096\n "
                ".amdhsa_user_sgpr_kernarg_segment_ptr 1\n "
                ".amdhsa_next_free_vgpr 64\n .amdhsa_next_free_sgpr 40\n .amdhsa_accum_offset 64\n "
                ".amdhsa_kernarg_size 16\n .amdhsa_float_denorm_mode_32 3\n.end_amdhsa_kernel\n",
                i);
    EMIT(".amdgpu_metadata\n---\namdhsa.version: [1, 2]\namdhsa.kernels:\n");
    for (int i = 0; i < CASES; i++)
        if (cases[i].targets & bit)
            EMIT("  - .name: t%d\n    .symbol: t%d.kd\n    .kernarg_segment_size: 16\n    "
                 ".group_segment_fixed_size: 4096\n    .private_segment_fixed_size: 0\n    "
                 ".kernarg_segment_align: 8\n    .wavefront_size: 64\n    .sgpr_count: 40\n    "
                 ".vgpr_count: 64\n    .max_flat_workgroup_size: 64\n",
                 i, i);
    EMIT("...\n.end_amdgpu_metadata\n");
#undef EMIT
    if (used >= capacity) {
        fprintf(stderr, "the source does not fit\n");
        exit(1);
    }
    return source;
}

/* ---- inputs: random bits, moderate floats, values at the edges, small numbers ---- */

static uint32_t input(int round, uint64_t *random) {
    static const uint32_t edges[] = {
        0,           0x80000000u, 0x3f800000u, 0xbf800000u, 0x7f800000u, 0xff800000u, 0x7fc00001u,
        1,           0x807fffffu, 0x00800000u, 0x7f7fffffu, 0x4f000000u, 0x4f800000u, 0xcf000000u,
        0x7fffffffu, 0xffffffffu, 0x3c00,      0x7c00,      0xfc00,      0x7e00,      1 << 16,
        0x03ff0001,  0x7bff7bff,  0x43e00000u, 0x43e80000u, 0x43700000u, 0x43780000u, 0x47600000u,
        0x41100000u, 0x3b000000u, 0x3a800000u};
    uint64_t bits = test_random(random);
    switch (round) {
    case 0:
        return (uint32_t)bits;
    case 1:
        return U((float)((int32_t)bits) * 0x1p-27f);
    case 2:
        return edges[bits % (sizeof edges / sizeof *edges)];
    default:
        return (uint32_t)(bits & 0x00ff00ff) | ((bits >> 40 & 3) << 10) | ((bits >> 42 & 3) << 26);
    }
}

static bool near_bits(uint32_t want, uint32_t got, uint32_t ulp) {
    return want - got + ulp <= 2 * ulp;
}
static bool nan32(uint32_t x) {
    return F(x) != F(x);
}
static bool nan16(uint32_t x) {
    return (x & 0x7fff) > 0x7c00;
}

static bool same(const char *kind, uint64_t want, uint64_t got) {
    uint32_t low = (uint32_t)want, low_got = (uint32_t)got, high = (uint32_t)(want >> 32),
             high_got = (uint32_t)(got >> 32);
    if (want == got) return true;
    if (!strcmp(kind, "f")) return nan32(low) && nan32(low_got);
    if (!strcmp(kind, "t")) return (nan32(low) && nan32(low_got)) || near_bits(low, low_got, 1);
    if (!strcmp(kind, "h")) return nan16(low) && nan16(low_got) && !(low_got >> 16);
    if (!strcmp(kind, "q")) return (nan16(low) && nan16(low_got)) || near_bits(low, low_got, 1);
    if (!strcmp(kind, "d")) return D(want) != D(want) && D(got) != D(got);
    if (!strcmp(kind, "p"))
        return ((low & 0xffff) == (low_got & 0xffff) || (nan16(low) && nan16(low_got))) &&
               (low >> 16 == low_got >> 16 || (nan16(low >> 16) && nan16(low_got >> 16)));
    if (!strcmp(kind, "p32"))
        return (low == low_got || (nan32(low) && nan32(low_got))) &&
               (high == high_got || (nan32(high) && nan32(high_got)));
    return false;
}

static int complain(const char *target, int i, int round, int lane, uint64_t want, uint64_t got,
                    const state *v) {
    printf("%s round %d lane %d: %s: 0x%llx, expected 0x%llx (a %08x b %08x c %08x d %08x exec "
           "%016llx)\n",
           target, round, lane, cases[i].text, (unsigned long long)got, (unsigned long long)want,
           v->row[8][lane & 63], v->row[9][lane & 63], v->row[10][lane & 63], v->row[0][lane & 63],
           (unsigned long long)v->exec);
    return 1;
}

static int check(const char *target, int i, int round, const state *v,
                 const uint32_t (*out)[LANES]) {
    const instruction_case *c = &cases[i];
    uint64_t scalar = two(out[8][0], out[9][0]), flag = out[10][0];
    if (c->shape == AS_SCALAR) scalar = (uint32_t)scalar;
    if (c->shape == AS_SCALAR || c->shape == AS_SCALAR_64) {
        uint64_t want = c->value(v, 0);
        if (c->shape == AS_SCALAR) want = (uint32_t)want;
        if (want != scalar) return complain(target, i, round, 0, want, scalar, v);
        uint64_t want_flag = c->flag(v, 0) != 0;
        return want_flag == flag ? 0 : complain(target, i, round, -1, want_flag, flag, v);
    }
    for (int lane = 0; lane < LANES; lane++) {
        bool active = v->exec >> lane & 1, wide = c->shape == IN_LANE_64;
        uint64_t old = wide ? two(v->row[0][lane], v->row[1][lane]) : v->row[0][lane];
        uint64_t got = c->shape == AS_MASK ? scalar >> lane & 1
                       : wide              ? two(out[0][lane], out[1][lane])
                                           : out[0][lane];
        uint64_t want = active ? c->value(v, lane) : c->shape == AS_MASK ? 0 : old;
        if (c->shape == AS_MASK) want = want != 0;
        if (c->shape == IN_LANE) want = (uint32_t)want;
        if (!same(c->kind, want, got)) return complain(target, i, round, lane, want, got, v);
    }
    return 0;
}

int main(void) {
    static const char *const targets[] = {"gfx90a", "gfx942", "gfx950"};
    static uint32_t in[ROWS + 1][LANES], out[OUT_ROWS][LANES];
    uint64_t random = test_seed();
    int failed = 0, run = 0;
    for (int t = 0; t < 3; t++) {
        char *source = write_source(targets[t], 1u << t);
        code_object object = build_object(targets[t], "assembler", source, "");
        gpu_amd_device *device = gpu_amd_open(targets[t]);
        gpu_amd_module *module = load_object(device, &object);
        gpu_amd_register(device, in, sizeof in, GPU_AMD_READ);
        gpu_amd_register(device, out, sizeof out, GPU_AMD_READ | GPU_AMD_WRITE);
        fnuz = t == 1, flushes = t == 0;
        for (int i = 0; i < CASES; i++) {
            char name[16];
            snprintf(name, sizeof name, "t%d", i);
            if (!(cases[i].targets & 1u << t)) continue;
            for (int round = 0; round < 8; round++) {
                for (int row = 0; row < ROWS + 1; row++)
                    for (int lane = 0; lane < LANES; lane++)
                        in[row][lane] = input(round / 2, &random);
                uint32_t *s = in[ROWS];
                uint64_t exec = round % 2 ? test_random(&random) : ~(uint64_t)0;
                s[10] = (uint32_t)exec, s[11] = (uint32_t)(exec >> 32);
                s[7] = (uint32_t)(120 + test_random(&random) % 16) << 23;
                state v = {(const uint32_t (*)[LANES])in, s, exec, two(s[14], s[15]), s[13] & 1};
                struct {
                    void *in, *out;
                } arguments = {in, out};
                gpu_amd_launch launch = {.grid = {1, 1, 1},
                                         .block = {64, 1, 1},
                                         .arguments = &arguments,
                                         .argument_bytes = sizeof arguments,
                                         .seed = random,
                                         .threads = 1};
                gpu_amd_fault fault;
                gpu_amd_poison(out, sizeof out);
                run++;
                if (!gpu_amd_run(gpu_amd_find_kernel(module, name), &launch, &fault)) {
                    printf("%s\n", fault.text);
                    failed++;
                    break;
                }
                if (check(targets[t], i, round, &v, (const uint32_t (*)[LANES])out)) {
                    failed++;
                    break;
                }
            }
        }
        gpu_amd_unload(module);
        gpu_amd_close(device);
        free(object.bytes);
        free(source);
    }
    printf("%d instruction forms, %d runs, %d failed\n", (int)CASES, run, failed);
    return failed != 0;
}

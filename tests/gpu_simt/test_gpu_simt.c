/* SPDX-License-Identifier: Apache-2.0 */
/* The emulator: each instruction against the layout as the "PTX ISA" document writes it, a whole
 * product, and what is wrong in a kernel: each planted fault must be told, or show in the result.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "float16.h"
#include "float8.h"
#include "merge_states_arguments.h"
#include "number_kind.h"
#include "simt.h"
#include "simt_test_arguments.h"

static int failures;
static uint64_t state = 0x243f6a8885a308d3u;

static uint32_t random_word(void) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (uint32_t)(state >> 16);
}

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition) && ++failures < 20) {                                                     \
            printf("%s:%d: ", __FILE__, __LINE__);                                                 \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

static const char *start(const char *name, simt_grid grid, const void *args, size_t bytes,
                         uint64_t seed) {
    const simt_kernel *kernel = simt_find(name);
    if (!kernel) return "no such kernel";
    grid.lanes = simt_kernel_lanes(kernel);
    return simt_launch(kernel, grid, args, bytes, &(simt_options){.seed = seed});
}

/* ---- matrices ---- */

static uint32_t in[32][10], out[32][4];

static const char *matrix(uint32_t what, uint64_t seed) {
    const matrix_arguments args = {.in = (const uint8_t *)in, .out = (uint8_t *)out, .what = what};
    memset(out, 0xa5, sizeof out);
    return start("simt_test_matrix", (simt_grid){.shared_bytes = 512}, &args, sizeof args, seed);
}

static uint16_t bf16_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (uint16_t)(bits >> 16);
}

/* Small integers: exact in every format, and sums too. */
static void product_of(uint32_t what) {
    const bool wide = what == WHAT_F16 || what == WHAT_BF16;
    const int depth = wide ? 16 : 32;
    static double a[16][32], b[32][8], c[16][8];
    for (int i = 0; i < 16 * 32; i++) a[i / 32][i % 32] = (int)(random_word() % 9) - 4;
    for (int i = 0; i < 32 * 8; i++) b[i / 8][i % 8] = (int)(random_word() % 9) - 4;
    for (int i = 0; i < 16 * 8; i++) c[i / 8][i % 8] = (int)(random_word() % 999) - 499;
    memset(in, 0, sizeof in);
    for (int lane = 0; lane < 32; lane++) {
        const int group = lane >> 2, in_group = lane & 3;
        for (int i = 0; i < (wide ? 8 : 16); i++) {
            /* a_i: "row = groupID for i < 2 or 4 <= i < 6, else groupID + 8; col = (threadID * 2) +
             * (i & 1), + 8 for i >= 4"; of 8 bits: "i < 4 or 8 <= i < 12", "threadID * 4 + (i & 3),
             * + 16 for i >= 8" */
            const bool upper = wide ? i < 2 || (i >= 4 && i < 6) : i < 4 || (i >= 8 && i < 12);
            const int row = upper ? group : group + 8;
            const int col = wide ? in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0)
                                 : in_group * 4 + (i & 3) + (i >= 8 ? 16 : 0);
            const float x = (float)a[row][col];
            const uint32_t code = what == WHAT_F16    ? tenon_f32_to_f16(x)
                                  : what == WHAT_BF16 ? bf16_of(x)
                                  : what == WHAT_S8   ? (uint8_t)(int8_t)x
                                  : what == WHAT_E4M3 ? tenon_f32_to_e4m3fn(x)
                                                      : (uint32_t)(tenon_f32_to_f16(x) >> 8);
            in[lane][wide ? i / 2 : i / 4] |= code << (wide ? i % 2 * 16 : i % 4 * 8);
        }
        for (int i = 0; i < (wide ? 4 : 8); i++) {
            const int row = wide ? in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0)
                                 : in_group * 4 + (i & 3) + (i >= 4 ? 16 : 0);
            const float x = (float)b[row][group];
            const uint32_t code = what == WHAT_F16    ? tenon_f32_to_f16(x)
                                  : what == WHAT_BF16 ? bf16_of(x)
                                  : what == WHAT_S8   ? (uint8_t)(int8_t)x
                                  : what == WHAT_E4M3 ? tenon_f32_to_e4m3fn(x)
                                                      : (uint32_t)(tenon_f32_to_f16(x) >> 8);
            in[lane][4 + (wide ? i / 2 : i / 4)] |= code << (wide ? i % 2 * 16 : i % 4 * 8);
        }
        for (int i = 0; i < 4; i++) {
            const double x = c[i < 2 ? group : group + 8][in_group * 2 + (i & 1)];
            const float f = (float)x;
            const int32_t n = (int32_t)x;
            memcpy(&in[lane][6 + i], what == WHAT_S8 ? (const void *)&n : (const void *)&f, 4);
        }
    }
    const char *fault = matrix(what, random_word());
    CHECK(!fault, "%s", fault);
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            const int row = i < 2 ? lane >> 2 : (lane >> 2) + 8, col = (lane & 3) * 2 + (i & 1);
            double expected = c[row][col];
            for (int k = 0; k < depth; k++) expected += a[row][k] * b[k][col];
            float f;
            memcpy(&f, &out[lane][i], 4);
            const double got = what == WHAT_S8 ? (double)(int32_t)out[lane][i] : (double)f;
            CHECK(got == expected, "mma %u: lane %d, %d: %g, not %g", what, lane, i, got, expected);
        }
}

/* ldmatrix and stmatrix as a matrix of halves: "row i of matrix m comes from thread 8m + i; each
 * thread holds two elements of row threadID / 4, at columns 2 (threadID % 4)". */
static void rows(void) {
    static uint16_t half[4][8][8];
    for (uint32_t what = WHAT_LOAD; what <= WHAT_STORE_TRANSPOSED; what++) {
        const bool transposed = what == WHAT_LOAD_TRANSPOSED || what == WHAT_STORE_TRANSPOSED,
                   stores = what >= WHAT_STORE;
        for (int i = 0; i < 256; i++) half[i / 64][i / 8 % 8][i % 8] = (uint16_t)random_word();
        for (int lane = 0; lane < 32; lane++)
            for (int r = 0; r < 4; r++) {
                const int m = stores ? r : lane / 8, i = stores ? lane / 4 : lane % 8,
                          j = stores ? lane % 4 * 2 : r * 2;
                in[lane][r] = half[m][i][j] | (uint32_t)half[m][i][j + 1] << 16;
            }
        const char *fault = matrix(what, random_word());
        CHECK(!fault, "%s", fault);
        for (int lane = 0; lane < 32; lane++)
            for (int r = 0; r < 4; r++)
                for (int e = 0; e < 2; e++) {
                    const int m = stores ? lane / 8 : r, i = stores ? lane % 8 : lane / 4,
                              j = (stores ? r * 2 : lane % 4 * 2) + e;
                    const uint16_t expected = transposed ? half[m][j][i] : half[m][i][j],
                                   got = (uint16_t)(out[lane][r] >> (16 * e));
                    CHECK(got == expected, "rows %u: lane %d register %d: %x, not %x", what, lane,
                          r, got, expected);
                }
    }
    for (int i = 0; i < 64; i++) half[0][i / 8][i % 8] = (uint16_t)random_word();
    for (int l = 0; l < 32; l++)
        in[l][0] = half[0][l / 4][l % 4 * 2] | (uint32_t)half[0][l / 4][l % 4 * 2 + 1] << 16;
    const char *fault = matrix(WHAT_TRANSPOSE, 1);
    CHECK(!fault, "%s", fault);
    for (int l = 0; l < 32; l++)
        CHECK(out[l][0] ==
                  (half[0][l % 4 * 2][l / 4] | (uint32_t)half[0][l % 4 * 2 + 1][l / 4] << 16),
              "movmatrix: lane %d", l);
}

/* ---- a product, and its mutations ---- */

static uint16_t *a, *b;
static float c[PRODUCT_M][PRODUCT_N];

static const char *product(uint32_t mutation, uint64_t seed) {
    const product_arguments args = {
        .a = (uint8_t *)a, .b = (uint8_t *)b, .c = (uint8_t *)c, .mutation = mutation};
    memset(c, 0xff, sizeof c);
    const char *fault = start("simt_test_product", (simt_grid){.shared_bytes = 4 * 64 * 80}, &args,
                              sizeof args, seed);
    if (fault) return fault;
    for (int i = 0; i < PRODUCT_M; i++)
        for (int j = 0; j < PRODUCT_N; j++) {
            double sum = 0;
            for (int k = 0; k < PRODUCT_K; k++)
                sum += (double)tenon_f16_to_f32(a[i * PRODUCT_K + k]) *
                       tenon_f16_to_f32(b[j * PRODUCT_K + k]);
            if (!(fabs(sum - (double)c[i][j]) < 1e-3)) return "wrong result";
        }
    return NULL;
}

static void products(void) {
    const size_t bytes = 2 * PRODUCT_M * PRODUCT_K;
    a = malloc(bytes), b = malloc(bytes);
    if (!a || !b) abort();
    simt_memory_add(a, bytes), simt_memory_add(b, bytes), simt_memory_add(c, sizeof c);
    for (int i = 0; i < PRODUCT_M * PRODUCT_K; i++) {
        a[i] = tenon_f32_to_f16((float)(int32_t)random_word() * 0x1p-31f);
        b[i] = tenon_f32_to_f16((float)(int32_t)random_word() * 0x1p-31f);
    }
    for (uint64_t seed = 0; seed < 4; seed++) {
        const char *fault = product(MUTATION_NONE, seed);
        CHECK(!fault, "%s", fault);
    }
    static const char *const expected[MUTATIONS] = {
        [MUTATION_NO_BARRIER_BEFORE] = "race",
        [MUTATION_NO_BARRIER_AFTER] = "race",
        [MUTATION_NO_WAIT] = "copy under way",
        [MUTATION_WAIT_FOR_ONE_LESS] = "copy under way",
        [MUTATION_NO_COMMIT] = "copy under way",
        [MUTATION_WRONG_LANE] = "wrong result",
        [MUTATION_GLOBAL_BOUND] = "in no allocation",
        [MUTATION_SHARED_BOUND] = "outside of what the kernel has",
        [MUTATION_LANE_MISSES_MATRIX] = "are at mma",
        [MUTATION_LANE_RETURNS] = "returns while",
        [MUTATION_WARP_MISSES_BARRIER] = "race",
        [MUTATION_OTHER_CALL] = "movmatrix",
        [MUTATION_UNALIGNED] = "multiple of 16",
    };
    for (uint32_t m = MUTATION_NONE + 1; m < MUTATIONS; m++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            const char *fault = product(m, seed);
            CHECK(fault, "mutation %u, seed %d: not found", m, (int)seed);
            if (seed == 0 && fault) printf("mutation %2u: %s\n", m, fault);
            /* The order of warps says which of two lanes is told first. */
            if (fault && seed == 0 && m != MUTATION_LANE_MISSES_MATRIX && m != MUTATION_OTHER_CALL)
                CHECK(strstr(fault, expected[m]), "mutation %u: \"%s\", not \"%s\"", m, fault,
                      expected[m]);
        }
    simt_memory_remove(a), simt_memory_remove(b), simt_memory_remove(c);
    free(a), free(b);
}

/* ---- barriers ---- */

static uint32_t *values, (*got)[EXCHANGE_VALUES];
enum { GOT_BYTES = EXCHANGE_LANES * EXCHANGE_VALUES * sizeof(uint32_t) };

static const char *exchange(uint32_t mutation, uint64_t seed) {
    const exchange_arguments args = {
        .in = (uint8_t *)values, .out = (uint8_t *)got, .mutation = mutation};
    memset(got, 0xff, GOT_BYTES);
    return start("simt_test_exchange", (simt_grid){0}, &args, sizeof args, seed);
}

static void exchanges(void) {
    values = malloc(EXCHANGE_LANES * sizeof *values), got = malloc(GOT_BYTES + 64);
    if (!values || !got) abort();
    simt_memory_add(values, EXCHANGE_LANES * sizeof *values), simt_memory_add(got, GOT_BYTES);
    uint32_t sum = 0;
    for (int i = 0; i < EXCHANGE_LANES; i++) sum += values[i] = random_word() % 1000;
    for (uint64_t seed = 0; seed < 8; seed++) {
        const char *fault = exchange(MUTATION_NONE, seed);
        CHECK(!fault, "%s", fault);
        for (int i = 0; i < EXCHANGE_LANES; i++) {
            uint32_t of_group = 0, ballot = 0;
            for (int l = 0; l < 8; l++) of_group += values[i / 8 * 8 + l];
            for (int l = 0; l < 32; l++) ballot |= (values[i / 32 * 32 + l] % 3 == 0 ? 1u : 0) << l;
            CHECK(got[i][0] == values[(i + 1) % EXCHANGE_LANES], "lane %d: neighbour", i);
            CHECK(got[i][1] == sum, "lane %d: sum by atomics", i);
            CHECK(got[i][2] == (i < 64 ? 0 : 3 * (values[i - 64] + values[i - 32])),
                  "lane %d: named barrier", i);
            CHECK(got[i][3] == of_group, "lane %d: group sum", i);
            CHECK(got[i][4] == ballot, "lane %d: ballot", i);
        }
    }
    static const struct {
        uint32_t mutation;
        const char *told;
    } mutations[] = {
        {MUTATION_NO_BARRIER_BEFORE, "race"},
        {MUTATION_NO_BARRIER_AFTER, "race"},
        {MUTATION_NO_WAIT, "race"},
        {MUTATION_WARP_MISSES_BARRIER, "nothing can run"},
        {MUTATION_SHARED_BOUND, "outside of what"},
        {MUTATION_GLOBAL_BOUND, "in no allocation"},
    };
    for (size_t i = 0; i < sizeof mutations / sizeof *mutations; i++)
        for (uint64_t seed = 0; seed < 4; seed++) {
#if defined(__SANITIZE_ADDRESS__)
            /* Plain accesses are then the other sanitizer's. */
            if (mutations[i].mutation != MUTATION_WARP_MISSES_BARRIER) continue;
#endif
            const char *fault = exchange(mutations[i].mutation, seed);
            CHECK(fault && strstr(fault, mutations[i].told), "exchange, mutation %u: \"%s\"",
                  mutations[i].mutation, fault ? fault : "not found");
        }
    simt_memory_remove(values), simt_memory_remove(got);
    free(values), free(got);
}

/* ---- a kernel of the library ---- */

static void library_kernel(void) {
    enum { STATES = 3, ROWS = 70, COLUMNS = 40 };
    static float partial[STATES][ROWS][COLUMNS], lse[STATES][ROWS], merged[ROWS][COLUMNS],
        merged_lse[ROWS];
    for (int i = 0; i < STATES * ROWS * COLUMNS; i++)
        (&partial[0][0][0])[i] = (float)(int32_t)random_word() * 0x1p-31f;
    for (int i = 0; i < STATES * ROWS; i++)
        (&lse[0][0])[i] = i % 7 == 0 ? -INFINITY : (float)(int32_t)random_word() * 0x1p-30f;
    const merge_states_arguments args = {
        .partial_out = (uint8_t *)partial,
        .partial_lse = (uint8_t *)lse,
        .out = (uint8_t *)merged,
        .lse = (uint8_t *)merged_lse,
        .in_state = ROWS * COLUMNS,
        .in_token = COLUMNS,
        .in_lse_state = ROWS,
        .in_lse_token = 1,
        .out_token = COLUMNS,
        .lse_token = 1,
        .n_states = STATES,
        .n_heads = 1,
        .d_v = COLUMNS,
        .rows = ROWS,
        .row_lanes = 8,
        .in_number = TENON_NUMBER_F32,
        .out_number = TENON_NUMBER_F32,
        .log2_of_base = 1.4426950408889634f,
    };
    const uint32_t blocks = (ROWS * 8 + MERGE_STATES_BLOCK_LANES - 1) / MERGE_STATES_BLOCK_LANES;
    const char *fault =
        start("merge_states_f32", (simt_grid){.blocks = {blocks}}, &args, sizeof args, 5);
    CHECK(!fault, "%s", fault);
    for (int i = 0; i < ROWS; i++) {
        double total = 0;
        for (int s = 0; s < STATES; s++) total += exp((double)lse[s][i]);
        for (int j = 0; j < COLUMNS; j++) {
            double sum = 0;
            for (int s = 0; s < STATES; s++)
                if (lse[s][i] > -INFINITY) sum += exp((double)lse[s][i]) * (double)partial[s][i][j];
            CHECK(fabs((double)merged[i][j] - (total > 0 ? sum / total : 0)) < 1e-5,
                  "merge_states: row %d column %d", i, j);
        }
    }
}

int main(void) {
    for (int i = 0; i < 4; i++)
        for (uint32_t what = WHAT_F16; what <= WHAT_E5M2; what++) product_of(what);
    rows();
    products();
    exchanges();
    library_kernel();
    const char *fault = simt_launch(simt_find("simt_test_matrix"), (simt_grid){.lanes = 64}, in,
                                    sizeof(matrix_arguments), NULL);
    CHECK(fault, "a launch with other lanes than the kernel's");
    CHECK(!simt_find("no_such_kernel"), "a kernel that is not there");
    printf("%d failures\n", failures);
    return failures != 0;
}

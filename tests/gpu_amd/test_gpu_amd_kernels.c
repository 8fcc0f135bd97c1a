/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled kernels against plain C on every target, with several seeds and one or two host threads;
 * and the counters, the refusals and the bounds that go with them.
 */
#define _DEFAULT_SOURCE
#include "amd_test_build.h"

#include <math.h>
#include <time.h>

enum { COUNT = 4096, SIDE = 64, M = 70, N = 48, K = 64 };

static float x[COUNT], y[COUNT], z[COUNT];
static uint32_t u[COUNT], w[COUNT], q[COUNT];
static uint64_t lu[COUNT], lw[COUNT], lq[COUNT];
static half_float left[M * K], right[K * N];
static int rows[M];
static float product[M * N];
static int failed;
static const char *target;
static gpu_amd_device *device;
static gpu_amd_module *module;
static uint64_t random_state, seed;

static void expect(bool condition, const char *what) {
    if (condition) return;
    printf("%s, seed %llu: %s\n", target, (unsigned long long)seed, what);
    failed++;
}

static gpu_amd_fault run(const char *name, uint32_t groups, uint32_t threads, const void *arguments,
                         size_t bytes, uint32_t dynamic_lds, gpu_amd_counters *counters) {
    gpu_amd_launch launch = {.grid = {groups, 1, 1},
                             .block = {threads, 1, 1},
                             .arguments = arguments,
                             .argument_bytes = bytes,
                             .seed = seed,
                             .threads = 1 + (uint32_t)(seed & 1),
                             .dynamic_lds_bytes = dynamic_lds,
                             .counters = counters,
                             .instruction_limit = 1 << 22};
    gpu_amd_fault fault;
    gpu_amd_run(gpu_amd_find_kernel(module, name), &launch, &fault);
    return fault;
}

static bool runs(const char *name, uint32_t groups, uint32_t threads, const void *arguments,
                 size_t bytes) {
    gpu_amd_fault fault = run(name, groups, threads, arguments, bytes, 0, NULL);
    if (fault.kind) printf("%s\n", fault.text);
    return fault.kind == GPU_AMD_NO_FAULT;
}

static float random_float(void) {
    return (float)(int32_t)test_random(&random_state) * 0x1p-28f;
}

static void fill(void) {
    for (int i = 0; i < COUNT; i++) {
        x[i] = random_float(), y[i] = random_float();
        u[i] = (uint32_t)test_random(&random_state) >> (i % 32),
        w[i] = (uint32_t)test_random(&random_state) >> (i * 7 % 32) | 1;
        lu[i] = test_random(&random_state) >> (i % 64),
        lw[i] = test_random(&random_state) >> (i * 11 % 64) | 1;
    }
    gpu_amd_poison(z, sizeof z);
    gpu_amd_poison(q, sizeof q);
    gpu_amd_poison(lq, sizeof lq);
}

static void test_saxpy(void) {
    struct {
        float *x, *y;
        float a;
        int n;
    } arguments = {x, z, 1.5f, COUNT - 7};
    gpu_amd_counters counters = {0};
    for (int i = 0; i < COUNT; i++) z[i] = y[i];
    gpu_amd_fault fault =
        run("saxpy", COUNT / 256, 256, &arguments, sizeof arguments, 0, &counters);
    expect(!fault.kind, fault.text);
    bool good = true;
    for (int i = 0; i < COUNT; i++) {
        float once = y[i] + 1.5f * x[i], fused = fmaf(1.5f, x[i], y[i]);
        good &= i < COUNT - 7 ? z[i] == once || z[i] == fused : z[i] == y[i];
    }
    expect(good, "saxpy");
    expect(counters.workgroups == COUNT / 256 && counters.waves == COUNT / 64 &&
               counters.launches == 1,
           "saxpy: workgroups counted");
    expect(counters.global_read_bytes == 8 * (COUNT - 7) &&
               counters.global_written_bytes == 4 * (COUNT - 7),
           "saxpy: bytes counted");
    /* 64 lanes of 4 bytes are two 128-byte lines, three when the buffer begins within one. */
    expect(counters.global_segments >= 3 * COUNT / 32 &&
               counters.global_segments <= 3 * (COUNT / 32 + COUNT / 64),
           "saxpy: segments counted");
    expect(counters.global_half_segments >= 3 * COUNT / 16 &&
               counters.global_half_segments <= 3 * (COUNT / 16 + COUNT / 64),
           "saxpy: halves counted");
    /* Each line once, x and y read, y written; the arguments and their packet besides. */
    expect(counters.global_read_lines >= 2 * COUNT / 32 - 1 &&
               counters.global_read_lines <= 2 * (COUNT / 32 + 1) + 8 &&
               counters.global_written_lines >= COUNT / 32 - 1 &&
               counters.global_written_lines <= COUNT / 32 + 1,
           "saxpy: lines counted");
}

static void test_transpose(void) {
    struct {
        float *in, *out;
        int n;
    } arguments = {x, z, SIDE};
    gpu_amd_counters counters = {0};
    gpu_amd_fault fault = run("transpose", 4, 256, &arguments, sizeof arguments, 0, &counters);
    expect(!fault.kind, fault.text);
    bool good = true;
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++) good &= z[c * SIDE + r] == x[r * SIDE + c];
    expect(good, "transpose");
    /* Rows of 33 words: a wave's two rows share no bank on 64 banks, and fill 32 banks twice. */
    expect(counters.lds_cycles >= counters.lds_cycles_ideal &&
               counters.lds_cycles <= 2 * counters.lds_cycles_ideal,
           "transpose: bank conflicts counted");
    expect(counters.instructions[GPU_AMD_BARRIER] == 16, "transpose: barriers counted");
}

static void test_sum(void) {
    struct {
        float *in, *out;
    } arguments = {x, z};
    expect(runs("sum", COUNT / 256, 256, &arguments, sizeof arguments), "sum runs");
    for (int g = 0; g < COUNT / 256; g++) {
        double sum = 0, size = 0;
        for (int i = 0; i < 256; i++)
            sum += (double)x[g * 256 + i], size += fabs((double)x[g * 256 + i]);
        expect(fabs(sum - (double)z[g]) <= size * 0x1p-20, "sum");
    }
}

static void test_gemm(void) {
    struct {
        void *a, *b, *rows, *c;
        int m, n, k;
    } arguments = {left, right, rows, product, M, N, K};
    for (int i = 0; i < M * K; i++) left[i] = (half_float)random_float();
    for (int i = 0; i < K * N; i++) right[i] = (half_float)random_float();
    for (int i = 0; i < M; i++) rows[i] = i == 5 ? -1 : i * 7 % M;
    gpu_amd_poison(product, sizeof product);
    gpu_amd_counters counters = {0};
    gpu_amd_fault fault =
        run("gemm", (M + 15) / 16 * (N / 16), 64, &arguments, sizeof arguments, 0, &counters);
    expect(!fault.kind, fault.text);
    bool good = true;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0, size = 0;
            for (int k = 0; k < K && rows[i] >= 0; k++) {
                double term = (double)left[rows[i] * K + k] * (double)right[k * N + j];
                sum += term, size += fabs(term);
            }
            good &= fabs(sum - (double)product[i * N + j]) <= size * 0x1p-19;
        }
    expect(good, "gemm");
    expect(counters.matrix_flop[GPU_AMD_MATRIX_F16] == (uint64_t)2 * ((M + 15) / 16 * 16) * N * K,
           "gemm: FLOP counted");
}

static void test_arithmetic(void) {
    struct {
        void *x, *y, *q;
    } floats = {x, y, z}, words = {u, w, q}, longs = {lu, lw, lq};
    static const float edges[] = {0x1p-149f, 0x1.8p-130f, 0x1p-126f, 0x1.fffffep127f,
                                  1.0f,      3.0f,        0.0f,      INFINITY,
                                  NAN,       0x1p100f,    0x1p-100f, 0x1.234p-60f};
    for (int i = 0; i < 144; i++)
        x[i] = edges[i % 12], y[i] = edges[i / 12] * (i % 2 ? -1.0f : 1.0f);
    expect(runs("divide_f32", COUNT / 256, 256, &floats, sizeof floats), "divide_f32 runs");
    for (int i = 0; i < COUNT; i++) {
        float exact = x[i] / y[i];
        if (exact == z[i] || (exact != exact && z[i] != z[i])) continue;
        printf("%s: %a / %a is %a, expected %a\n", target, (double)x[i], (double)y[i], (double)z[i],
               (double)exact);
        expect(false, "divide_f32");
        break;
    }
    expect(runs("divide_u32", COUNT / 256, 256, &words, sizeof words), "divide_u32 runs");
    expect(runs("divide_u64", COUNT / 256, 256, &longs, sizeof longs), "divide_u64 runs");
    bool good = true;
    for (int i = 0; i < COUNT; i++)
        good &= q[i] == (u[i] / w[i] ^ u[i] % w[i]) && lq[i] == (lu[i] / lw[i] ^ lu[i] % lw[i]);
    expect(good, "integer division");
    for (int i = 0; i < COUNT; i++) x[i] = fabsf(x[i]), y[i] = fabsf(y[i]);
    expect(runs("square_root", COUNT / 256, 256, &floats, sizeof floats), "square_root runs");
    good = true;
    for (int i = 0; i < COUNT; i++) good &= z[i] == sqrtf(x[i]) || (x[i] != x[i] && z[i] != z[i]);
    expect(good, "square root");
    expect(runs("exp_log", COUNT / 256, 256, &floats, sizeof floats), "exp_log runs");
    good = true;
    for (int i = 0; i < COUNT; i++) {
        double exact = exp2((double)x[i]) + log2((double)y[i]), error = fabs(exact - (double)z[i]);
        good &= exact != exact ? z[i] != z[i]
                : isinf((float)exact)
                    ? (float)exact == z[i]
                    : error <= (exp2((double)x[i]) + fabs(log2((double)y[i]))) * 0x1p-21 + 0x1p-140;
    }
    expect(good, "exp2 and log2");
}

static void test_histogram(void) {
    struct {
        void *in, *out;
    } arguments = {u, q};
    uint32_t counts[64] = {0};
    for (int i = 0; i < COUNT; i++) counts[u[i] % 64]++;
    memset(q, 0, 64 * 4);
    expect(runs("histogram", COUNT / 256, 256, &arguments, sizeof arguments), "histogram runs");
    expect(memcmp(counts, q, sizeof counts) == 0, "histogram");
}

static void test_limits(void) {
    struct {
        void *in, *out;
    } arguments = {x, z};
    gpu_amd_fault fault = run("rotate", 1, 64, &arguments, sizeof arguments, 256, NULL);
    expect(!fault.kind && z[0] == x[5] && z[63] == x[4], "dynamic LDS");
    expect(run("rotate", 1, 64, &arguments, sizeof arguments, 252, NULL).kind == GPU_AMD_LDS_BOUNDS,
           "LDS too small is found");
    expect(run("rotate", 1, 64, &arguments, sizeof arguments, 1 << 20, NULL).kind ==
               GPU_AMD_BAD_LAUNCH,
           "too much LDS is refused");
    expect(run("rotate", 1, 128, &arguments, sizeof arguments, 512, NULL).kind ==
               GPU_AMD_BAD_LAUNCH,
           "a block that is too large is refused");
    expect(run("spill", 1, 256, &arguments, sizeof arguments, 0, NULL).kind == GPU_AMD_BAD_LAUNCH,
           "scratch is refused");
    expect(run("forever", 1, 64, &arguments, sizeof arguments, 0, NULL).kind == GPU_AMD_HUNG,
           "an endless loop is found");
    struct {
        float *x, *y;
        float a;
        int n;
    } beyond = {x, z, 1.0f, COUNT + 1};
    expect(run("saxpy", COUNT / 256 + 1, 256, &beyond, sizeof beyond, 0, NULL).kind ==
               GPU_AMD_GLOBAL_BOUNDS,
           "an access beyond the buffer is found");
    struct {
        float *x, *y;
        float a;
        int n;
    } read_only = {z, (float *)(void *)u, 1.0f, 64};
    gpu_amd_unregister(device, u);
    gpu_amd_register(device, u, sizeof u, GPU_AMD_READ);
    expect(run("saxpy", 1, 256, &read_only, sizeof read_only, 0, NULL).kind ==
               GPU_AMD_GLOBAL_BOUNDS,
           "a store to read-only memory is found");
    gpu_amd_unregister(device, u);
    gpu_amd_register(device, u, sizeof u, GPU_AMD_READ | GPU_AMD_WRITE);
    const gpu_amd_kernel_info *info = gpu_amd_info(gpu_amd_find_kernel(module, "transpose"));
    expect(info->lds_bytes == 32 * 33 * 4 && info->max_block_threads == 256 &&
               !info->scratch_bytes && info->explicit_bytes == 20,
           "kernel information");
    expect(gpu_amd_occupancy(gpu_amd_find_kernel(module, "transpose"), 256, 0) == 8 &&
               gpu_amd_occupancy(gpu_amd_find_kernel(module, "transpose"), 256, 30000) <=
                   2 + 2 * !strcmp(target, "gfx950"),
           "occupancy");
    expect(!gpu_amd_register(device, (char *)x + 4, 4, GPU_AMD_READ),
           "overlapping ranges are refused");
}

/* --speed: wave instructions per second of one host thread. */
static void report_speed(const char *name, const void *arguments, size_t bytes, uint32_t groups,
                         uint32_t threads) {
    struct timespec begin, end;
    gpu_amd_counters counters = {0};
    uint64_t instructions = 0;
    seed = 0;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < 300; i++) run(name, groups, threads, arguments, bytes, 0, &counters);
    clock_gettime(CLOCK_MONOTONIC, &end);
    for (int i = 0; i < GPU_AMD_CLASSES; i++) instructions += counters.instructions[i];
    double seconds =
        (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    double millions = (double)instructions / 1e6;
    printf("%s %s: %.2f M wave instructions, %.2f M/s\n", target, name, millions,
           millions / seconds);
}

static void report_speeds(void) {
    struct {
        void *a, *b, *rows, *c;
        int m, n, k;
    } gemm = {left, right, rows, product, M, N, K};
    struct {
        float *in, *out;
        int n;
    } transpose = {x, z, SIDE};
    struct {
        void *x, *y, *q;
    } division = {x, y, z};
    report_speed("gemm", &gemm, sizeof gemm, (M + 15) / 16 * (N / 16), 64);
    report_speed("transpose", &transpose, sizeof transpose, 4, 256);
    report_speed("divide_f32", &division, sizeof division, COUNT / 256, 256);
}

int main(int count, char **words) {
    bool speed = count > 1 && !strcmp(words[1], "--speed");
    static const char *const targets[] = {"gfx90a", "gfx942", "gfx950"};
    static const struct {
        void *start;
        size_t bytes;
    } buffers[] = {{x, sizeof x},
                   {y, sizeof y},
                   {z, sizeof z},
                   {u, sizeof u},
                   {w, sizeof w},
                   {q, sizeof q},
                   {lu, sizeof lu},
                   {lw, sizeof lw},
                   {lq, sizeof lq},
                   {left, sizeof left},
                   {right, sizeof right},
                   {rows, sizeof rows},
                   {product, sizeof product}};
    char *source = read_source("device_kernels.c");
    random_state = test_seed();
    for (int t = 0; t < 3; t++) {
        target = targets[t];
        code_object object = build_object(target, "c", source, "-nogpulib -ffreestanding -O3 -w");
        device = gpu_amd_open(target);
        module = load_object(device, &object);
        for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
            gpu_amd_register(device, buffers[i].start, buffers[i].bytes,
                             GPU_AMD_READ | GPU_AMD_WRITE);
        for (seed = 0; seed < 4; seed++) {
            fill();
            test_saxpy();
            test_transpose();
            test_sum();
            test_gemm();
            test_arithmetic();
            test_histogram();
            test_limits();
        }
        if (speed) report_speeds();
        gpu_amd_unload(module);
        gpu_amd_close(device);
        free(object.bytes);
    }
    free(source);
    printf("%d failed\n", failed);
    return failed != 0;
}

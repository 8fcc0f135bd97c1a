/* SPDX-License-Identifier: Apache-2.0 */
/* out = a . w^T with 4-bit weights in GGUF's Q4_0 blocks: pack once, plan once, run.
 *     cc -I abi examples/02_matmul.c -o matmul -ldl -lm && ./matmul build/libtenon.so */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenon.h"

enum { M = 4, N = 256, K = 512, BLOCK = 32, BLOCK_BYTES = 18, ROW_BYTES = K / BLOCK * BLOCK_BYTES };

static float a[M * K], out[M * N];
static unsigned char w[N * ROW_BYTES];

/* Every scale is 2^-4, every activation and nibble follows from its place. */
static void fill(void) {
    for (int i = 0; i < M * K; i++) a[i] = (float)(i * 7 % 31 - 15) / 16.0f;
    for (int i = 0; i < N * ROW_BYTES; i++) w[i] = (unsigned char)(i * 37 + i / 256);
    for (int b = 0; b < N * ROW_BYTES; b += BLOCK_BYTES) {
        w[b] = 0x00; /* the block begins with its scale as f16: 0x2c00 is 1/16 */
        w[b + 1] = 0x2c;
    }
}

/* What row and column should give, by the definition of the format. */
static double expected(int row, int col) {
    double sum = 0.0;
    for (int k = 0; k < K; k++) {
        const unsigned char *block = w + col * ROW_BYTES + k / BLOCK * BLOCK_BYTES;
        const int byte = block[2 + k % 16], nibble = k % BLOCK < 16 ? byte & 15 : byte >> 4;
        sum += (double)a[row * K + k] * (nibble - 8) / 16.0;
    }
    return sum;
}

static tenon_error error = {.struct_size = sizeof error};

static void must(int32_t status) {
    if (status == TENON_OK) return;
    fprintf(stderr, "%s\n", error.text);
    exit(1);
}

int main(int argument_count, char **arguments) {
    void *library = dlopen(argument_count > 1 ? arguments[1] : "libtenon.so", RTLD_NOW);
    void *symbol = library ? dlsym(library, "tenon_get_api") : NULL;
    if (!symbol) return fprintf(stderr, "%s\n", dlerror()), 1;
    tenon_get_api_fn get_api;
    memcpy(&get_api, &symbol, sizeof get_api);

    const tenon_api *api;
    tenon_context *context;
    tenon_plan *plan;
    uint32_t version = TENON_VERSION;
    must(get_api(NULL, &version, &api, &error));
    must(api->context_create(NULL, &context, &error));
    fill();

    const DLDevice cpu = {kDLCPU, 0};
    const DLDataType f32 = {kDLFloat, 32, 1}, u8 = {kDLUInt, 8, 1};
    const tenon_quant q4_0 = {.struct_size = sizeof q4_0, .format = TENON_FORMAT_GGUF_Q4_0};
    const tenon_quant packed = {
        .struct_size = sizeof packed, .format = TENON_FORMAT_PACKED, .rows = N, .cols = K};
    int64_t blob_bytes = 0;
    const DLTensor weights = {w, cpu, 2, u8, (int64_t[]){N, ROW_BYTES}, NULL, 0};
    DLTensor blob = {NULL, cpu, 1, u8, &blob_bytes, NULL, 0};

    /* The checkpoint's blocks become a blob in the layout that this machine's kernels like best. */
    tenon_query answer = {.struct_size = sizeof answer};
    const tenon_pack_weights_args pack = {
        .struct_size = sizeof pack, .w = &weights, .w_quant = &q4_0, .blob = &blob};
    must(api->query(context, TENON_OP_PACK_WEIGHTS, &pack, NULL, &answer, &error));
    blob_bytes = (int64_t)answer.output_bytes;
    blob.data = aligned_alloc(64, ((size_t)blob_bytes + 63) / 64 * 64);
    must(tenon_pack_weights_call(api, context, &pack, &error));

    const DLTensor a_view = {a, cpu, 2, f32, (int64_t[]){M, K}, NULL, 0};
    const DLTensor out_view = {out, cpu, 2, f32, (int64_t[]){M, N}, NULL, 0};
    tenon_matmul_args args = {.struct_size = sizeof args,
                              .a = &a_view,
                              .w = &blob,
                              .w_quant = &packed,
                              .out = &out_view,
                              .compute = TENON_COMPUTE_EXACT};
    must(tenon_matmul_plan(api, context, &args, NULL, &plan, &error));
    must(api->plan_query(plan, &answer, &error));
    args.workspace_bytes = answer.workspace_bytes;
    args.workspace = aligned_alloc(64, (answer.workspace_bytes + 63) / 64 * 64 + 64);
    must(tenon_matmul_run(api, plan, &args, &error));

    double worst = 0.0;
    for (int i = 0; i < M * N; i++) {
        worst = fmax(worst, fabs((double)out[i] - expected(i / N, i % N)));
    }
    printf("%s: %d x %d x %d, largest error %.2g\n", answer.kernel, M, N, K, worst);
    api->plan_destroy(plan);
    api->context_destroy(context);
    free(args.workspace);
    free(blob.data);
    return worst < 1e-3 ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Packed weights as a serving engine keeps them: packed once with a report of progress and without
 * memory beside source and blob, saved to a file, mapped read-only by several processes that
 * multiply from the same pages; a damaged file is refused. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_host.h"

enum { N = 2048, K = 4096, ROWS = 3, BLOCK_BYTES = 34, Q8_BYTES = N * (K / 32) * BLOCK_BYTES };

static const tenon_api *api;

typedef struct witness {
    const char *what;
    uint64_t last, total;
    int n_said, n_backwards, n_ends;
} witness;

static void watch(void *user, const char *what, uint64_t done_bytes, uint64_t total_bytes) {
    witness *w = user;
    w->what = what;
    w->n_backwards += w->n_said && done_bytes < w->last;
    w->n_ends += done_bytes == total_bytes;
    w->n_said++;
    w->last = done_bytes, w->total = total_bytes;
}

static tenon_context *open_context(witness *progress) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_host host = {.struct_size = sizeof host, .user = progress, .progress = watch};
    tenon_context_options options = {.struct_size = sizeof options,
                                     .backend = TENON_BACKEND_CPU,
                                     .host = progress ? &host : NULL,
                                     .log_level = TENON_LOG_ERROR};
    tenon_context *context = NULL;
    if (api->context_create(&options, &context, &error)) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    return context;
}

static uint8_t *new_weights(void) {
    uint8_t *w = malloc(Q8_BYTES);
    if (!w) abort();
    for (int64_t i = 0; i < Q8_BYTES; i++) w[i] = (uint8_t)test_random();
    for (int64_t i = 0; i < Q8_BYTES; i += BLOCK_BYTES) w[i + 1] = 0x1c; /* a small f16 scale */
    return w;
}

static int32_t multiply(tenon_context *context, const DLTensor *w, const tenon_quant *quant,
                        const float *x, float *y, tenon_error *error) {
    test_tensor a, out;
    tenon_matmul_args args = {.struct_size = sizeof args,
                              .a =
                                  test_view(&a, (void *)(uintptr_t)x, kDLFloat, 32, SHAPE(ROWS, K)),
                              .w = w,
                              .w_quant = quant,
                              .out = test_view(&out, y, kDLFloat, 32, SHAPE(ROWS, N))};
    return api->call(context, TENON_OP_MATMUL, &args, error);
}

static const tenon_quant packed_quant = {
    .struct_size = sizeof(tenon_quant), .format = TENON_FORMAT_PACKED, .rows = N, .cols = K};

static long peak_kilobytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Size by query, then the blob in fresh memory. */
static uint8_t *pack(tenon_context *context, uint8_t *weights, int64_t *blob_bytes) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    const tenon_quant quant = {
        .struct_size = sizeof quant, .format = TENON_FORMAT_GGUF_Q8_0, .rows = N, .cols = K};
    test_tensor w, blob;
    tenon_pack_weights_args args = {
        .struct_size = sizeof args,
        .w = test_view(&w, weights, kDLUInt, 8, SHAPE(N, K / 32 * BLOCK_BYTES)),
        .w_quant = &quant,
        .blob = test_view(&blob, NULL, kDLUInt, 8, SHAPE(INT64_C(1) << 40))};
    CHECK(!api->query(context, TENON_OP_PACK_WEIGHTS, &args, NULL, &query, &error), "%s",
          error.text);
    *blob_bytes = (int64_t)query.output_bytes;
    uint8_t *memory =
        mmap(NULL, (size_t)*blob_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) abort();
    args.blob = test_view(&blob, memory, kDLUInt, 8, SHAPE(*blob_bytes));
    const long before = peak_kilobytes();
    CHECK(!api->call(context, TENON_OP_PACK_WEIGHTS, &args, &error), "%s", error.text);
    const long more = peak_kilobytes() - before, size = (long)(*blob_bytes / 1024);
    printf("packing a blob of %ld KB took %ld KB of memory\n", size, more);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    CHECK(more < size + 4096, "%ld KB for a blob of %ld KB", more,
          size); /* huge pages: whole ones */
#endif
    return memory;
}

/* A process of its own: maps the file read-only, and multiplies. */
static int run_reader(const char *path, int64_t blob_bytes, const float *x, const float *expected) {
    static float y[ROWS * N];
    tenon_error error = {.struct_size = sizeof error};
    const int file = open(path, O_RDONLY);
    void *mapped = mmap(NULL, (size_t)blob_bytes, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) return 2;
    tenon_context *context = open_context(NULL);
    test_tensor w;
    if (multiply(context, test_view(&w, mapped, kDLUInt, 8, SHAPE(blob_bytes)), &packed_quant, x, y,
                 &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 3;
    }
    api->context_destroy(context);
    return memcmp(y, expected, sizeof y) ? 4 : 0;
}

static void check_readers(const char *path, int64_t blob_bytes, const float *x,
                          const float *expected) {
    enum { READERS = 3 };
    pid_t readers[READERS];
    for (int i = 0; i < READERS; i++) {
        readers[i] = fork();
        if (!readers[i]) _exit(run_reader(path, blob_bytes, x, expected));
    }
    for (int i = 0; i < READERS; i++) {
        int status = -1;
        waitpid(readers[i], &status, 0);
        CHECK(WIFEXITED(status) && !WEXITSTATUS(status), "reader %d: status %d", i, status);
    }
}

/* Whoever maps a file that is too short, or another one, hears it before anything is read. */
static void check_damage(tenon_context *context, const uint8_t *blob, int64_t blob_bytes,
                         const float *x) {
    static float y[ROWS * N];
    tenon_error error = {.struct_size = sizeof error};
    test_tensor w;
    uint8_t *copy =
        mmap(NULL, (size_t)blob_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED) abort();
    memcpy(copy, blob, (size_t)blob_bytes);
    memset(y, 0x7f, sizeof y);
    const float untouched = y[0];
    CHECK(multiply(context, test_view(&w, copy, kDLUInt, 8, SHAPE(blob_bytes - 4096)),
                   &packed_quant, x, y, &error) == TENON_STATUS_CORRUPT,
          "short: %s", error.text);
    copy[20] ^= 1; /* in the header */
    CHECK(multiply(context, test_view(&w, copy, kDLUInt, 8, SHAPE(blob_bytes)), &packed_quant, x, y,
                   &error) == TENON_STATUS_CORRUPT,
          "header: %s", error.text);
    for (int i = 0; i < ROWS * N; i++)
        CHECK(!memcmp(&y[i], &untouched, 4), "output %d was written", i);
    munmap(copy, (size_t)blob_bytes);
}

int main(void) {
    static float x[ROWS * K], expected[ROWS * N];
    char path[] = "tenon_packed_XXXXXX";
    tenon_error error = {.struct_size = sizeof error};
    witness progress = {0};
    int64_t blob_bytes;
    test_tensor w;
    api = test_load();
    tenon_context *context = open_context(&progress);
    uint8_t *weights = new_weights(), *blob = pack(context, weights, &blob_bytes);
    free(weights); /* the blob stands alone */
    for (int i = 0; i < ROWS * K; i++) x[i] = test_uniform();

    CHECK(progress.n_said >= 2 && progress.n_ends == 1 && !progress.n_backwards &&
              progress.total == (uint64_t)blob_bytes && !strcmp(progress.what, "pack_weights"),
          "progress of %s: said %d times, %d ends, %d steps back, %llu of %llu bytes",
          progress.what, progress.n_said, progress.n_ends, progress.n_backwards,
          (unsigned long long)progress.last, (unsigned long long)progress.total);
    CHECK(!multiply(context, test_view(&w, blob, kDLUInt, 8, SHAPE(blob_bytes)), &packed_quant, x,
                    expected, &error),
          "%s", error.text);

    const int file = mkstemp(path);
    for (int64_t at = 0, n; at < blob_bytes; at += n) {
        n = write(file, blob + at, (size_t)(blob_bytes - at));
        if (n <= 0) abort();
    }
    close(file);
    check_damage(context, blob, blob_bytes, x);
    munmap(blob, (size_t)blob_bytes);
    api->context_destroy(context); /* and with it the threads: what forks now has none */
    check_readers(path, blob_bytes, x, expected);
    unlink(path);
    return test_report();
}

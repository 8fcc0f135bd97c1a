/* SPDX-License-Identifier: Apache-2.0 */
/* What every test program needs: the library loaded as a host loads it, tensors in one line, checks
 * that count. */
#ifndef TENON_TEST_HOST_H
#define TENON_TEST_HOST_H

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenon.h"

static int test_checks, test_failures;

/* A failed check is counted and shown; the test goes on, so that one run shows all that is wrong.
 */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        test_checks++;                                                                             \
        if (!(condition)) {                                                                        \
            test_failures++;                                                                       \
            fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                        \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
        }                                                                                          \
    } while (0)

static inline int test_report(void) {
    printf("%d checks, %d failed\n", test_checks, test_failures);
    return test_failures || !test_checks ? 1 : 0;
}

static inline const tenon_api *test_load(void) {
    const char *path = getenv("TENON_LIBRARY");
    void *library = dlopen(path ? path : "libtenon.so", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    tenon_get_api_fn get_api;
    *(void **)&get_api = dlsym(library, "tenon_get_api");
    const tenon_api *api = NULL;
    uint32_t version = TENON_VERSION;
    tenon_error error = {.struct_size = sizeof error};
    if (!get_api || get_api(NULL, &version, &api, &error)) {
        fprintf(stderr, "tenon_get_api: %s\n", error.text);
        exit(2);
    }
    return api;
}

/* Set where the programs of another CPU run in an emulator, ten to a hundred times slower: fewer
 * rounds, no large sizes. */
static inline bool test_is_emulated(void) {
    return getenv("TEST_EMULATED") != NULL;
}

/* Deterministic noise; vary with TEST_SEED. */
static inline uint64_t test_random(void) {
    static uint64_t state;
    if (!state) {
        const char *seed = getenv("TEST_SEED");
        state = 0x9e3779b97f4a7c15u ^ (seed ? strtoull(seed, NULL, 0) : 1u);
    }
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}
static inline float test_uniform(void) {
    return (float)(int32_t)(test_random() >> 32) * 0x1p-31f;
} /* [-1, 1) */

/* A tensor over memory of the caller, with room for its shape and strides. */
typedef struct test_tensor {
    DLTensor view;
    int64_t shape[8], strides[8];
} test_tensor;

static inline const DLTensor *test_view(test_tensor *t, void *data, int code, int bits, int ndim,
                                        const int64_t *shape) {
    memset(t, 0, sizeof *t);
    t->view.data = data;
    t->view.device.device_type = kDLCPU;
    t->view.ndim = ndim;
    t->view.dtype.code = (uint8_t)code, t->view.dtype.bits = (uint8_t)bits, t->view.dtype.lanes = 1;
    t->view.shape = t->shape, t->view.strides = t->strides;
    int64_t step = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        t->shape[i] = shape[i], t->strides[i] = step;
        step *= shape[i] > 0 ? shape[i] : 1;
    }
    return &t->view;
}
#define SHAPE(...)                                                                                 \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) {                 \
        __VA_ARGS__                                                                                \
    }

#endif /* TENON_TEST_HOST_H */

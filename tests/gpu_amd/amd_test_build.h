/* SPDX-License-Identifier: Apache-2.0
 *
 * What the interpreter's tests share: code objects made at test time, buffers, a random source.
 */
#ifndef AMD_TEST_BUILD_H
#define AMD_TEST_BUILD_H

#include "gpu_amd.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef _Float16 half_float;

typedef struct code_object {
    uint8_t *bytes;
    size_t size;
} code_object;

/* The whole of a command's output file; ends the test with the command's message when it fails. */
static inline code_object read_object(const char *path) {
    code_object object = {NULL, 0};
    FILE *file = fopen(path, "rb");
    if (!file) return object;
    object.bytes = malloc(1 << 22);
    object.size = object.bytes ? fread(object.bytes, 1, (1 << 22) - 1, file) : 0;
    fclose(file);
    return object;
}

/* The text of a file beside the tests, to be freed. */
static inline char *read_source(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", GPU_AMD_SOURCES, name);
    code_object text = read_object(path);
    if (!text.size) {
        perror(path);
        exit(1);
    }
    text.bytes[text.size] = 0;
    return (char *)text.bytes;
}

/* Compiles source text for a target; language: "c" or "assembler". */
static inline code_object build_object(const char *target, const char *language, const char *source,
                                       const char *options) {
    char directory[] = "gpu_amd_test_XXXXXX", path[256], command[1024];
    if (!mkdtemp(directory)) {
        perror("mkdtemp");
        exit(1);
    }
    snprintf(path, sizeof path, "%s/source", directory);
    FILE *file = fopen(path, "w");
    if (!file || fputs(source, file) < 0 || fclose(file)) {
        perror(path);
        exit(1);
    }
    snprintf(command, sizeof command,
             GPU_AMD_CLANG " --target=amdgcn-amd-amdhsa -mcpu=%s -mcode-object-version=5 %s -x %s "
                           "%s/source -o %s/object",
             target, options, language, directory, directory);
    int status = system(command);
    snprintf(path, sizeof path, "%s/object", directory);
    code_object object = read_object(path);
    snprintf(command, sizeof command, "rm -r %s", directory);
    if (status || !object.size || system(command)) {
        fprintf(stderr, "the compiler of device code failed for %s (sources in %s)\n", target,
                directory);
        exit(1);
    }
    return object;
}

static inline uint64_t test_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t x = *state;
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    return x ^ x >> 29;
}

static inline uint64_t test_seed(void) {
    const char *text = getenv("TEST_SEED");
    return text ? strtoull(text, NULL, 0) : 1;
}

/* Loads a code object that must load. */
static inline gpu_amd_module *load_object(gpu_amd_device *device, const code_object *object) {
    char text[256];
    gpu_amd_module *module = gpu_amd_load(device, object->bytes, object->size, text, sizeof text);
    if (!module) {
        fprintf(stderr, "%s\n", text);
        exit(1);
    }
    return module;
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Damaged code objects: every one is refused or runs into a fault, nothing is read or written out
 * of bounds (the sanitizer builds see that), and the reason is text.
 */
#define _DEFAULT_SOURCE
#include "amd_test_build.h"

enum { TRIES = 60 };

static float in[4096], out[4096];
static int failed, refused, faulted;

/* A copy that ends where the file ends, so that a read beyond it is a read beyond the allocation.
 */
static void try_object(gpu_amd_device *device, const uint8_t *bytes, size_t size) {
    uint8_t *exact = malloc(size ? size : 1);
    char text[256] = "";
    memcpy(exact, bytes, size);
    gpu_amd_module *module = gpu_amd_load(device, exact, size, text, sizeof text);
    free(exact);
    if (!module) {
        refused++;
        if (!*text) printf("refused without a reason\n"), failed++;
        return;
    }
    struct {
        float *in, *out;
        int n;
    } arguments = {in, out, 64};
    for (size_t i = 0; i < gpu_amd_kernel_count(module); i++) {
        gpu_amd_launch launch = {.grid = {2, 1, 1},
                                 .block = {256, 1, 1},
                                 .arguments = &arguments,
                                 .argument_bytes = sizeof arguments,
                                 .instruction_limit = 1 << 14,
                                 .threads = 1};
        gpu_amd_fault fault;
        gpu_amd_kernel *kernel = gpu_amd_kernel_at(module, i);
        if (!gpu_amd_run(kernel, &launch, &fault)) {
            faulted++;
            if (!*fault.text) printf("a fault without text\n"), failed++;
        }
        gpu_amd_occupancy(kernel, 256, 0);
    }
    size_t ignored;
    gpu_amd_find_global(module, "nothing", &ignored);
    gpu_amd_unload(module);
}

int main(void) {
    uint64_t random = test_seed();
    gpu_amd_device *device = gpu_amd_open("gfx942");
    char *source = read_source("device_kernels.c");
    code_object object = build_object("gfx942", "c", source, "-nogpulib -ffreestanding -O3 -w");
    uint8_t *bytes = malloc(object.size);
    gpu_amd_register(device, in, sizeof in, GPU_AMD_READ);
    gpu_amd_register(device, out, sizeof out, GPU_AMD_READ | GPU_AMD_WRITE);
    if (gpu_amd_open("gfx1100") || gpu_amd_open("gfx94"))
        printf("an unknown target was opened\n"), failed++;
    if (gpu_amd_image_bytes(object.bytes) != object.size)
        printf("image size %zu, file %zu\n", gpu_amd_image_bytes(object.bytes), object.size),
            failed++;
    /* Cut off: in the headers, in the notes, in the code. */
    static const size_t ends[] = {0, 1, 15, 16, 63, 64, 100, 500, 512, 513, 700, 1500, 3000};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        try_object(device, object.bytes, ends[i]);
    /* Each header field of 1, 2, 4 and 8 bytes at its largest. */
    for (size_t at = 16; at < 64; at += 2) {
        memcpy(bytes, object.bytes, object.size);
        memset(bytes + at, 0xff, 2);
        try_object(device, bytes, object.size);
    }
    /* Program headers and section headers, field by field. */
    uint64_t sections;
    memcpy(&sections, object.bytes + 40, 8);
    for (size_t at = 64; at < 64 + 8 * 56; at += 8) {
        memcpy(bytes, object.bytes, object.size);
        memset(bytes + at, at / 8 % 2 ? 0xff : 0x7f, 8);
        try_object(device, bytes, object.size);
    }
    for (size_t at = sections + 64; at + 8 <= object.size && at < sections + 5 * 64; at += 8) {
        memcpy(bytes, object.bytes, object.size);
        memset(bytes + at, 0xfe, 8);
        try_object(device, bytes, object.size);
    }
    /* Random damage: a few bytes anywhere, and in the first page, where notes, symbols and
     * descriptors are. */
    for (int i = 0; i < TRIES; i++) {
        memcpy(bytes, object.bytes, object.size);
        size_t span = i % 2 ? object.size : 4096;
        for (int k = 0; k < 1 + i % 12; k++)
            bytes[test_random(&random) % (span < object.size ? span : object.size)] =
                (uint8_t)test_random(&random);
        memcpy(bytes, object.bytes, 20);
        try_object(device, bytes, object.size);
    }
    /* Another target's file. */
    code_object other = build_object("gfx90a", "c", source, "-nogpulib -ffreestanding -O3 -w");
    int before = refused;
    try_object(device, other.bytes, other.size);
    if (refused == before) printf("a code object for gfx90a loads on gfx942\n"), failed++;
    gpu_amd_close(device);
    free(source);
    free(other.bytes);
    free(object.bytes);
    free(bytes);
    printf("%d refused, %d faults, %d failed\n", refused, faulted, failed);
    return failed != 0;
}

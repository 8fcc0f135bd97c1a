/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults planted into the binary of compiled kernels: each must be caught, as a fault of the right
 * kind or as a wrong result, and the kernel as it was compiled must pass.
 */
#define _DEFAULT_SOURCE
#include "amd_test_build.h"

#include <math.h>

enum { SIDE = 64, COUNT = SIDE * SIDE, SEEDS = 8 };

static float in[COUNT], out[COUNT];
static const char *target;
static char *kernel_source;
static int failed, planted;

/* Encodings of gfx9: SOPP with its opcode in bits 22:16. */
#define S_NOP     0xbf800000u
#define S_BARRIER 0xbf8a0000u
#define S_WAITCNT 0xbf8c0000u

typedef struct outcome {
    gpu_amd_fault fault;
    bool right;
} outcome;

typedef struct subject {
    const char *kernel;
    uint32_t groups;
    bool (*right)(void);
} subject;

static bool transposed(void) {
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++)
            if (out[c * SIDE + r] != in[r * SIDE + c]) return false;
    return true;
}

static bool summed(void) {
    for (int g = 0; g < COUNT / 256; g++) {
        double sum = 0, size = 0;
        for (int i = 0; i < 256; i++)
            sum += (double)in[g * 256 + i], size += fabs((double)in[g * 256 + i]);
        if (!(fabs(sum - (double)out[g]) <= size * 0x1p-20)) return false;
    }
    return true;
}

static bool added(void) {
    for (int i = 0; i < COUNT; i++)
        if (!(fabsf(out[i] - (1.0f + 2.0f * in[i])) <= 0x1p-20f * (1.0f + fabsf(in[i]))))
            return false;
    return true;
}

static bool relayed(void) {
    return !memcmp(in, out, sizeof in);
}

static const subject subjects[] = {{"transpose", 4, transposed},
                                   {"sum", COUNT / 256, summed},
                                   {"saxpy", COUNT / 256, added},
                                   {"relay", COUNT / 256, relayed}};

/* gfx90a loads to LDS by buffer_ instructions only. */
static bool is_there(const subject *s) {
    return s->right != relayed || strcmp(target, "gfx90a") != 0;
}

static outcome run(const code_object *object, const subject *s, uint64_t seed) {
    struct {
        float *in, *out;
        int n;
    } two = {in, out, SIDE};
    struct {
        float *in, *out;
        float a;
        int n;
    } four = {in, out, 2.0f, COUNT};
    bool is_saxpy = s->right == added;
    outcome result = {.right = false};
    char text[256];
    gpu_amd_device *device = gpu_amd_open(target);
    gpu_amd_module *module = gpu_amd_load(device, object->bytes, object->size, text, sizeof text);
    if (!module) {
        result.fault.kind = GPU_AMD_BAD_LAUNCH;
        snprintf(result.fault.text, sizeof result.fault.text, "%s", text);
        gpu_amd_close(device);
        return result;
    }
    gpu_amd_register(device, in, sizeof in, GPU_AMD_READ);
    gpu_amd_register(device, out, sizeof out, GPU_AMD_READ | GPU_AMD_WRITE);
    gpu_amd_poison(out, sizeof out);
    for (int i = 0; is_saxpy && i < COUNT; i++) out[i] = 1.0f;
    gpu_amd_launch launch = {.grid = {s->groups, 1, 1},
                             .block = {256, 1, 1},
                             .arguments = is_saxpy ? (void *)&four : (void *)&two,
                             .argument_bytes = is_saxpy ? sizeof four : sizeof two,
                             .seed = seed,
                             .instruction_limit = 1 << 20,
                             .threads = 1};
    gpu_amd_run(gpu_amd_find_kernel(module, s->kernel), &launch, &result.fault);
    result.right = !result.fault.kind && s->right();
    gpu_amd_unload(module);
    gpu_amd_close(device);
    return result;
}

/* Where the kernel's code lies in the file: from its symbol, found by decoding nothing but the
 * module's own report. */
static size_t code_range(const code_object *object, const char *kernel, size_t *end) {
    uint64_t sections, names, at;
    memcpy(&sections, object->bytes + 40, 8);
    uint16_t count;
    memcpy(&count, object->bytes + 60, 2);
    for (int i = 0; i < count; i++) {
        const uint8_t *header = object->bytes + sections + (size_t)i * 64;
        uint32_t type, link;
        uint64_t offset, size;
        memcpy(&type, header + 4, 4);
        memcpy(&offset, header + 24, 8);
        memcpy(&size, header + 32, 8);
        memcpy(&link, header + 40, 4);
        if (type != 11) continue;
        memcpy(&names, object->bytes + sections + (size_t)link * 64 + 24, 8);
        for (at = offset; at < offset + size; at += 24) {
            uint32_t name;
            uint16_t section;
            uint64_t value, bytes, section_address, section_offset;
            memcpy(&name, object->bytes + at, 4);
            memcpy(&section, object->bytes + at + 6, 2);
            memcpy(&value, object->bytes + at + 8, 8);
            memcpy(&bytes, object->bytes + at + 16, 8);
            if (strcmp((const char *)object->bytes + names + name, kernel) != 0) continue;
            memcpy(&section_address, object->bytes + sections + (size_t)section * 64 + 16, 8);
            memcpy(&section_offset, object->bytes + sections + (size_t)section * 64 + 24, 8);
            *end = (size_t)(value - section_address + section_offset + bytes);
            return (size_t)(value - section_address + section_offset);
        }
    }
    fprintf(stderr, "no kernel %s\n", kernel);
    exit(1);
}

static code_object copy_of(const code_object *object) {
    code_object copy = {malloc(object->size), object->size};
    memcpy(copy.bytes, object->bytes, object->size);
    return copy;
}

/* A mutation must be caught with at least one of a few seeds. expected: kind of the fault, 0: any,
 * or a wrong result. */
static void must_be_caught(const code_object *mutant, const subject *s, const char *what, size_t at,
                           gpu_amd_fault_kind expected, gpu_amd_fault_kind other) {
    outcome result = {.right = true};
    planted++;
    for (uint64_t seed = 0; seed < SEEDS && result.right; seed++) result = run(mutant, s, seed);
    if (!result.right && (!expected || result.fault.kind == expected || result.fault.kind == other))
        return;
    printf("%s %s: %s at byte %zu of the file: %s\n", target, s->kernel, what, at,
           result.right ? "not caught" : result.fault.text);
    failed++;
}

static uint32_t word_at(const code_object *object, size_t at) {
    uint32_t word;
    memcpy(&word, object->bytes + at, 4);
    return word;
}

static void replace(const code_object *object, const subject *s, size_t at, uint32_t word,
                    const char *what, gpu_amd_fault_kind expected, gpu_amd_fault_kind other) {
    code_object mutant = copy_of(object);
    memcpy(mutant.bytes + at, &word, 4);
    must_be_caught(&mutant, s, what, at, expected, other);
    free(mutant.bytes);
}

/* Does a wait protect a load at all? Taken out of a kernel whose wait covers stores only it changes
 * nothing. */
static bool last_store_only(const code_object *object, size_t at, size_t begin) {
    for (size_t before = at; before > begin; before -= 4) {
        uint32_t word = word_at(object, before - 4);
        if ((word >> 26) == 0x37 || (word >> 26) == 0x36 || (word >> 26) == 0x30) return false;
    }
    return true;
}

static void plant(const code_object *object, const subject *s) {
    size_t end, begin = code_range(object, s->kernel, &end);
    int barriers = 0, waits = 0;
    for (size_t at = begin; at < end; at += 4) {
        uint32_t word = word_at(object, at);
        if (word == S_BARRIER) {
            barriers++;
            replace(object, s, at, S_NOP, "a removed s_barrier", GPU_AMD_LDS_RACE,
                    GPU_AMD_NO_FAULT);
        } else if ((word & 0xffff0000u) == S_WAITCNT && !last_store_only(object, at, begin)) {
            bool before_barrier = at + 4 < end && word_at(object, at + 4) == S_BARRIER;
            waits++;
            replace(object, s, at, S_NOP, "a removed s_waitcnt",
                    before_barrier ? GPU_AMD_LDS_RACE : GPU_AMD_PENDING_REGISTER,
                    s->right == relayed ? GPU_AMD_PENDING_LDS : GPU_AMD_PENDING_REGISTER);
        }
    }
    if (strcmp(s->kernel, "saxpy") != 0 && !barriers)
        printf("%s: no barrier in %s\n", target, s->kernel), failed++;
    if (!waits) printf("%s: no wait in %s\n", target, s->kernel), failed++;
}

/* Faults that one source change makes: lanes swapped in the reduction, a bound too far. */
static void plant_source(const char *kernel, const char *from, const char *to,
                         gpu_amd_fault_kind expected) {
    const char *place = strstr(kernel_source, from);
    if (!place) {
        printf("the source has no \"%s\"\n", from);
        failed++;
        return;
    }
    size_t capacity = strlen(kernel_source) + 256;
    char *source = malloc(capacity);
    snprintf(source, capacity, "%.*s%s%s", (int)(place - kernel_source), kernel_source, to,
             place + strlen(from));
    code_object mutant = build_object(target, "c", source, "-nogpulib -ffreestanding -O3 -w");
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
        if (!strcmp(subjects[i].kernel, kernel))
            must_be_caught(&mutant, &subjects[i], to, 0, expected, GPU_AMD_NO_FAULT);
    free(mutant.bytes);
    free(source);
}

int main(void) {
    static const char *const targets[] = {"gfx90a", "gfx942", "gfx950"};
    uint64_t random = test_seed();
    kernel_source = read_source("device_kernels.c");
    for (int i = 0; i < COUNT; i++) in[i] = (float)(int32_t)test_random(&random) * 0x1p-30f;
    for (int t = 0; t < 3; t++) {
        target = targets[t];
        code_object object =
            build_object(target, "c", kernel_source, "-nogpulib -ffreestanding -O3 -w");
        for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
            if (!is_there(&subjects[i])) continue;
            for (uint64_t seed = 0; seed < SEEDS; seed++) {
                outcome result = run(&object, &subjects[i], seed);
                if (result.right) continue;
                printf("%s %s as it was compiled: %s\n", target, subjects[i].kernel,
                       result.fault.kind ? result.fault.text : "wrong");
                failed++;
            }
            plant(&object, &subjects[i]);
        }
        plant_source("sum", "ADD_DPP(0x142, 10)", "ADD_DPP(0x143, 10)", GPU_AMD_NO_FAULT);
        plant_source("sum", "LANE % 64 == 63", "LANE % 64 == 62", GPU_AMD_NO_FAULT);
        plant_source("sum", "partial[4]", "partial[3]", GPU_AMD_LDS_BOUNDS);
        plant_source("saxpy", "if (i < n) y[i]", "if (i <= n) y[i + 1]", GPU_AMD_GLOBAL_BOUNDS);
        plant_source("transpose", "tile[32 * 33]", "tile[32 * 33 - 2]", GPU_AMD_LDS_BOUNDS);
        plant_source("transpose", "r < 32; r += 8) out", "r < 33; r += 8) out", GPU_AMD_NO_FAULT);
        if (strcmp(target, "gfx90a") != 0) {
            plant_source("relay", "staged + wave * 64", "staged + wave * 32", GPU_AMD_NO_FAULT);
            plant_source("relay", "staged + wave * 64", "staged + wave * 64 + 64",
                         GPU_AMD_LDS_BOUNDS);
        }
        free(object.bytes);
    }
    free(kernel_source);
    printf("%d faults planted, %d failed\n", planted, failed);
    return failed != 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Modules and their kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_hip.h"
#include "fake_hip_launch.h"

struct fake_module {
    gpu_amd_module *gpu;
    int device;
    fake_function *functions;
    fake_module *next;
};
static fake_module *loaded; /* so that one that could not be unloaded is not lost */

/* Counts of the kernels that ran, for the file at exit; kernels of one name add up. */
typedef struct counted {
    char name[96], target[16];
    gpu_amd_kernel_info info;
    gpu_amd_counters counters;
    struct counted *next;
} counted;
static counted *all_counted;

static void write_counts(void) {
    const char *path = getenv("TENON_FAKE_HIP_COUNTS");
    FILE *file = path ? fopen(path, "a") : NULL;
    for (const counted *c = all_counted; file && c; c = c->next) {
        fprintf(file, "%s %s vgprs=%u agprs=%u sgprs=%u lds_bytes=%u", c->target, c->name,
                c->info.vgprs, c->info.agprs, c->info.sgprs, c->info.lds_bytes);
        fprintf(file, " launches=%llu waves=%llu", (unsigned long long)c->counters.launches,
                (unsigned long long)c->counters.waves);
        for (int i = 0; i < GPU_AMD_CLASSES; i++) {
            fputc(' ', file);
            for (const char *n = gpu_amd_class_name((gpu_amd_class)i); *n; n++)
                fputc(*n == ' ' ? '_' : *n, file);
            fprintf(file, "=%llu", (unsigned long long)c->counters.instructions[i]);
        }
        for (int i = 0; i < GPU_AMD_MATRIX_TYPES; i++)
            fprintf(file, " flop%d=%llu", i, (unsigned long long)c->counters.matrix_flop[i]);
        fprintf(file,
                " global_accesses=%llu read_bytes=%llu written_bytes=%llu segments=%llu"
                " read_lines=%llu written_lines=%llu scalar_read_bytes=%llu lds_bytes_moved=%llu "
                "lds_cycles=%llu lds_ideal=%llu\n",
                (unsigned long long)c->counters.global_accesses,
                (unsigned long long)c->counters.global_read_bytes,
                (unsigned long long)c->counters.global_written_bytes,
                (unsigned long long)c->counters.global_segments,
                (unsigned long long)c->counters.global_read_lines,
                (unsigned long long)c->counters.global_written_lines,
                (unsigned long long)c->counters.scalar_read_bytes,
                (unsigned long long)c->counters.lds_bytes,
                (unsigned long long)c->counters.lds_cycles,
                (unsigned long long)c->counters.lds_cycles_ideal);
    }
    if (file) fclose(file);
}

/* Before the module goes: what its kernels counted. */
static void keep_counts(const fake_module *module) {
    for (const fake_function *f = module->functions; f; f = f->next) {
        gpu_amd_counters counters;
        const gpu_amd_kernel_info *info = gpu_amd_info(f->kernel);
        const char *target = gpu_amd_target(fake_devices[module->device].gpu);
        gpu_amd_get_counters(f->kernel, &counters);
        counted *c = all_counted;
        while (c && (strcmp(c->name, info->name) || strcmp(c->target, target))) c = c->next;
        if (!c) {
            if (!(c = calloc(1, sizeof *c))) return;
            if (!all_counted) atexit(write_counts);
            snprintf(c->name, sizeof c->name, "%s", info->name);
            snprintf(c->target, sizeof c->target, "%s", target);
            c->info = *info;
            c->next = all_counted;
            all_counted = c;
        }
        gpu_amd_add_counters(&c->counters, &counters);
    }
}

size_t fake_hip_take_counts(fake_hip_counts *out, size_t room) {
    size_t count = 0;
    pthread_mutex_lock(&fake_lock);
    for (fake_module *m = loaded; m; m = m->next) {
        keep_counts(m);
        for (fake_function *f = m->functions; f; f = f->next) {
            gpu_amd_counters counters;
            gpu_amd_get_counters(f->kernel, &counters);
            gpu_amd_reset_counters(f->kernel);
            if (!counters.launches || count == room) continue;
            fake_hip_counts *c = &out[count++];
            snprintf(c->kernel, sizeof c->kernel, "%s", gpu_amd_info(f->kernel)->name);
            snprintf(c->target, sizeof c->target, "%s",
                     gpu_amd_target(fake_devices[m->device].gpu));
            c->counters = counters;
            c->waves_per_simd =
                gpu_amd_occupancy(f->kernel, f->latest_threads, f->latest_dynamic_lds_bytes);
        }
    }
    pthread_mutex_unlock(&fake_lock);
    return count;
}

static int load(fake_module **out, const void *image) {
    char text[512] = "";
    const size_t bytes = image ? gpu_amd_image_bytes(image) : 0;
    gpu_amd_device *gpu = fake_devices[fake_current].gpu;
    if (!bytes) return HIP_INVALID_IMAGE;
    if (!gpu) return HIP_NO_BINARY_FOR_GPU;
    fake_module *module = calloc(1, sizeof *module);
    if (!module) return HIP_OUT_OF_MEMORY;
    module->device = fake_current;
    module->gpu = gpu_amd_load(gpu, image, bytes, text, sizeof text);
    if (!module->gpu) {
        fprintf(stderr, "fake_hip: hipModuleLoadData: %s\n", text);
        free(module);
        return HIP_INVALID_IMAGE;
    }
    module->next = loaded;
    loaded = module;
    fake_live_modules++;
    *out = module;
    return HIP_SUCCESS;
}

int hipModuleLoadData(fake_module **out, const void *image) {
    int status = fake_enter(FAKE_hipModuleLoadData);
    return status ? status : fake_leave(load(out, image));
}

int hipModuleUnload(fake_module *module) {
    int status = fake_enter(FAKE_hipModuleUnload);
    if (status) return status;
    for (fake_module **at = &loaded; *at; at = &(*at)->next)
        if (*at == module) {
            *at = module->next;
            break;
        }
    keep_counts(module);
    gpu_amd_unload(module->gpu);
    while (module->functions) {
        fake_function *f = module->functions;
        module->functions = f->next;
        free(f);
    }
    free(module);
    fake_live_modules--;
    return fake_leave(HIP_SUCCESS);
}

int hipModuleGetFunction(fake_function **out, fake_module *module, const char *name) {
    int status = fake_enter(FAKE_hipModuleGetFunction);
    if (status) return status;
    gpu_amd_kernel *kernel = gpu_amd_find_kernel(module->gpu, name);
    fake_function *f = kernel ? module->functions : NULL;
    while (f && f->kernel != kernel) f = f->next;
    if (kernel && !f && (f = calloc(1, sizeof *f))) {
        f->kernel = kernel;
        f->device = module->device;
        f->next = module->functions;
        module->functions = f;
    }
    if (f) *out = f;
    return fake_leave(f ? HIP_SUCCESS : kernel ? HIP_OUT_OF_MEMORY : HIP_NOT_FOUND);
}

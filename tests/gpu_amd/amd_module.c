/* SPDX-License-Identifier: Apache-2.0
 *
 * Devices, their memory ranges, modules and kernels.
 */
#include "amd_module.h"
#include "amd_numbers.h"

#include <stdlib.h>

static const char *const target_names[] = {
    [AMD_GFX90A] = "gfx90a", [AMD_GFX942] = "gfx942", [AMD_GFX950] = "gfx950"};

gpu_amd_device *gpu_amd_open(const char *target) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, amd_make_small_values);
    for (int i = AMD_GFX90A; i <= AMD_GFX950; i++) {
        size_t length = strlen(target_names[i]);
        if (strncmp(target, target_names[i], length) != 0 ||
            (target[length] && target[length] != ':'))
            continue;
        gpu_amd_device *device = calloc(1, sizeof *device);
        if (!device) return NULL;
        device->target = (amd_target)i;
        pthread_mutex_init(&device->lock, NULL);
        return device;
    }
    return NULL;
}

void gpu_amd_close(gpu_amd_device *device) {
    if (!device) return;
    pthread_mutex_destroy(&device->lock);
    free(device->ranges);
    free(device);
}

const char *gpu_amd_target(const gpu_amd_device *device) {
    return target_names[device->target];
}

/* ---- memory ranges ---- */

/* Index of the first range that ends behind address. */
static size_t place_of(const gpu_amd_device *device, uintptr_t address) {
    size_t low = 0, high = device->range_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (device->ranges[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool add_range(gpu_amd_device *device, amd_range range) {
    size_t place = place_of(device, range.start);
    if (place < device->range_count && device->ranges[place].start < range.end) return false;
    if (device->range_count == device->range_capacity) {
        size_t larger = device->range_capacity ? 2 * device->range_capacity : 64;
        amd_range *grown = realloc(device->ranges, larger * sizeof *grown);
        if (!grown) return false;
        device->ranges = grown;
        device->range_capacity = larger;
    }
    memmove(&device->ranges[place + 1], &device->ranges[place],
            (device->range_count - place) * sizeof range);
    device->ranges[place] = range;
    device->range_count++;
    return true;
}

bool gpu_amd_register(gpu_amd_device *device, const void *start, size_t bytes, unsigned access) {
    uintptr_t from = (uintptr_t)start;
    if (!bytes || from + bytes < from) return false;
    pthread_mutex_lock(&device->lock);
    bool added = add_range(device, (amd_range){from, from + bytes, access, 0});
    pthread_mutex_unlock(&device->lock);
    return added;
}

bool gpu_amd_unregister(gpu_amd_device *device, const void *start) {
    pthread_mutex_lock(&device->lock);
    size_t place = place_of(device, (uintptr_t)start);
    bool found = place < device->range_count && device->ranges[place].start == (uintptr_t)start;
    if (found) {
        device->range_count--;
        memmove(&device->ranges[place], &device->ranges[place + 1],
                (device->range_count - place) * sizeof *device->ranges);
    }
    pthread_mutex_unlock(&device->lock);
    return found;
}

/* ---- modules ---- */

static uint32_t word_at(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, 4);
    return value;
}

/* Registers come in granules of 8 (vgprs and accumulators together); accumulators begin at a
 * multiple of 4. */
static bool read_descriptor(const gpu_amd_module *module, const char *symbol, amd_descriptor *out) {
    uint64_t address, bytes;
    if (!amd_elf_symbol(&module->elf, symbol, &address, &bytes) || address > module->image_bytes ||
        module->image_bytes - address < 64)
        return false;
    const uint8_t *at = module->image + address;
    out->lds_bytes = word_at(at);
    out->scratch_bytes = word_at(at + 4);
    out->argument_bytes = word_at(at + 8);
    int64_t entry;
    memcpy(&entry, at + 16, 8);
    out->entry = address + (uint64_t)entry;
    for (int i = 0; i < 3; i++) out->resources[i] = word_at(at + (i < 2 ? 48 + 4 * i : 44));
    out->properties = (uint16_t)word_at(at + 56);
    out->preload = (uint16_t)(word_at(at + 56) >> 16);
    uint32_t granules = (out->resources[0] & 63) + 1, total = granules * 8,
             begin = ((out->resources[2] & 63) + 1) * 4;
    out->vgprs = begin < total ? begin : total;
    out->agprs = total > begin ? total - begin : 0;
    if (out->vgprs > 256) out->vgprs = 256;
    if (out->agprs > 256) out->agprs = 256;
    return (out->preload >> 7) + (out->preload & 127) <= 64;
}

static bool load_kernels(gpu_amd_module *module, char *text, size_t text_bytes) {
    size_t note_bytes = 0, count;
    amd_kernel_metadata *metadata;
    const uint8_t *note = amd_elf_metadata(&module->elf, &note_bytes);
    if (!note) {
        snprintf(text, text_bytes, "code object: no metadata note");
        return false;
    }
    if (!amd_read_metadata(note, note_bytes, &metadata, &count, text, text_bytes)) return false;
    module->kernels = calloc(count ? count : 1, sizeof *module->kernels);
    bool good = module->kernels;
    if (!good) snprintf(text, text_bytes, "no memory");
    for (size_t i = 0; good && i < count; i++) {
        gpu_amd_kernel *kernel = &module->kernels[module->kernel_count++];
        kernel->module = module;
        kernel->metadata = metadata[i];
        kernel->metadata.info.name = kernel->metadata.name;
        good = read_descriptor(module, metadata[i].symbol, &kernel->descriptor);
        if (good)
            kernel->entry = amd_instruction_at(&module->program, kernel->descriptor.entry);
        else
            snprintf(text, text_bytes, "code object: no descriptor %.128s", metadata[i].symbol);
    }
    free(metadata);
    return good;
}

static bool load_image(gpu_amd_module *module, const void *image, size_t bytes, char *text,
                       size_t text_bytes) {
    module->file = malloc(bytes ? bytes : 1);
    if (!module->file) return snprintf(text, text_bytes, "no memory"), false;
    memcpy(module->file, image, bytes);
    if (!amd_elf_open(module->file, bytes, &module->elf, text, text_bytes)) return false;
    const char *target = amd_elf_target(&module->elf);
    if (!target || strcmp(target, gpu_amd_target(module->device)) != 0) {
        snprintf(text, text_bytes, "code object: made for %s (flags 0x%x), the device is %s",
                 target ? target : "another target", module->elf.flags,
                 gpu_amd_target(module->device));
        return false;
    }
    module->image_bytes = amd_elf_image_bytes(&module->elf);
    module->image = module->image_bytes
                        ? aligned_alloc(4096, (module->image_bytes + 4095) & ~(uint64_t)4095)
                        : NULL;
    if (!module->image)
        return snprintf(text, text_bytes, "code object: no segments, or no memory for them"), false;
    memset(module->image, 0, (module->image_bytes + 4095) & ~(uint64_t)4095);
    return amd_elf_load(&module->elf, module->image, module->image_bytes, text, text_bytes);
}

gpu_amd_module *gpu_amd_load(gpu_amd_device *device, const void *image, size_t bytes, char *text,
                             size_t text_bytes) {
    gpu_amd_module *module = calloc(1, sizeof *module);
    char ignored[1];
    if (!text || !text_bytes) text = ignored, text_bytes = sizeof ignored;
    if (!module) return snprintf(text, text_bytes, "no memory"), NULL;
    module->device = device;
    char *disassembly = NULL;
    if (load_image(module, image, bytes, text, text_bytes) &&
        (disassembly = amd_disassemble(module->file, bytes, text, text_bytes))) {
        if (!amd_decode(disassembly, &module->program))
            snprintf(text, text_bytes, "no memory for the program");
        else if (load_kernels(module, text, text_bytes))
            return module;
    }
    gpu_amd_unload(module);
    return NULL;
}

void gpu_amd_unload(gpu_amd_module *module) {
    if (!module) return;
    amd_free_program(&module->program);
    free(module->kernels);
    free(module->image);
    free(module->file);
    free(module);
}

size_t gpu_amd_kernel_count(const gpu_amd_module *module) {
    return module->kernel_count;
}

gpu_amd_kernel *gpu_amd_kernel_at(gpu_amd_module *module, size_t index) {
    return index < module->kernel_count ? &module->kernels[index] : NULL;
}

gpu_amd_kernel *gpu_amd_find_kernel(gpu_amd_module *module, const char *name) {
    for (size_t i = 0; i < module->kernel_count; i++)
        if (strcmp(module->kernels[i].metadata.name, name) == 0) return &module->kernels[i];
    return NULL;
}

void *gpu_amd_find_global(gpu_amd_module *module, const char *name, size_t *bytes) {
    uint64_t address, size;
    if (!amd_elf_symbol(&module->elf, name, &address, &size) || address > module->image_bytes ||
        size > module->image_bytes - address)
        return NULL;
    if (bytes) *bytes = (size_t)size;
    return module->image + address;
}

const gpu_amd_kernel_info *gpu_amd_info(const gpu_amd_kernel *kernel) {
    return &kernel->metadata.info;
}

unsigned gpu_amd_occupancy(const gpu_amd_kernel *kernel, uint32_t block_threads,
                           uint32_t dynamic_lds_bytes) {
    bool large = kernel->module->device->target == AMD_GFX950;
    uint32_t registers = (kernel->descriptor.resources[0] & 63) * 8 + 8,
             waves = (block_threads + AMD_LANES - 1) / AMD_LANES;
    uint32_t lds = kernel->descriptor.lds_bytes + dynamic_lds_bytes,
             lds_total = large ? 163840 : 65536, granule = large ? 1280 : 512;
    lds = (lds + granule - 1) / granule * granule;
    unsigned by_registers = 512 / registers;
    if (by_registers > 8) by_registers = 8;
    if (!waves || lds > lds_total) return 0;
    /* Four SIMDs share the LDS; a workgroup's waves spread over them. */
    unsigned groups = lds ? lds_total / lds : 64, by_lds = (groups * waves + 3) / 4;
    unsigned fitting = 4 * by_registers / waves;
    if (!fitting) return 0;
    return by_lds < by_registers ? by_lds : by_registers;
}

/* SPDX-License-Identifier: Apache-2.0
 */
#include "amd_memory.h"

/* The range that holds [address, address + size), or NULL. */
static const amd_range *find(amd_workgroup *group, uint64_t address, uint64_t size) {
    const amd_memory *memory = &group->launch->memory;
    const amd_range *guess = &memory->ranges[group->recent_range];
    if (address >= guess->start && address < guess->end && size <= guess->end - address)
        return guess;
    size_t low = 0, high = memory->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memory->ranges[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == memory->count) return NULL;
    const amd_range *range = &memory->ranges[low];
    if (address < range->start || size > range->end - address) return NULL;
    group->recent_range = low;
    return range;
}

static _Noreturn void refuse(amd_wave *wave, int lane, uint64_t address, uint32_t size,
                             unsigned access) {
    const amd_memory *memory = &wave->group->launch->memory;
    const amd_range *nearest = NULL;
    uint64_t distance = ~(uint64_t)0;
    for (size_t i = 0; i < memory->count; i++) {
        const amd_range *range = &memory->ranges[i];
        uint64_t gap = address < range->start  ? range->start - address
                       : address >= range->end ? address - range->end
                                               : 0;
        if (gap < distance) distance = gap, nearest = range;
    }
    const char *verb = access == GPU_AMD_READ ? "reads" : "writes";
    if (!nearest || distance > 1u << 20)
        amd_stop(wave, GPU_AMD_GLOBAL_BOUNDS, lane,
                 "%s %u bytes at 0x%llx, far from every registered range", verb, size,
                 (unsigned long long)address);
    if (distance == 0 && address + size <= nearest->end)
        amd_stop(wave, GPU_AMD_GLOBAL_BOUNDS, lane,
                 "%s %u bytes at offset %lld of a range of %llu bytes that does not allow it", verb,
                 size, (long long)(address - nearest->start),
                 (unsigned long long)(nearest->end - nearest->start));
    amd_stop(wave, GPU_AMD_GLOBAL_BOUNDS, lane,
             "%s %u bytes at offset %lld of a range of %llu bytes", verb, size,
             (long long)(address - nearest->start),
             (unsigned long long)(nearest->end - nearest->start));
}

/* 128-byte lines that the lanes touch. */
static uint32_t segments(const amd_addresses *addresses, uint32_t size) {
    uint64_t seen[2 * AMD_LANES], latest = ~(uint64_t)0;
    uint32_t count = 0;
    for (int lane = 0; lane < AMD_LANES; lane++) {
        if (!(addresses->lanes >> lane & 1)) continue;
        uint64_t first = addresses->at[lane] / 128, last = (addresses->at[lane] + size - 1) / 128;
        for (uint64_t line = first; line <= last; line++) {
            if (line == latest) continue;
            latest = line;
            uint32_t i = 0;
            while (i < count && seen[i] != line) i++;
            if (i == count) seen[count++] = line;
        }
    }
    return count;
}

void amd_check_global(amd_wave *wave, const amd_addresses *addresses, uint32_t size,
                      unsigned access) {
    if (!addresses->lanes) return;
    amd_workgroup *group = wave->group;
    uint64_t low = ~(uint64_t)0, high = 0, misaligned = 0, active = addresses->lanes;
    AMD_EACH_LANE(lane) {
        uint64_t on = (uint64_t)0 - (active >> lane & 1), at = addresses->at[lane];
        uint64_t for_low = at | ~on, for_high = at & on;
        low = for_low < low ? for_low : low;
        high = for_high > high ? for_high : high;
        misaligned |= at & on;
    }
    uint32_t alignment = size >= 4 ? 4 : size == 3 ? 1 : size;
    const amd_range *range =
        high >= low && high - low < (uint64_t)1 << 40 ? find(group, low, high - low + size) : NULL;
    if (!range || !(range->access & access)) AMD_EACH_LANE(lane) {
            if (!(active >> lane & 1)) continue;
            range = find(group, addresses->at[lane], size);
            if (!range || !(range->access & access))
                refuse(wave, lane, addresses->at[lane], size, access);
        }
    gpu_amd_counters *counters = group->counters;
    uint64_t bytes = (uint64_t)__builtin_popcountll(active) * size;
    counters->global_accesses++;
    counters->global_misaligned += (misaligned & (alignment - 1)) != 0;
    counters->global_segments += segments(addresses, size);
    if (access & GPU_AMD_READ) counters->global_read_bytes += bytes;
    if (access & GPU_AMD_WRITE) counters->global_written_bytes += bytes;
}

const uint8_t *amd_check_scalar(amd_wave *wave, uint64_t address, uint32_t size) {
    const amd_range *range = find(wave->group, address, size);
    if (!range || !(range->access & GPU_AMD_READ)) refuse(wave, -1, address, size, GPU_AMD_READ);
    wave->group->counters->scalar_read_bytes += size;
    return amd_host(address);
}

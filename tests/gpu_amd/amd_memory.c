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

/* Was the line of this address not touched before? Marks it. */
static bool is_first_touch(amd_workgroup *group, uint64_t *lines, uint64_t address) {
    const amd_range *range = find(group, address, 1);
    size_t line = range->first_line + (address / AMD_LINE_BYTES - range->start / AMD_LINE_BYTES);
    uint64_t bit = (uint64_t)1 << line % 64, *word = &lines[line / 64];
    if (__atomic_load_n(word, __ATOMIC_RELAXED) & bit) return false;
    return !(__atomic_fetch_or(word, bit, __ATOMIC_RELAXED) & bit);
}

static void count_line(amd_workgroup *group, uint64_t address, unsigned access) {
    const amd_memory *memory = &group->launch->memory;
    if (access & GPU_AMD_READ)
        group->counters->global_read_lines += is_first_touch(group, memory->read_lines, address);
    if (access & GPU_AMD_WRITE)
        group->counters->global_written_lines +=
            is_first_touch(group, memory->written_lines, address);
}

/* Counts 128-byte lines and their 64-byte halves that the lanes of an access touch, and marks the
 * lines. */
static void count_segments(amd_workgroup *group, const amd_addresses *addresses, uint32_t size,
                           unsigned access) {
    enum { HALF = AMD_LINE_BYTES / 2 };
    uint64_t seen[2 * AMD_LANES], latest = ~(uint64_t)0;
    uint8_t halves[2 * AMD_LANES];
    uint32_t count = 0;
    for (int lane = 0; lane < AMD_LANES; lane++) {
        if (!(addresses->lanes >> lane & 1)) continue;
        uint64_t at = addresses->at[lane], last = (at + size - 1) / HALF;
        for (uint64_t half = at / HALF; half <= last; half++) {
            if (half == latest) continue;
            latest = half;
            uint64_t line = half / 2;
            uint32_t i = 0;
            while (i < count && seen[i] != line) i++;
            if (i == count) {
                seen[count] = line;
                halves[count++] = 0;
                count_line(group, at / HALF == half ? at : half * HALF, access);
            }
            halves[i] |= (uint8_t)(1 << half % 2);
        }
    }
    group->counters->global_segments += count;
    for (uint32_t i = 0; i < count; i++)
        group->counters->global_half_segments += halves[i] == 3 ? 2 : 1;
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
    count_segments(group, addresses, size, access);
    if (access & GPU_AMD_READ) counters->global_read_bytes += bytes;
    if (access & GPU_AMD_WRITE) counters->global_written_bytes += bytes;
}

const uint8_t *amd_check_scalar(amd_wave *wave, uint64_t address, uint32_t size) {
    const amd_range *range = find(wave->group, address, size);
    if (!range || !(range->access & GPU_AMD_READ)) refuse(wave, -1, address, size, GPU_AMD_READ);
    wave->group->counters->scalar_read_bytes += size;
    if (size) {
        count_line(wave->group, address, GPU_AMD_READ);
        if ((address + size - 1) / AMD_LINE_BYTES != address / AMD_LINE_BYTES)
            count_line(wave->group, address + size - 1, GPU_AMD_READ);
    }
    return amd_host(address);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * A shadow word per dword of LDS: the epoch (barriers passed, 24 bits), then for each byte the wave
 * that wrote it and the wave that read it in that epoch (5 bits each: 0 nobody, wave + 1, 31
 * several; atomics write as 30).
 */
#include "amd_race.h"

enum { NOBODY = 0, BY_ATOMIC = 30, SEVERAL = 31, FIELD = 5, BYTE_FIELDS = 10, EPOCH_SHIFT = 40 };

size_t amd_shadow_words(uint32_t lds_bytes) {
    return (lds_bytes + 3) / 4;
}

/* The same fields for all four bytes. */
static uint64_t in_all_bytes(uint64_t epoch, unsigned writer, unsigned reader) {
    uint64_t byte = writer | (uint64_t)reader << FIELD;
    return epoch << EPOCH_SHIFT | byte | byte << BYTE_FIELDS | byte << 2 * BYTE_FIELDS |
           byte << 3 * BYTE_FIELDS;
}

static _Noreturn void report(amd_wave *wave, amd_touch touch, int lane, uint32_t address,
                             unsigned other, bool other_wrote) {
    static const char *const verb[] = {"reads", "writes", "changes by an atomic"};
    char who[32];
    if (other == SEVERAL)
        snprintf(who, sizeof who, "other waves");
    else if (other == BY_ATOMIC)
        snprintf(who, sizeof who, "an atomic");
    else
        snprintf(who, sizeof who, "wave %u", other - 1);
    amd_stop(wave, GPU_AMD_LDS_RACE, lane, "%s LDS byte %u that %s %s since the last barrier",
             verb[touch], address, who, other_wrote ? "wrote" : "read");
}

/* One byte; same: a write does not change it. */
static uint64_t touch_byte(amd_wave *wave, amd_touch touch, int lane, uint32_t address,
                           uint64_t word, bool same) {
    int shift = (int)(address & 3) * BYTE_FIELDS;
    unsigned me = wave->number + 1;
    unsigned writer = word >> shift & 31, reader = word >> (shift + FIELD) & 31;
    if (touch == AMD_TOUCH_READ) {
        if (writer != NOBODY && writer != me) report(wave, touch, lane, address, writer, true);
        reader = reader == NOBODY || reader == me ? me : SEVERAL;
    } else {
        unsigned mark = touch == AMD_TOUCH_ATOMIC ? BY_ATOMIC : me;
        if (writer != NOBODY && writer != me && writer != mark && !same)
            report(wave, touch, lane, address, writer, true);
        if (reader != NOBODY && reader != me) report(wave, touch, lane, address, reader, false);
        writer = same && writer != NOBODY && writer != me ? writer : mark;
    }
    word &= ~((uint64_t)1023 << shift);
    return word | (uint64_t)writer << shift | (uint64_t)reader << (shift + FIELD);
}

static void touch_bytes(amd_wave *wave, amd_touch touch, int lane, uint32_t address, uint32_t size,
                        uint64_t epoch, const uint8_t *value) {
    amd_workgroup *group = wave->group;
    for (uint32_t i = 0; i < size; i++, address++) {
        uint64_t word = group->shadow[address / 4];
        if (word >> EPOCH_SHIFT != epoch) word = epoch << EPOCH_SHIFT;
        bool same = value && group->lds[address] == value[i];
        group->shadow[address / 4] = touch_byte(wave, touch, lane, address, word, same);
    }
}

static void check_filling(amd_wave *wave, int lane, uint32_t address, uint32_t size) {
    for (uint32_t dword = address / 4; dword <= (address + size - 1) / 4; dword++)
        if (wave->group->filling[dword / 64] >> dword % 64 & 1)
            amd_stop(wave, GPU_AMD_PENDING_LDS, lane,
                     "touches LDS byte %u that a direct-to-LDS load is still to fill: s_waitcnt "
                     "vmcnt is missing",
                     dword * 4 > address ? dword * 4 : address);
}

void amd_touch_lds(amd_wave *wave, amd_touch touch, const amd_row address, uint64_t lanes,
                   uint32_t size, const uint32_t *const *values) {
    amd_workgroup *group = wave->group;
    if (group->filling_loads) AMD_EACH_LANE(lane)
    if (lanes >> lane & 1) check_filling(wave, lane, address[lane], size);
    if (group->wave_count == 1) return;
    uint64_t epoch = group->epoch & 0xffffff;
    unsigned me = wave->number + 1;
    uint64_t mine =
        touch == AMD_TOUCH_READ ? in_all_bytes(epoch, NOBODY, me) : in_all_bytes(epoch, me, NOBODY);
    uint64_t written = in_all_bytes(epoch, me, NOBODY),
             shared = in_all_bytes(epoch, NOBODY, SEVERAL);
    AMD_EACH_LANE(lane) {
        if (!(lanes >> lane & 1)) continue;
        uint32_t at = address[lane];
        uint8_t bytes[16];
        const uint8_t *value = NULL;
        if (values) {
            for (uint32_t part = 0; part < 4 && 4 * part < size; part++)
                memcpy(bytes + 4 * part, &values[part][lane], 4);
            value = bytes;
        }
        if ((at & 3) || (size & 3) || touch == AMD_TOUCH_ATOMIC) {
            touch_bytes(wave, touch, lane, at, size, epoch, value);
            continue;
        }
        for (uint32_t part = 0; part < size; part += 4, at += 4) {
            uint64_t *word = &group->shadow[at / 4];
            if (*word == mine || (touch == AMD_TOUCH_READ && (*word == shared || *word == written)))
                continue;
            if (*word >> EPOCH_SHIFT != epoch)
                *word = mine;
            else
                touch_bytes(wave, touch, lane, at, 4, epoch, value ? value + part : NULL);
        }
    }
}

static void set_filling(amd_wave *wave, const amd_outstanding *entry, bool on) {
    uint32_t size = entry->size;
    AMD_EACH_LANE(lane) {
        if (!(entry->lanes >> lane & 1)) continue;
        for (uint32_t dword = entry->address[lane] / 4;
             dword < (entry->address[lane] + size + 3) / 4; dword++) {
            uint64_t bit = (uint64_t)1 << dword % 64, *word = &wave->group->filling[dword / 64];
            *word = on ? *word | bit : *word & ~bit;
        }
    }
}

void amd_fill_issued(amd_wave *wave, amd_outstanding *entry, uint32_t size) {
    amd_touch_lds(wave, AMD_TOUCH_WRITE, entry->address, entry->lanes, size, NULL);
    set_filling(wave, entry, true);
    wave->group->filling_loads++;
}

void amd_fill_arrived(amd_wave *wave, const amd_outstanding *entry) {
    set_filling(wave, entry, false);
    wave->group->filling_loads--;
}

void amd_touch_again(amd_wave *wave) {
    if (wave->group->wave_count == 1) return;
    for (int queue = AMD_QUEUE_VECTOR; queue <= AMD_QUEUE_LDS; queue++) {
        amd_ring *ring = &wave->queue[queue];
        for (uint32_t place = 0; place < ring->count; place++) {
            const amd_outstanding *entry = &ring->entry[(ring->head + place) % 64];
            if (!entry->touches_lds) continue;
            uint64_t epoch = wave->group->epoch & 0xffffff;
            const amd_instruction *current = wave->current;
            wave->current = entry->inst;
            AMD_EACH_LANE(lane)
            if (entry->lanes >> lane & 1)
                touch_bytes(wave, (amd_touch)entry->touch, lane, entry->address[lane], entry->size,
                            epoch, NULL);
            wave->current = current;
        }
    }
}

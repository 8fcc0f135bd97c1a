/* SPDX-License-Identifier: Apache-2.0
 *
 * Layout of the file: System V ABI, and "User Guide for AMDGPU Backend" of LLVM (ELF code object).
 */
#include "amd_elf.h"

enum {
    HEADER_BYTES = 64,
    PROGRAM_BYTES = 56,
    SECTION_BYTES = 64,
    SYMBOL_BYTES = 24,
    RELOCATION_BYTES = 24
};
enum {
    MACHINE_AMDGPU = 224,
    SEGMENT_LOAD = 1,
    SEGMENT_NOTE = 4,
    SECTION_DYNSYM = 11,
    SECTION_RELA = 4,
    NOTE_METADATA = 32,
    RELATIVE_64 = 13
};

static uint64_t read_number(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static bool inside(const amd_elf *elf, uint64_t offset, uint64_t bytes) {
    return offset <= elf->bytes && bytes <= elf->bytes - offset;
}

static const uint8_t *segment(const amd_elf *elf, unsigned index) {
    return elf->file + elf->program_offset + (uint64_t)index * PROGRAM_BYTES;
}
static const uint8_t *section(const amd_elf *elf, unsigned index) {
    return elf->file + elf->section_offset + (uint64_t)index * SECTION_BYTES;
}

size_t gpu_amd_image_bytes(const void *image) {
    const uint8_t *file = image;
    if (memcmp(file, "\177ELF\2\1", 6) != 0) return 0;
    uint64_t sections = read_number(file + 40, 8), programs = read_number(file + 32, 8);
    uint64_t section_end = sections + read_number(file + 58, 2) * read_number(file + 60, 2);
    uint64_t program_end = programs + read_number(file + 54, 2) * read_number(file + 56, 2);
    uint64_t end = section_end > program_end ? section_end : program_end;
    return sections > (uint64_t)1 << 40 || programs > (uint64_t)1 << 40 ? 0 : (size_t)end;
}

bool amd_elf_open(const void *file, size_t bytes, amd_elf *out, char *text, size_t text_bytes) {
    const uint8_t *header = file;
    memset(out, 0, sizeof *out);
    out->file = file;
    out->bytes = bytes;
    const char *problem = NULL;
    if (bytes < HEADER_BYTES || memcmp(header, "\177ELF\2\1\1", 7) != 0) {
        problem = "no 64-bit little-endian ELF file";
    } else {
        out->program_offset = read_number(header + 32, 8);
        out->section_offset = read_number(header + 40, 8);
        out->flags = (uint32_t)read_number(header + 48, 4);
        out->program_count = (unsigned)read_number(header + 56, 2);
        out->section_count = (unsigned)read_number(header + 60, 2);
        if (read_number(header + 18, 2) != MACHINE_AMDGPU)
            problem = "not for an AMD GPU";
        else if (header[7] != 64)
            problem = "not for the HSA runtime";
        else if (header[8] < 2 || header[8] > 4)
            problem = "code object version (4 to 6 are known)";
        else if (out->program_count && read_number(header + 54, 2) != PROGRAM_BYTES)
            problem = "size of a program header";
        else if (out->section_count && read_number(header + 58, 2) != SECTION_BYTES)
            problem = "size of a section header";
        else if (!inside(out, out->program_offset, (uint64_t)out->program_count * PROGRAM_BYTES))
            problem = "program headers outside of the file";
        else if (!inside(out, out->section_offset, (uint64_t)out->section_count * SECTION_BYTES))
            problem = "section headers outside of the file";
    }
    if (problem) snprintf(text, text_bytes, "code object: %s", problem);
    return !problem;
}

const char *amd_elf_target(const amd_elf *elf) {
    switch (elf->flags & 0xff) {
    case 0x3f:
        return "gfx90a";
    case 0x4c:
        return "gfx942";
    case 0x4f:
        return "gfx950";
    default:
        return NULL;
    }
}

uint64_t amd_elf_image_bytes(const amd_elf *elf) {
    uint64_t end = 0;
    for (unsigned i = 0; i < elf->program_count; i++) {
        const uint8_t *header = segment(elf, i);
        uint64_t address = read_number(header + 16, 8), bytes = read_number(header + 40, 8);
        if (read_number(header, 4) != SEGMENT_LOAD) continue;
        if (address > 1u << 30 || bytes > 1u << 30) return 0;
        if (address + bytes > end) end = address + bytes;
    }
    return end > 1u << 30 ? 0 : end;
}

static bool relocate(const amd_elf *elf, uint8_t *image, uint64_t image_bytes, char *text,
                     size_t text_bytes) {
    for (unsigned i = 0; i < elf->section_count; i++) {
        const uint8_t *header = section(elf, i);
        uint64_t offset = read_number(header + 24, 8), bytes = read_number(header + 32, 8);
        if (read_number(header + 4, 4) != SECTION_RELA) continue;
        if (!inside(elf, offset, bytes)) {
            snprintf(text, text_bytes, "code object: relocations outside of the file");
            return false;
        }
        for (uint64_t at = offset; at + RELOCATION_BYTES <= offset + bytes;
             at += RELOCATION_BYTES) {
            uint64_t place = read_number(elf->file + at, 8),
                     kind = read_number(elf->file + at + 8, 8),
                     addend = read_number(elf->file + at + 16, 8);
            uint64_t value = (uint64_t)(uintptr_t)image + addend;
            if (kind != RELATIVE_64 || place > image_bytes || image_bytes - place < 8 ||
                addend > image_bytes) {
                snprintf(text, text_bytes,
                         "code object: relocation of kind %llu at 0x%llx is not known",
                         (unsigned long long)kind, (unsigned long long)place);
                return false;
            }
            memcpy(image + place, &value, 8);
        }
    }
    return true;
}

bool amd_elf_load(const amd_elf *elf, uint8_t *image, uint64_t image_bytes, char *text,
                  size_t text_bytes) {
    for (unsigned i = 0; i < elf->program_count; i++) {
        const uint8_t *header = segment(elf, i);
        if (read_number(header, 4) != SEGMENT_LOAD) continue;
        uint64_t offset = read_number(header + 8, 8), address = read_number(header + 16, 8),
                 in_file = read_number(header + 32, 8), in_memory = read_number(header + 40, 8);
        if (in_file > in_memory || !inside(elf, offset, in_file) || address > image_bytes ||
            in_memory > image_bytes - address) {
            snprintf(text, text_bytes, "code object: segment %u does not fit the file", i);
            return false;
        }
        memcpy(image + address, elf->file + offset, in_file);
    }
    return relocate(elf, image, image_bytes, text, text_bytes);
}

bool amd_elf_symbol(const amd_elf *elf, const char *name, uint64_t *address, uint64_t *bytes) {
    size_t length = strlen(name) + 1;
    for (unsigned i = 0; i < elf->section_count; i++) {
        const uint8_t *header = section(elf, i);
        uint64_t offset = read_number(header + 24, 8), size = read_number(header + 32, 8),
                 link = read_number(header + 40, 4);
        if (read_number(header + 4, 4) != SECTION_DYNSYM || link >= elf->section_count ||
            !inside(elf, offset, size))
            continue;
        const uint8_t *strings = section(elf, (unsigned)link);
        uint64_t names = read_number(strings + 24, 8), names_bytes = read_number(strings + 32, 8);
        if (!inside(elf, names, names_bytes)) continue;
        for (uint64_t at = offset; at + SYMBOL_BYTES <= offset + size; at += SYMBOL_BYTES) {
            uint64_t place = read_number(elf->file + at, 4);
            if (place >= names_bytes || names_bytes - place < length ||
                memcmp(elf->file + names + place, name, length) != 0)
                continue;
            *address = read_number(elf->file + at + 8, 8);
            *bytes = read_number(elf->file + at + 16, 8);
            return true;
        }
    }
    return false;
}

const uint8_t *amd_elf_metadata(const amd_elf *elf, size_t *bytes) {
    for (unsigned i = 0; i < elf->program_count; i++) {
        const uint8_t *header = segment(elf, i);
        uint64_t at = read_number(header + 8, 8), size = read_number(header + 32, 8);
        if (read_number(header, 4) != SEGMENT_NOTE || !inside(elf, at, size)) continue;
        while (size >= 12) {
            uint64_t name = (read_number(elf->file + at, 4) + 3) & ~(uint64_t)3,
                     content = read_number(elf->file + at + 4, 4);
            uint64_t kind = read_number(elf->file + at + 8, 4),
                     padded = (content + 3) & ~(uint64_t)3;
            if (name > size - 12 || content > size - 12 - name) break;
            if (kind == NOTE_METADATA && name == 8 &&
                memcmp(elf->file + at + 12, "AMDGPU", 7) == 0) {
                *bytes = (size_t)content;
                return elf->file + at + 12 + name;
            }
            if (padded > size - 12 - name) break;
            at += 12 + name + padded;
            size -= 12 + name + padded;
        }
    }
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * A code object as the loader sees it. Nothing in the file is trusted: every offset is checked
 * before it is used.
 */
#ifndef AMD_ELF_H
#define AMD_ELF_H

#include "amd_core.h"

typedef struct amd_elf {
    const uint8_t *file;
    size_t bytes;
    uint64_t program_offset, section_offset;
    unsigned program_count, section_count;
    uint32_t flags;
} amd_elf;

/* False with the reason in text. */
bool amd_elf_open(const void *file, size_t bytes, amd_elf *out, char *text, size_t text_bytes);
/* "gfx942" of e_flags, or NULL for a target that the interpreter does not run. */
const char *amd_elf_target(const amd_elf *elf);
/* Size of the loaded image: the end of the last segment. 0: damaged or larger than 1 GiB. */
uint64_t amd_elf_image_bytes(const amd_elf *elf);
/* Copies the segments to image and applies the relocations (relative ones only). */
bool amd_elf_load(const amd_elf *elf, uint8_t *image, uint64_t image_bytes, char *text,
                  size_t text_bytes);
/* A dynamic symbol: its address in the image and its size. */
bool amd_elf_symbol(const amd_elf *elf, const char *name, uint64_t *address, uint64_t *bytes);
/* The note with the metadata; NULL: none. */
const uint8_t *amd_elf_metadata(const amd_elf *elf, size_t *bytes);

#endif

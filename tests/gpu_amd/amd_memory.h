/* SPDX-License-Identifier: Apache-2.0
 *
 * Global memory: every access is looked up in the registered ranges.
 */
#ifndef AMD_MEMORY_H
#define AMD_MEMORY_H

#include "amd_core.h"

typedef struct amd_addresses {
    uint64_t at[AMD_LANES];
    uint64_t lanes; /* that take part */
} amd_addresses;

/* Stops the run unless size bytes at every active lane's address lie in one range that allows the
 * access; counts it. */
void amd_check_global(amd_wave *wave, const amd_addresses *addresses, uint32_t size,
                      unsigned access);
/* One address, for scalar loads. */
const uint8_t *amd_check_scalar(amd_wave *wave, uint64_t address, uint32_t size);

static inline void *amd_host(uint64_t address) {
    return (void *)(uintptr_t)address;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* MADV_HUGEPAGE */
#include "huge_pages.h"

#include <sys/mman.h>

enum { HUGE_PAGE_BYTES = 2 << 20 };

void tenon_cpu_advise_huge_pages(void *memory, uint64_t bytes) {
#ifdef MADV_HUGEPAGE
    const uintptr_t mask = HUGE_PAGE_BYTES - 1, first = ((uintptr_t)memory + mask) & ~mask,
                    end = ((uintptr_t)memory + bytes) & ~mask;
    if (end > first) (void)madvise((void *)first, end - first, MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

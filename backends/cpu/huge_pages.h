/* SPDX-License-Identifier: Apache-2.0 */
/* Advice to the kernel about large memory that is about to be filled. */
#ifndef TENON_HUGE_PAGES_H
#define TENON_HUGE_PAGES_H

#include <stdint.h>

/* Packed weights are read from end to end by every token: on pages of 4 KB a core spends a tenth to
 * a quarter of its bandwidth on translating addresses. The whole huge pages of the range are asked
 * for where the system leaves it to programs (transparent_hugepage=madvise); pages that have been
 * touched before stay as they are, and a refusal changes nothing. */
void tenon_cpu_advise_huge_pages(void *memory, uint64_t bytes);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * What was issued and not yet waited for. Values arrive at once, but a register stays marked until
 * an s_waitcnt that covers its load has run; who touches it before is stopped. So a missing wait is
 * found whatever the timing.
 */
#ifndef AMD_PENDING_H
#define AMD_PENDING_H

#include "amd_core.h"

/* Enters an operation; registers may be none (count 0). The oldest of a full queue completes, as
 * hardware stalls then. */
amd_outstanding *amd_issue(amd_wave *wave, amd_queue queue, const amd_instruction *inst, int first,
                           int count);
/* s_waitcnt: at most so many operations of each counter are left. */
void amd_wait(amd_wave *wave, uint32_t vector_left, uint32_t lgkm_left);
/* Stops the run when the instruction touches a register on the way. */
void amd_check_pending(amd_wave *wave, const amd_instruction *inst);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* All rows of the CPU backend, best first; the scalar reference closes each list. */
#ifndef TENON_CPU_ROWS_H
#define TENON_CPU_ROWS_H

#include "backend.h"

const tenon_kernel *const *tenon_cpu_kernels(int32_t op, uint32_t *count);

#endif /* TENON_CPU_ROWS_H */

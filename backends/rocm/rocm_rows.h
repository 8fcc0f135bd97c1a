/* SPDX-License-Identifier: Apache-2.0 */
/* All rows of the ROCm backend, best first. */
#ifndef TENON_ROCM_ROWS_H
#define TENON_ROCM_ROWS_H

#include "backend.h"

const tenon_kernel *const *tenon_rocm_kernels(int32_t op, uint32_t *count);

#endif /* TENON_ROCM_ROWS_H */

/* SPDX-License-Identifier: Apache-2.0 */
/* All rows of the CUDA backend, best first. */
#ifndef TENON_CUDA_ROWS_H
#define TENON_CUDA_ROWS_H

#include "backend.h"

const tenon_kernel *const *tenon_cuda_kernels(int32_t op, uint32_t *count);

#endif /* TENON_CUDA_ROWS_H */

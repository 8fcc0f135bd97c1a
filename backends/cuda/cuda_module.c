/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_module.h"

#include <string.h>

uint32_t tenon_cuda_find_image(const char *name) {
    uint32_t i = 0;
    while (i < tenon_cuda_n_images && strcmp(tenon_cuda_images[i].name, name) != 0) i++;
    return i;
}

int tenon_cuda_enter(const tenon_cuda_driver *driver, tenon_cuda_context *context, bool *pushed) {
    tenon_cuda_context *was = NULL;
    int error = driver->current(&was);
    *pushed = !error && was != context;
    if (*pushed) error = driver->push(context);
    if (error) *pushed = false;
    return error;
}

int tenon_cuda_leave(const tenon_cuda_driver *driver, bool pushed) {
    tenon_cuda_context *ours;
    return pushed ? driver->pop(&ours) : TENON_CUDA_SUCCESS;
}

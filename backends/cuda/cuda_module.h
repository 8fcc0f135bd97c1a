/* SPDX-License-Identifier: Apache-2.0 */
/* Device code: the images that are embedded in the library, and the context in which a device loads
 * them. Loading happens when a plan is made. */
#ifndef TENON_CUDA_MODULE_H
#define TENON_CUDA_MODULE_H

#include "cuda_driver.h"

/* One device source: a fat binary with its code for each target, of which the driver takes the one
 * that fits, or PTX that it compiles for a GPU newer than all of them. The table is generated from
 * the sources that the build finds. */
typedef struct tenon_cuda_image {
    const char *name; /* of the device source, without its suffix: "merge_states" */
    const unsigned char *bytes;
} tenon_cuda_image;

extern const tenon_cuda_image tenon_cuda_images[];
extern const uint32_t tenon_cuda_n_images;

/* Index of the image, or tenon_cuda_n_images. */
uint32_t tenon_cuda_find_image(const char *name);

/* Makes `context` current for a moment; *pushed says whether it was not. */
int tenon_cuda_enter(const tenon_cuda_driver *driver, tenon_cuda_context *context, bool *pushed);
int tenon_cuda_leave(const tenon_cuda_driver *driver, bool pushed);

#endif /* TENON_CUDA_MODULE_H */

/* SPDX-License-Identifier: Apache-2.0 */
/* Head dims up to 256 (keys) and 256 (values). */
#define ATTENTION_D_QK           256
#define ATTENTION_D_V            256
#define ATTENTION_STAGES         1
#define ATTENTION_PART           32
#define ATTENTION_QUERIES_SHARED 1
#include "attention_body.inl"

ATTENTION_KERNELS(d256)

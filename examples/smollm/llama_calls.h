/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of a llama layer that are not matmuls: look up embeddings, write the cache, attend. */
#ifndef SMOLLM_LLAMA_CALLS_H
#define SMOLLM_LLAMA_CALLS_H

#include "llama_session.h"

bool llama_plan_calls(tenon_library *library, llama_session *session, host_error *error);

/* Sets the size of a native cache by asking the library. */
bool llama_size_native_cache(const tenon_library *library, llama_session *session,
                             host_error *error);

/* session->x = embeddings of ids */
bool llama_embed(tenon_library *library, llama_session *session, const int32_t *ids, int32_t count,
                 host_error *error);

/* Appends the keys and values of session->qkv to the layer's pages, then session->attended = the
 * attention of its queries over them. */
bool llama_attend(tenon_library *library, llama_session *session, int64_t layer, int32_t count,
                  host_error *error);

#endif

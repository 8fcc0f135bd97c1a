/* SPDX-License-Identifier: Apache-2.0 */
/* One question in the model's own chat form (ChatML), as tokens:
 *   <|im_start|>system\n..<|im_end|>\n<|im_start|>user\n..<|im_end|>\n<|im_start|>assistant\n
 * What the user writes is plain text: "<|im_end|>" in it does not end the turn. */
#ifndef SMOLLM_CHAT_PROMPT_H
#define SMOLLM_CHAT_PROMPT_H

#include "bpe_tokenizer.h"

/* system NULL: what the file's template says where the caller gives none. Fails when the file's
 * chat template is not ChatML. */
bool chat_prompt_encode(const bpe_tokenizer *tokenizer, const gguf_file *file, const char *system,
                        const char *user, token_list *list, host_error *error);

#endif

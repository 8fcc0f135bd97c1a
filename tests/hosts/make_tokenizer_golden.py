# SPDX-License-Identifier: Apache-2.0
"""Writes tokenizer_golden.txt: what the Python tokenizer makes of a few hundred awkward texts.

    python make_tokenizer_golden.py SmolLM2-135M-Instruct.Q4_1.gguf > tokenizer_golden.txt

One text a line, three fields: the UTF-8 bytes in hex; the byte lengths of the words that the
pre-tokenizer cuts; the token ids, control tokens parsed. The conversion in transformers forgets the
rule that splits digits (`tokenizer.ggml.pre` = smollm), so it is put back here.
"""

import os
import random
import sys

from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoTokenizer

WRITTEN = [
    "", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", "\t\t", " \n", "\n ", "\r\n", "\r\n\r\n", " \t \n ",
    "a", " a", "  a", "a ", "a  ", "a b", "a  b", "a   b", "a\nb", "a\n\nb", "a\n \nb", "a \n b", "a\tb", "a\t\tb",
    "Hello, world!", "Hello  World", "HELLO WORLD", "hello", " hello", "The quick brown fox jumps over the lazy dog.",
    "I'm you're he's she'll we'd they've can't won't", "I'M YOU'RE HE'S", "'s", " 's", "x's", "x 's", "'", "''", "'''",
    "'t't't", "rock'n'roll", "O'Reilly's", "it''s", "don\u2019t", "'llama", "'ve'", "a'", "'re ", "'d\n", "'s1",
    "0", "1", "12", "123", "1234567890", "3.14159", "-1", "+1", "1,000,000", "1 2 3", "1  2   3", " 1", "  1", "   1",
    "\n1", "\n\n1", "\n\n1. one\n\n2. two", "a1", "1a", "a1b2c3", "v1.2.3-rc4", "0x1F", "1e-10", "100%", "$100", "#1",
    "2024-11-23T03:30:47Z", "10:30", "½", "⅓ cup", "x²", "H₂O", "Ⅷ", "①②③", "一二三", "٠١٢٣", "१२३", "1½", "๑๒๓",
    "e\u0301", "é", "naïve café", "Ünïcödé", "straße", "ﬁ", "ŉ", "İstanbul ıI", "ΑΒΓ αβγ", "Привет, мир!", "Съешь ещё",
    "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดีชาวโลก", "こんにちは世界", "カタカナ", "你好，世界！", "안녕하세요",
    "ქართული", "አማርኛ", "ᠮᠣᠩᠭᠣᠯ", "ᎣᏏᏲ", "ᚠᚢᚦ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𝟘𝟙𝟚", "𐍈", "𒀀𒐀", "🄰🅰",
    "😀", "😀😃😄", " 😀", "👍🏽", "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "❤️", "☃", "™®©", "a😀b", "😀1", "1😀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "\u00a0", "a\u00a0b", "\u00a0\u00a0a", "\u2003x", "\u3000x", "\u200b", "a\u200bb", "\ufeffBOM", "\u2028", "\u0085x",
    "\u1680a", "\u202fb", "\u205fc", "\u200d", "\u00ad", "\u061c", "\u2060", "\ufffd", "\ue000", "\U0010ffff", "\x7f",
    "\x00", "a\x00b", "\x01\x02\x03", "\x04", "a\x04b", "\x1b[0m", "\x1c\x1d\x1e\x1f", "\x0b\x0c",
    "def f(x):\n    return x + 1\n", "for (int i = 0; i < 10; i++) {\n\tprintf(\"%d\\n\", i);\n}", "#include <stdio.h>",
    "if x == 1:\n        pass\n\n\n    else:\n", "a+=b; c<<=2; d>>>e", "::std::vector<int>{}", "/* c */ // x", "</div>\n\n",
    "{\"key\": [1, 2.5, null, true]}", "SELECT * FROM t WHERE id='1';", "https://example.org/a?b=c&d=%20#e", "a@b.co",
    "C:\\Windows\\System32", "$HOME/.config", "`x`", "```python\nprint('hi')\n```", "| a | b |\n|---|---|\n", "---", "***",
    "....", "...", "?!?!", "!!!", " !", "  !", "a!b", "_", "__init__", "snake_case camelCase PascalCase kebab-case",
    "<", "<|", "<|im", "<|im_start|>", "<|im_end|>", "a<|im_end|>b", " <|im_end|> ", "<|im_start|><|im_end|>",
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "<|endoftext|>", "<|endoftext|", "<<|im_end|>>",
    "<repo_name>x<file_sep>y<filename>z", "<reponame><gh_stars>9", "<empty_output>", "<jupyter_code>import os<jupyter_output>",
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a" * 300, "ab" * 150, " " * 100, "\n" * 50, "\t" * 30, "=" * 80, "-" * 33,
    "Pneumonoultramicroscopicsilicovolcanoconiosis", "Donaudampfschifffahrtsgesellschaftskapitän", "xX" * 40,
    "What is the capital of France?", "Write a haiku about the sea.", "Explain photosynthesis in 3 steps:\n1. ",
]

PIECES = [
    " ", "  ", "\n", "\n\n", "\t", "\u00a0", "\u3000", "a", "the", "The", "ing", "Ö", "ß", "é", "e\u0301", "中", "文字", "の", "한",
    "ш", "א", "ع", "न", "ि", "0", "7", "42", "½", "٣", "²", "'", "'s", "'re", "'ll", "'D", "\u2019s", ".", ",", "!", "(", ")",
    "::", "->", "==", "\\", "/", "_", "-", "—", "…", "“", "😀", "👍🏽", "\u200d", "\u200b", "<|im_end|>", "<file_sep>", "<|",
    "return", "import", " x", " 1", "\x07", "\x04",
]


def main():
    path = sys.argv[1]
    tokenizer = AutoTokenizer.from_pretrained(os.path.dirname(path), gguf_file=os.path.basename(path)).backend_tokenizer
    splitter = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)])
    tokenizer.pre_tokenizer = splitter
    rng = random.Random(20)
    texts = list(WRITTEN)
    texts += ["".join(rng.choice(PIECES) for _ in range(rng.randint(2, 24))) for _ in range(200)]
    for text in texts:
        words = [len(word) for word, _ in splitter.pre_tokenize_str(text)]
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        print(text.encode().hex() or "-", " ".join(map(str, words)) or "-", " ".join(map(str, ids)) or "-", sep="\t")


if __name__ == "__main__":
    main()

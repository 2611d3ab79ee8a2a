"""Write tests/data/smollm_tokens.txt: hard texts and the ids that Hugging Face `tokenizers` gives.

golden_tokens.py SmolLM2-135M-Instruct.gguf >tests/data/smollm_tokens.txt
    a line: ids, a tab, the text with the escapes of tests/lines.h; lines that begin with # are none
"""

import sys

import hf_tokenizer
import token_texts

LIMIT = 200_000


def main():
    tokenizer, _ = hf_tokenizer.load(sys.argv[1])
    texts = list(dict.fromkeys([*token_texts.fixed(), *token_texts.generated(450, seed=7)]))
    out = ["# ids of SmolLM2 by Hugging Face tokenizers; written by tools/golden_tokens.py"]
    for text in texts:
        ids = " ".join(map(str, tokenizer.encode(text, add_special_tokens=False).ids))
        out.append(f"{ids}\t{hf_tokenizer.escape(text)}")
    data = ("\n".join(out) + "\n").encode()
    if len(data) > LIMIT:
        sys.exit(f"{len(data)} bytes: more than the {LIMIT} that we keep")
    sys.stdout.buffer.write(data)
    print(f"{len(texts)} texts, {len(data)} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()

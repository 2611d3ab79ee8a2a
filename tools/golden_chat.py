"""Make tests/data/chat.jsonl: what transformers prints and tokenises for one message of a user, by chat template.

    golden_chat.py

One JSON object per line: "name", "format" (as phosphene calls it), "tokenizer" (a file of
tests/data/tokenizers), "added" (special tokens that it has besides), "config" (tokenizer_config.json),
"text", "printed" (the whole prompt, the assistant's opening included) and "ids". Templates marked
"real" are those of the models that script/fetch-model fetches; the others are written after the ones
that these families were published with.
"""

import json
import os
import pathlib

import transformers
from tokenizers import AddedToken, Tokenizer

DATA = pathlib.Path(__file__).parent.parent / "tests" / "data"
MODELS = os.path.expanduser("~/.local/share/phosphene/")
TEXTS = ("The sky is blue.", "3 words only", "é\n\nb")
CHATML = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
ZEPHYR = ("<|user|>", "<|assistant|>", "<|system|>")


def real(file):
    import gguf

    return gguf.GGUFReader(MODELS + file).fields["tokenizer.chat_template"].contents()


LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA32 = r"""{{- bos_token }}
{%- if not date_string is defined %}
    {%- if strftime_now is defined and today %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- This block extracts the system message, so we can slot it into the right place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{#- System message #}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""
PLAIN_CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN15 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
    "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + "
    "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
MISTRAL1 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + "
    "' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% endif %}{% endfor %}"
)
MISTRAL2 = (
    '{{- bos_token }}{%- for message in messages %}{%- if message["role"] == "user" %}{{- " [INST] " + message["content"] + '
    '" [/INST]" }}{%- elif message["role"] == "assistant" %}{{- " " + message["content"] + eos_token }}{%- endif %}{%- endfor %}'
)
MISTRAL3 = MISTRAL2.replace('" [INST] "', '"[INST] "').replace('" [/INST]"', '"[/INST]"')
NEMO = MISTRAL3.replace('"[INST] "', '"[INST]"')
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = "
    "messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + "
    "system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == "
    "'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
PHI3 = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\n' + message['content'] + "
    "'<|end|>' + '\n' + '<|assistant|>' + '\n'}}{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '\n'}}"
    "{% endif %}{% endfor %}"
)
PHI35 = (
    "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + message['content'] + "
    "'<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == "
    "'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
PHI4 = (
    "{% for message in messages %}{% if (message['role'] == 'system') %}{{'<|im_start|>system<|im_sep|>' + message['content'] + "
    "'<|im_end|>'}}{% elif (message['role'] == 'user') %}{{'<|im_start|>user<|im_sep|>' + message['content'] + '<|im_end|>'}}"
    "{% elif (message['role'] == 'assistant') %}{{'<|im_start|>assistant<|im_sep|>' + message['content'] + '<|im_end|>'}}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant<|im_sep|>' }}{% endif %}"
)
PHI4_MINI = (
    "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
TINYLLAMA = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == "
    "'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and "
    "add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
OLMO2 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '\n' }}"
    "{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}"
    "{% if not loop.last %}{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}{% else %}{{ '<|assistant|>\n'  + "
    "message['content'] + eos_token }}{% endif %}{% endif %}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}"
    "{% endif %}{% endfor %}"
)

# name, format, tokenizer, added tokens, template
CASES = [
    ("SmolLM2 (real)", "ChatML", "falcon", CHATML, lambda: real("SmolLM2-135M-Instruct.Q4_1.gguf")),
    ("Qwen2.5 (real)", "ChatML", "falcon", CHATML, lambda: real("qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf")),
    ("Qwen1.5", "ChatML", "falcon", CHATML, lambda: QWEN15),
    ("ChatML", "ChatML", "llama2", CHATML, lambda: PLAIN_CHATML),
    ("Hermes", "ChatML", "llama3", CHATML, lambda: "{{bos_token}}" + PLAIN_CHATML),
    ("Llama 3", "Llama 3", "llama3", HEADERS, lambda: LLAMA3),
    ("Llama 3.2", "Llama 3", "llama3", HEADERS, lambda: LLAMA32),
    ("Gemma", "Gemma", "gemma", ("<start_of_turn>", "<end_of_turn>"), lambda: GEMMA),
    ("Mistral 0.1", "Mistral", "llama2", (), lambda: MISTRAL1),
    ("Mistral 0.2", "Mistral", "llama2", (), lambda: MISTRAL2),
    ("Mistral 0.3", "Mistral", "metaspace", ("[INST]", "[/INST]"), lambda: MISTRAL3),
    ("Mistral Nemo", "Mistral", "falcon", ("[INST]", "[/INST]"), lambda: NEMO),
    ("Llama 2", "Mistral", "llama2", (), lambda: LLAMA2),
    ("Phi-3", "Phi-3", "llama2", ("<|user|>", "<|assistant|>", "<|end|>"), lambda: PHI3),
    ("Phi-3.5", "Phi-3", "llama2", ("<|user|>", "<|assistant|>", "<|end|>"), lambda: PHI35),
    ("Phi-4", "Phi-4", "falcon", (*CHATML, "<|im_sep|>"), lambda: PHI4),
    ("Phi-4-mini", "Phi-4-mini", "falcon", ("<|user|>", "<|assistant|>", "<|end|>"), lambda: PHI4_MINI),
    ("TinyLlama", "Zephyr", "llama2", (), lambda: TINYLLAMA),
    ("StableLM Zephyr", "Zephyr", "neox", ZEPHYR, lambda: TINYLLAMA),
    ("OLMo 2", "Tulu", "falcon", ZEPHYR, lambda: OLMO2),
]


def rows():
    for name, kind, tokenizer, added, template in CASES:
        t = Tokenizer.from_file(str(DATA / "tokenizers" / f"{tokenizer}.json"))
        t.add_special_tokens([AddedToken(a, normalized=False, special=True) for a in added])
        config = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": template()}
        fast = transformers.PreTrainedTokenizerFast(tokenizer_object=t, **config)
        for text in TEXTS:
            turn = [{"role": "user", "content": text}]
            printed = fast.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
            ids = fast.apply_chat_template(turn, add_generation_prompt=True, tokenize=True, return_dict=False)
            yield {"name": name, "format": kind, "tokenizer": tokenizer, "added": added, "config": config,
                   "text": text, "printed": printed, "ids": ids}  # fmt: skip


def main():
    with open(DATA / "chat.jsonl", "w", encoding="utf-8") as f:
        for row in rows():
            print(json.dumps(row, ensure_ascii=False, separators=(",", ":")), file=f)


main()

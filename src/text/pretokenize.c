/* pretokenize.c — the pre-tokenizers that GGUF files name.
 *
 * A file names the model whose tokenizer.json cuts as its own does, a name that converters give to
 * what they recognised. A row holds that file's definition: the splits before the byte level and
 * those behind it, all isolated, one after another.
 */
#include "text/pretokenize.h"

#include <string.h>

/* After the splits, the byte level: alone, or with GPT-2's own words. */
#define BYTES ""
#define GPT2  "GPT2"

#define NO_CASE "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CL100K(digits)                                                                             \
    NO_CASE "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" REST
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASES(upper, lower, end)                                                                   \
    "[^\\r\\n\\p{L}\\p{N}]?" upper "*" lower "+" end "|[^\\r\\n\\p{L}\\p{N}]?" upper "+" lower     \
    "*" end
#define O200K(end, digits)                                                                         \
    CASES(UPPER, LOWER, end) "|" digits "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" REST
#define NO_HAN(class) "(?:(?!\\p{Han})" class ")"
#define BLOOM         " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
#define CJK           "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
#define ASCII_WORD    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
#define EAST          "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"

/* The letters that have a case, as DeepSeek's file lists them. */
#define CASED                                                                                      \
    "A-Za-z\\xb5\\xc0-\\xd6\\xd8-\\xf6\\xf8-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}\\x{295}-"   \
    "\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}"  \
    "\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{"    \
    "556}"                                                                                         \
    "\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-"       \
    "\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}"        \
    "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}"        \
    "\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}"         \
    "\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-"       \
    "\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}"         \
    "\\x{2115}\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-"         \
    "\\x{2134}\\x{2139}\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}"          \
    "\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-"        \
    "\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}"        \
    "\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-"       \
    "\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-"          \
    "\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"

/* "default" is not among the names: converters write it for a tokenizer that they did not
 * recognise, so nobody knows how that one cuts. */
static const struct row {
    const char *names[14];
    const char *splits[8]; /* up to BYTES or GPT2, and what is behind it in the alphabet */
    bool add_bos, whole_words;
} table[] = {
    {.names = {"gpt-2", "gpt2", "phi-2", "mpt", "olmo", "jais", "gigachat", "modern-bert", "mellum",
               "a.x-4.0", "trillion", "granite-docling", "exaone4"},
     .splits = {GPT2}},
    {.names = {"smollm", "starcoder", "refact", "codeshell", "command-r", "exaone", "minerva-7b",
               "mellum2"},
     .splits = {PH_DIGIT, GPT2}},
    {.names = {"falcon"},
     /* punctuation in runs first; the digits are cut in the alphabet, in which some other bytes
      * look like numbers */
     .splits = {"(?:" PH_PUNCTUATION ")+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0",
               "lfm2", "jina-v5-nano"},
     .splits = {CL100K("\\p{N}{1,3}"), BYTES},
     .add_bos = true,
     .whole_words = true},
    {.names = {"dbrx", "smaug-bpe", "chatglm-bpe", "glm4"},
     .splits = {CL100K("\\p{N}{1,3}"), BYTES}},
    {.names = {"qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan", "grok-2", "kormo",
               "solar-open", "f2llmv2"},
     .splits = {CL100K("\\p{N}"), BYTES}},
    {.names = {"qwen35"},
     .splits = {NO_CASE "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}|"
                        " ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" REST,
                BYTES}},
    {.names = {"seed-coder"},
     .splits = {NO_CASE
                "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" REST,
                BYTES}},
    {.names = {"bailingmoe", "bailingmoe2", "llada-moe"},
     .splits = {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}|"
                " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
                BYTES}},
    {.names = {"tekken"},
     .splits = {O200K("", "\\p{N}"), BYTES},
     .add_bos = true,
     .whole_words = true},
    {.names = {"gpt-4o", "llama4", "kanana2", "minimax-m2", "talkie"},
     .splits = {O200K(NO_CASE "?", "\\p{N}{1,3}"), BYTES}},
    {.names = {"deepseek-llm"},
     /* the file says \s+$: the same where a run of white space begins, and not slower in the
      * middle of one */
     .splits = {"[\\r\\n]", "\\s?[" CASED "]+",
                "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-"
                "\\x{3002}]+",
                "(?<!\\s)\\s++$", EAST, PH_DIGIT, BYTES}},
    {.names = {"deepseek-coder"},
     .splits = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", EAST, PH_DIGIT, BYTES}},
    {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm"},
     .splits = {"\\p{N}{1,3}", CJK,
                ASCII_WORD
                "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|" REST,
                BYTES}},
    {.names = {"bloom", "poro-chat", "gpt3-finnish"}, .splits = {BLOOM, BYTES}},
    {.names = {"viking"}, .splits = {BLOOM, "\\p{N}", BYTES}},
    {.names = {"superbpe"}, .splits = {"\\p{N}+", "(?=(\\d{3})+(?!\\d))", BYTES}},
    {.names = {"tiny_aya", "cohere2moe"},
     /* the file says \b: behind a digit that is what follows no word */
     .splits = {"\\d{1,3}(?=(?:\\d{3})*(?!\\w))", O200K(NO_CASE "?", "\\p{N}{1,3}"), BYTES}},
    {.names = {"kimi-k2"},
     .splits = {"\\p{Han}+|" CASES(NO_HAN(UPPER), NO_HAN(LOWER),
                                   NO_CASE "?") "|\\p{N}{1,3}|"
                                                " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" REST,
                BYTES}},
    {.names = {"youtu"},
     .splits =
         {"[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}"
          "\\x{2018}\\x{2019}\\x{2014}\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-"
          "\\x{fe4f}]+|[\\x{3105}-\\x{312f}]+|" CJK,
          O200K(NO_CASE "?", "\\p{N}"), BYTES},
     .whole_words = true},
    {.names = {"minicpm5"},
     .splits = {"\\p{N}{1,3}", CL100K("\\p{N}+"), BYTES},
     .whole_words = true},
    {.names = {"exaone-moe"},
     .splits = {NO_CASE "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|"
                        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
                BYTES}},
    {.names = {"laguna"}, .splits = {"[^\\n]+|[\\n]+", CL100K("\\p{N}"), BYTES}},
    {.names = {"chameleon"},
     .splits = {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "[\\t\\n]|    |  ",
                PH_DIGIT, "(?:" PH_PUNCTUATION ")", GPT2},
     .add_bos = true},
    {.names = {"jais-2"},
     .splits = {NO_CASE "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!\\S)|"
                        "\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|"
                        "\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}",
                BYTES}},
};

const char *ph__pretokenizer_name(size_t i)
{
    return i < sizeof table / sizeof *table ? table[i].names[0] : NULL;
}

static const struct row *find_row(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (const char *const *n = table[i].names; *n; n++)
            if (strcmp(*n, name) == 0) return &table[i];
    return NULL;
}

ph_status ph__pretokenizer_read(ph_steps *out, ph_pre_traits *traits, const char *name,
                                ph_error *err)
{
    const struct row *row = find_row(name);

    if (!*name)
        return ph__fail(err, PH_EUNSUPPORTED, -1,
                        "the file does not name its pre-tokenizer (tokenizer.ggml.pre)");
    if (!row)
        return ph__fail(err, PH_EUNSUPPORTED, -1, "pre-tokenizer \"%s\" is not supported", name);
    for (const char *const *s = row->splits; *s; s++) {
        if (strcmp(*s, BYTES) == 0 || strcmp(*s, GPT2) == 0)
            PH_TRY(ph__steps_bytes(out, false, **s != 0, err));
        else
            PH_TRY(ph__steps_split(out, *s, strlen(*s), false, PH_ISOLATED, false, err));
    }
    *traits = (ph_pre_traits){row->add_bos, row->whole_words};
    return PH_OK;
}

/* table.c — text for a terminal: columns by display width, quoted tokens, colours. */
#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

/* Bytes of the first character of s, and the columns it takes. */
static int next_character(const char *s, int *columns)
{
    utf8proc_int32_t c;
    const utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c);
    if (n <= 0) {
        *columns = 1;
        return 1;
    }
    *columns = utf8proc_charwidth(c);
    return (int)n;
}

int display_width(const char *text)
{
    int width = 0, columns;
    while (*text) {
        text += next_character(text, &columns);
        width += columns;
    }
    return width;
}

void cell(const char *text, int width)
{
    const int room = width < 0 ? -width : width, full = display_width(text);
    int used = 0, columns;

    if (width < 0) printf("%*s", full < room ? room - full : 0, "");
    while (*text) {
        const int n = next_character(text, &columns);
        if (full > room && used + columns > room - 1) {
            fputs("…", stdout);
            used++;
            break;
        }
        printf("%.*s", n, text);
        text += n;
        used += columns;
    }
    if (width > 0 && used < room) printf("%*s", room - used, "");
}

/* The same number in at most `width` columns, if fewer digits can do that. */
static void shorten(char *text, size_t size, double v, const char *format, int width)
{
    const bool plus = strchr(format, '+') != NULL;
    for (int decimals = 3; decimals >= 0 && display_width(text) > width; decimals--)
        snprintf(text, size, plus ? "%+.*f" : "%.*f", decimals, v);
    for (int digits = 6; digits > 0 && display_width(text) > width; digits--)
        snprintf(text, size, plus ? "%+.*g" : "%.*g", digits, v);
}

void cell_number(double v, const char *format, int width)
{
    const int room = width < 0 ? -width : width;
    char text[400] = "–";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (isfinite(v)) snprintf(text, sizeof text, format, v);
#pragma GCC diagnostic pop
    if (display_width(text) > room && format[strlen(format) - 1] == 'f')
        shorten(text, sizeof text, v, format, room);
    if (display_width(text) > room)
        fputs(text, stdout); /* a number that is cut would be another one */
    else
        cell(text, -width);
}

void spark(const double *v, size_t n, int width)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double low = (double)INFINITY, high = -low;
    const size_t columns = n < (size_t)width ? n : (size_t)width;

    for (size_t i = 0; i < n; i++) {
        low = fmin(low, v[i]);
        high = fmax(high, v[i]);
    }
    if (n < 3 || !isfinite(high - low) || high <= low) return;
    for (size_t c = 0; c < columns; c++) {
        double most = -(double)INFINITY;
        for (size_t i = c * n / columns; i < (c + 1) * n / columns; i++) most = fmax(most, v[i]);
        fputs(blocks[most >= low ? (int)((most - low) / (high - low) * 7.999) : 0], stdout);
    }
}

/* What a character is printed as, where not as itself. */
static const char *escape(utf8proc_int32_t c, char buffer[16])
{
    static const struct {
        utf8proc_int32_t c;
        const char *text;
    } known[] = {{'\n', "\\n"}, {'\t', "\\t"}, {'\r', "\\r"}, {'\\', "\\\\"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].c == c) return known[i].text;
    const utf8proc_category_t category = utf8proc_category(c);
    if (category != UTF8PROC_CATEGORY_CC && category != UTF8PROC_CATEGORY_CF &&
        category != UTF8PROC_CATEGORY_ZL && category != UTF8PROC_CATEGORY_ZP &&
        (category != UTF8PROC_CATEGORY_ZS || c == ' '))
        return NULL;
    snprintf(buffer, 16, "\\u{%x}", (unsigned)c);
    return buffer;
}

char *quoted(const char *bytes, size_t n, char quote)
{
    char *clean = NULL, *out = NULL;
    size_t size = 0;
    FILE *f;

    if (ph_utf8_clean(&clean, bytes, n, NULL) != PH_OK) return NULL;
    f = open_memstream(&out, &size);
    if (!f) {
        ph_free(clean);
        return NULL;
    }
    fputc(quote, f);
    for (const char *s = clean; *s;) {
        char buffer[16];
        utf8proc_int32_t c;
        const utf8proc_ssize_t k = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c);
        const char *as = k > 0 ? escape(c, buffer) : "?";
        if (as)
            fputs(as, f);
        else
            fprintf(f, "%.*s", (int)k, s);
        s += k > 0 ? k : 1;
    }
    fputc(quote, f);
    fclose(f);
    ph_free(clean);
    return out;
}

char *quoted_token(const ph_tokenizer *t, int32_t id)
{
    size_t n = 0;
    const char *piece = ph_tokenizer_piece(t, id, &n);
    return piece ? quoted(piece, n, '\'') : strdup("–");
}

/* ---- colours ---- */

enum depth { NO_COLOURS, COLOURS_256, COLOURS_24_BIT };

/* $NO_COLOR switches off, $COLORTERM says 24 bits, $TERM names the terminal. */
static enum depth colour_depth(void)
{
    static const char *const families[] = {"xterm", "screen", "tmux", "rxvt"};
    const char *off = getenv("NO_COLOR"), *term = getenv("TERM"), *bits = getenv("COLORTERM");

    if (!isatty(STDOUT_FILENO) || (off && *off) || !term || strcmp(term, "dumb") == 0)
        return NO_COLOURS;
    if (bits && (strcmp(bits, "truecolor") == 0 || strcmp(bits, "24bit") == 0))
        return COLOURS_24_BIT;
    if (strstr(term, "-direct")) return COLOURS_24_BIT;
    if (strstr(term, "256")) return COLOURS_256;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strncmp(term, families[i], strlen(families[i])) == 0) return COLOURS_256;
    return NO_COLOURS;
}

bool colours(void)
{
    return colour_depth() != NO_COLOURS;
}

/* From white to the full colour: orange against blue are told apart by colour-blind eyes too. */
static void background_24_bit(double strength)
{
    static const int full[2][3] = {{60, 140, 255}, {255, 120, 20}};
    const int *to = full[strength > 0];
    const double size = fmin(fabs(strength), 1);
    int rgb[3];
    for (int i = 0; i < 3; i++) rgb[i] = (int)lround(255 + size * (to[i] - 255));
    printf("\033[48;2;%d;%d;%dm\033[30m", rgb[0], rgb[1], rgb[2]);
}

static void background_256(double strength)
{
    static const int up[] = {223, 216, 209, 202}, down[] = {153, 117, 75, 33};
    const int level = fabs(strength) >= 1 ? 3 : (int)(fabs(strength) * 4);
    printf("\033[48;5;%dm\033[30m", strength > 0 ? up[level] : down[level]);
}

void colour(double strength)
{
    const enum depth depth = colour_depth();
    if (!(fabs(strength) > 0.1) || depth == NO_COLOURS) return;
    depth == COLOURS_24_BIT ? background_24_bit(strength) : background_256(strength);
}

void colour_end(void)
{
    if (colours()) fputs("\033[0m", stdout);
}

void coloured_tokens(const ph_tokenizer *t, const int32_t *ids, const double *values, size_t n)
{
    double most = 1e-30;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(values[i]));
    for (size_t i = 0; i < n; i++) {
        size_t bytes = 0;
        const char *piece = ph_tokenizer_piece(t, ids[i], &bytes);
        char *text = piece ? quoted(piece, bytes, '\'') : NULL;
        colour(values[i] / most);
        if (text) printf("%.*s", (int)strlen(text) - 2, text + 1); /* without its quotes */
        colour_end();
        free(text);
    }
    printf("\n");
}

/* assets.h — the files of the page and the libraries it uses, which the program holds. */
#ifndef ASSETS_H
#define ASSETS_H

#include <stdbool.h>
#include <stddef.h>

struct asset {
    const char *url, *type;
    const char *bytes; /* n; then a 0 */
    size_t n;
};

/* By its address, "/page/app.js" or "/lib/chart.js"; false: there is none. The page itself is
 * "/index.html". Nothing else is ever sent, and none of it read from disk. */
bool asset_find(struct asset *out, const char *url);

#endif

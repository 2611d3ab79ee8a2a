/* pull_store.c — one file of a hub into Hugging Face's cache, as huggingface_hub has it.
 *
 *   CACHE/.locks/models--ORG--NAME/ETAG.lock           held while the blob is written
 *   CACHE/models--ORG--NAME/blobs/ETAG.incomplete      what came so far: the next pull goes on from there
 *                           blobs/ETAG                 the bytes; ETAG is their sha256, or git's sha1
 *                           snapshots/COMMIT/FILE      -> ../../blobs/ETAG
 *                           refs/REVISION              COMMIT
 */
#include "pull.h"

#include "opt.h"
#include "pick.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- places ---- */

__attribute__((format(printf, 2, 3))) static char *place(const struct pull *p, const char *fmt, ...)
{
    char *below = NULL, *out = NULL;
    va_list list;
    va_start(list, fmt);
    if (vasprintf(&below, fmt, list) < 0) below = NULL;
    va_end(list);
    if (below && asprintf(&out, "%s/%s", p->folder, below) < 0) out = NULL;
    free(below);
    return out;
}

static ph_status fail_at(ph_error *err, const char *path)
{
    const int cause = errno;
    if (!path) return fail_with(err, PH_ENOMEM, "no memory");
    return fail_with(err, PH_EIO, "%.150s: %s", path, strerror(cause));
}

/* Make the folders above a file. */
static ph_status make_folders(const char *path, ph_error *err)
{
    char *copy = path ? strdup(path) : NULL;
    ph_status st = copy ? PH_OK : fail_at(err, NULL);

    for (char *s = copy ? strchr(copy + 1, '/') : NULL; s && st == PH_OK; s = strchr(s + 1, '/')) {
        *s = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) st = fail_at(err, copy);
        *s = '/';
    }
    free(copy);
    return st;
}

/* ---- what a hub says of a file ---- */

/* It becomes a file's name. */
static bool is_etag(const char *etag)
{
    const size_t n = strlen(etag);
    return n > 0 && n < 136 - 16 && etag[0] != '.' && pick_is_safe(etag) && !strchr(etag, '/');
}

static bool is_hex(const char *text, size_t n)
{
    return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

ph_status pull_head(struct pull *p, struct pull_file *f, ph_error *err)
{
    const struct answer *a = &p->web.answer;
    char *name = web_escape(f->name, true), *path = NULL;
    ph_status st = PH_OK;

    if (!name || asprintf(&path, "/%s/resolve/%s/%s", p->repository, p->commit, name) < 0)
        st = fail_at(err, NULL);
    if (st == PH_OK) st = web_head(&p->web, path, f->name, err);
    if (st == PH_OK && *a->commit && strcmp(a->commit, p->commit) != 0)
        st = fail_with(err, PH_EIO, "%s: the hub answers for commit %.40s, not %.40s", f->name,
                       a->commit, p->commit);
    if (st == PH_OK) {
        const bool linked = *a->linked_etag != 0, moved = a->status >= 300;
        snprintf(f->etag, sizeof f->etag, "%s", linked ? a->linked_etag : moved ? "" : a->etag);
        f->size = a->linked_size >= 0 ? a->linked_size : moved ? -1 : a->length;
        f->checked = is_hex(f->etag, 64) || is_hex(f->etag, 40);
        if (!is_etag(f->etag))
            st = fail_with(err, PH_EIO, "%s: the hub gives no etag that names it", f->name);
    }
    free(path);
    free(name);
    return st;
}

static int64_t file_size(const char *path)
{
    struct stat about;
    return path && stat(path, &about) == 0 && S_ISREG(about.st_mode) ? about.st_size : -1;
}

/* Whether the blob is there; one of another size was written by no one who is done. */
static bool is_there(const struct pull_file *f, const char *blob)
{
    const int64_t size = file_size(blob);
    return size >= 0 && (f->size < 0 || size == f->size);
}

int64_t pull_missing(const struct pull *p, const struct pull_file *f)
{
    char *blob = place(p, "blobs/%s", f->etag), *part = place(p, "blobs/%s.incomplete", f->etag);
    const int64_t have = file_size(part);
    int64_t missing = f->size < 0 ? 0 : f->size;

    if (blob && is_there(f, blob))
        missing = 0;
    else if (have > 0 && have <= missing)
        missing -= have;
    free(blob);
    free(part);
    return missing;
}

/* ---- the part ---- */

struct part {
    struct sink sink; /* first */
    struct pull *pull;
    const struct pull_file *file;
    const char *path; /* borrowed */
    int fd;
};

static bool part_take(struct sink *s, const char *bytes, size_t n, ph_error *err)
{
    struct part *part = (struct part *)s;
    for (size_t done = 0; done < n;) {
        const ssize_t k = write(part->fd, bytes + done, n - done);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) {
            fail_at(err, part->path);
            return false;
        }
        done += (size_t)k;
        s->have += k;
    }
    pull_draw(part->pull, "pull", part->file->name, s->have);
    return true;
}

static bool part_rewind(struct sink *s, ph_error *err)
{
    struct part *part = (struct part *)s;
    s->have = 0;
    if (ftruncate(part->fd, 0) == 0 && lseek(part->fd, 0, SEEK_SET) == 0) return true;
    fail_at(err, part->path);
    return false;
}

static ph_status open_part(struct part *part, ph_error *err)
{
    part->fd = open(part->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (part->fd < 0) return fail_at(err, part->path);
    part->sink.have = lseek(part->fd, 0, SEEK_END);
    if (part->sink.have < 0) return fail_at(err, part->path);
    if (part->sink.most >= 0 && part->sink.have > part->sink.most)
        return part_rewind(&part->sink, err) ? PH_OK : err->code;
    return PH_OK;
}

static ph_status transfer(struct part *part, ph_error *err)
{
    const struct pull_file *f = part->file;
    struct pull *p = part->pull;
    char *name = web_escape(f->name, true), *path = NULL;
    ph_status st = PH_OK;

    if (f->size >= 0 && part->sink.have == f->size) goto done;
    if (!name || asprintf(&path, "/%s/resolve/%s/%s", p->repository, p->commit, name) < 0)
        st = fail_at(err, NULL);
    if (st == PH_OK) st = web_get(&p->web, path, f->name, &part->sink, err);
    if (st == PH_OK && f->size >= 0 && part->sink.have < f->size)
        st = fail_with(err, PH_EIO, "%s: %lld of %lld bytes came", f->name,
                       (long long)part->sink.have, (long long)f->size);
done:
    free(path);
    free(name);
    return st;
}

/* ---- its hash ---- */

static ph_status feed(EVP_MD_CTX *ctx, struct part *part, ph_error *err)
{
    enum { CHUNK = 1 << 20 };
    unsigned char *buffer = malloc(CHUNK);
    int64_t at = 0;
    ph_status st = buffer ? PH_OK : fail_at(err, NULL);

    while (st == PH_OK && at < part->sink.have) {
        const ssize_t n = pread(part->fd, buffer, CHUNK, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) st = fail_at(err, part->path);
        if (n > 0) EVP_DigestUpdate(ctx, buffer, (size_t)n);
        at += n;
        if (progress_interrupted()) st = fail_with(err, PH_ECANCELED, "interrupted");
        pull_draw(part->pull, "check", part->file->name, part->sink.have);
    }
    free(buffer);
    return st;
}

/* The file's hash as its etag has it: sha256, or sha1 of git's blob. */
static ph_status hash(char out[2 * EVP_MAX_MD_SIZE + 1], struct part *part, ph_error *err)
{
    const bool git = strlen(part->file->etag) == 40;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char md[EVP_MAX_MD_SIZE];
    char head[40];
    unsigned n = 0;
    ph_status st = PH_OK;

    if (!ctx || !EVP_DigestInit_ex(ctx, git ? EVP_sha1() : EVP_sha256(), NULL))
        st = fail_with(err, PH_ENOMEM, "no hash");
    if (st == PH_OK && git) {
        const int size = snprintf(head, sizeof head, "blob %lld", (long long)part->sink.have);
        EVP_DigestUpdate(ctx, head, (size_t)size + 1);
    }
    if (st == PH_OK) st = feed(ctx, part, err);
    if (st == PH_OK) EVP_DigestFinal_ex(ctx, md, &n);
    for (unsigned i = 0; i < n; i++) snprintf(out + 2 * i, 3, "%02x", md[i]);
    EVP_MD_CTX_free(ctx);
    return st;
}

/* *fine: whether the bytes are those that the etag names. */
static ph_status check(bool *fine, struct part *part, ph_error *err)
{
    char sum[2 * EVP_MAX_MD_SIZE + 1] = "";
    ph_status st = PH_OK;

    *fine = true;
    if (!part->file->checked) return PH_OK;
    st = hash(sum, part, err);
    *fine = strcmp(sum, part->file->etag) == 0;
    if (st == PH_OK && !*fine)
        fail_with(err, PH_EIO, "%.60s: wrong %s: %.16s…, expected %.16s…; what came is removed",
                  part->file->name, strlen(sum) == 40 ? "git hash" : "sha256", sum,
                  part->file->etag);
    return st;
}

/* Until the bytes are right: a part from an earlier time that is not is got once more. */
static ph_status complete(struct part *part, ph_error *err)
{
    for (int round = 0;; round++) {
        const bool old = part->sink.have > 0 && round == 0;
        bool fine;
        ph_status st = transfer(part, err);
        if (st == PH_OK) st = check(&fine, part, err);
        if (st != PH_OK || fine) return st;
        if (!old) {
            unlink(part->path);
            return err->code;
        }
        ph_error second = {0};
        if (!part_rewind(&part->sink, &second)) {
            *err = second;
            return err->code;
        }
    }
}

/* ---- one at a time ---- */

/* *fd = the lock of this blob; -1 where the file system knows none. Another process that gets the same
 * file is waited for. */
static ph_status take_lock(int *fd, struct pull *p, const struct pull_file *f, ph_error *err)
{
    const struct timespec little = {0, 100000000};
    const char *base = strrchr(p->folder, '/') + 1;
    char *path = NULL;

    *fd = -1;
    if (asprintf(&path, "%s/.locks/%s/%s.lock", p->cache, base, f->etag) < 0) path = NULL;
    ph_status st = make_folders(path, err);
    if (st == PH_OK && (*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666)) < 0)
        st = fail_at(err, path);
    while (st == PH_OK && flock(*fd, LOCK_EX | LOCK_NB) != 0 &&
           (errno == EWOULDBLOCK || errno == EINTR)) {
        pull_draw(p, "wait", f->name, 0);
        nanosleep(&little, NULL);
        if (progress_interrupted()) st = fail_with(err, PH_ECANCELED, "interrupted");
    }
    free(path);
    return st;
}

static ph_status fetch(struct pull *p, struct pull_file *f, const char *blob, ph_error *err)
{
    char *path = place(p, "blobs/%s.incomplete", f->etag);
    struct part part = {
        .sink = {part_take, part_rewind, 0, f->size}, .pull = p, .file = f, .path = path, .fd = -1};
    ph_status st = path ? PH_OK : fail_at(err, NULL);

    if (st == PH_OK) st = open_part(&part, err);
    if (st == PH_OK) st = complete(&part, err);
    if (st == PH_OK && fsync(part.fd) != 0 && errno != EINVAL) st = fail_at(err, path);
    if (part.fd >= 0 && close(part.fd) != 0 && st == PH_OK) st = fail_at(err, path);
    if (st == PH_OK && rename(path, blob) != 0) st = fail_at(err, blob);
    f->size = st == PH_OK ? part.sink.have : f->size;
    free(path);
    return st;
}

/* snapshots/COMMIT/a/b -> ../../../blobs/ETAG */
static ph_status make_link(const struct pull *p, const struct pull_file *f, ph_error *err)
{
    char *link = place(p, "snapshots/%s/%s", p->commit, f->name), target[4096] = "../../", has[200];
    ph_status st = make_folders(link, err);
    size_t at = strlen(target);

    for (const char *s = f->name; (s = strchr(s, '/')) && at < sizeof target - 300; s++)
        at += (size_t)snprintf(target + at, sizeof target - at, "../");
    snprintf(target + at, sizeof target - at, "blobs/%s", f->etag);
    if (st == PH_OK) {
        const ssize_t n = readlink(link, has, sizeof has);
        const bool same = n == (ssize_t)strlen(target) && memcmp(has, target, (size_t)n) == 0;
        if (!same && unlink(link) != 0 && errno != ENOENT) st = fail_at(err, link);
        if (!same && st == PH_OK && symlink(target, link) != 0 && errno != EEXIST)
            st = fail_at(err, link);
    }
    free(link);
    return st;
}

ph_status pull_store(struct pull *p, struct pull_file *f, ph_error *err)
{
    char *blob = place(p, "blobs/%s", f->etag);
    int lock = -1;
    ph_status st = make_folders(blob, err);

    if (st == PH_OK && !(f->there = is_there(f, blob))) {
        st = take_lock(&lock, p, f, err);
        /* meanwhile somebody else may have got it */
        if (st == PH_OK && !(f->there = is_there(f, blob))) st = fetch(p, f, blob, err);
    }
    if (st == PH_OK) st = make_link(p, f, err);
    if (lock >= 0) close(lock);
    free(blob);
    return st;
}

ph_status pull_set_ref(const struct pull *p, ph_error *err)
{
    char *path = place(p, "refs/%s", p->revision), *part = NULL;
    const size_t n = strlen(p->commit);
    ph_status st = PH_OK;

    if (strcmp(p->revision, p->commit) == 0) goto done;
    if ((st = make_folders(path, err)) != PH_OK) goto done;
    if (asprintf(&part, "%s.%ld.tmp", path, (long)getpid()) < 0) part = NULL;
    const int fd = part ? open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
    bool fine = fd >= 0 && write(fd, p->commit, n) == (ssize_t)n;
    if (fd >= 0) fine &= close(fd) == 0;
    if (!fine || rename(part, path) != 0) {
        st = fail_at(err, path);
        if (part) unlink(part);
    }
done:
    free(part);
    free(path);
    return st;
}

/* file.c — files: read-only mapping, hash, whole writes. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static ph_status fail_errno(ph_error *err, const char *path, int code)
{
    char room[96]; /* GNU's strerror_r may use it or not */
    return ph__fail(err, PH_EIO, -1, "%s: %s", path, strerror_r(code, room, sizeof room));
}

ph_status ph__map_open(ph_map *out, const char *path, ph_error *err)
{
    ph_status st = PH_OK;
    struct stat info;
    void *bytes;

    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno(err, path, errno);
    if (fstat(fd, &info) != 0) {
        st = fail_errno(err, path, errno);
    } else if (S_ISDIR(info.st_mode)) {
        st = ph__fail(err, PH_EIO, -1, "%s: is a directory, not a model file", path);
    } else if (!S_ISREG(info.st_mode)) {
        st = ph__fail(err, PH_EIO, -1, "%s: is not a regular file", path);
    } else if (info.st_size == 0) {
        st = ph__fail(err, PH_EIO, -1, "%s: the file is empty", path);
    } else if ((bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) ==
               MAP_FAILED) {
        st = fail_errno(err, path, errno);
    } else {
        *out = (ph_map){bytes, (size_t)info.st_size};
    }
    close(fd);
    return st;
}

void ph__map_close(ph_map *map)
{
    if (map->bytes) munmap((void *)(uintptr_t)map->bytes, map->size);
    *map = (ph_map){0};
}

void ph__map_let_go(const void *bytes, size_t n)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)bytes;
    const uintptr_t first = (at + page - 1) / page * page, end = (at + n) / page * page;
    if (first < end) (void)madvise((void *)first, end - first, MADV_DONTNEED);
}

ph_status ph__sha256_files(char out[65], const ph_map *files, size_t n, ph_error *err)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    for (size_t i = 0; ok && i < n; i++) ok = EVP_DigestUpdate(ctx, files[i].bytes, files[i].size);
    ok = ok && EVP_DigestFinal_ex(ctx, md, &len) && len == 32;
    EVP_MD_CTX_free(ctx);
    if (!ok) return ph__fail(err, PH_ENOMEM, -1, "sha256 is not available");
    for (unsigned i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", md[i]);
    return PH_OK;
}

ph_status ph__sha256(char out[65], const void *bytes, size_t n, ph_error *err)
{
    const ph_map whole = {bytes, n};
    return ph__sha256_files(out, &whole, 1, err);
}

static ph_status write_all(int fd, const char *path, const void *bytes, size_t n, ph_error *err)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return fail_errno(err, path, errno);
        p += done;
        n -= (size_t)done;
    }
    return PH_OK;
}

ph_status ph__file_write(const char *path, const void *bytes, size_t n, ph_error *err)
{
    ph_status st = PH_OK;
    char *temporary = NULL;
    int fd = -1;

    PH_TRY(ph__printf(&temporary, err, "%s.%ld.part", path, (long)getpid()));
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        st = fail_errno(err, temporary, errno);
        goto done;
    }
    st = write_all(fd, temporary, bytes, n, err);
    if (close(fd) != 0 && st == PH_OK) st = fail_errno(err, temporary, errno);
    if (st == PH_OK && rename(temporary, path) != 0) st = fail_errno(err, path, errno);
    if (st != PH_OK) unlink(temporary);
done:
    ph__free(temporary);
    return st;
}
